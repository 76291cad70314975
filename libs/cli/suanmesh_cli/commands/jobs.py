"""`suan job`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from suanmesh.scheduler.v1.decision_pb2 import CandidateExplanation, Decision
from suanmesh.scheduler.v1.job_pb2 import Job, Parameter
from suanmesh.scheduler.v1.placement_pb2 import TaskResult
from suanmesh.scheduler.v1.scheduler_service_pb2 import (
    CancelJobRequest,
    ExplainCandidateRequest,
    GetDecisionRequest,
    GetJobRequest,
    GetPlacementRequest,
    ListJobsRequest,
    SubmitJob,
    SubmitJobsRequest,
)
from suanmesh_cli import following, output, units
from suanmesh_cli.lazy import Verbs
from suanmesh_cli.render.states import because
from suanmesh_cli.session import Session, command, full_name, listed

if TYPE_CHECKING:
    from rich.console import RenderableType

TASK_COLUMNS: output.Columns = (
    ("TASK", lambda task: str(task.index)),
    ("EXIT", lambda task: str(task.exit_status) if task.HasField("exit_status") else ""),
    ("STARTED", lambda task: units.moment(task.start_time)),
    ("ENDED", lambda task: units.moment(task.end_time)),
)
COLUMNS: output.Columns = (
    ("JOB", lambda job: job.name),
    ("STATE", lambda job: Job.State.Name(job.state).removeprefix("STATE_")),
    ("ACCOUNT", lambda job: job.account),
    ("PRIORITY", lambda job: str(job.priority or "")),
    ("SUBMITTED", lambda job: units.moment(job.create_time)),
    ("ENDED", lambda job: units.moment(job.end_time)),
    ("NAME", lambda job: job.display_name),
)
NOTHING_FITS = 6
TASK_INDEX_MAX = 2**31 - 1


@click.group(cls=Verbs)
def job() -> None:
    """Jobs: what you want run."""


@job.command("submit")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--id", "job_id", default="", help="Last part of the job's name; chosen by the service without.")
@click.option("--dry-run", is_flag=True, help="Only decide, and show the candidates; nothing is stored.")
@click.option("--wait", is_flag=True, help="Follow the job until it has ended; the exit status says how.")
@command
async def submit(session: Session, file: Path, job_id: str, dry_run: bool, wait: bool) -> int:
    """Submit the job that the YAML FILE describes."""
    from suanmesh_cli import jobfile

    described = jobfile.load(file)
    job_id = job_id or units.short(described.name)
    request = SubmitJobsRequest(items=[SubmitJob(job_id=job_id, job=described)], validate_only=dry_run)
    async with session.mesh() as mesh:
        answer = await mesh.scheduler.SubmitJobs(request, timeout=session.timeout_s)
        result = answer.results[0]
        if result.HasField("error"):
            from suanmesh_sdk.status import refusal_of

            raise refusal_of(result.error)
        if dry_run:
            return _show_decision(session, result.decision)
        if not wait:
            _show(session, result.job)
            return 0
        output.note(f"submitted {result.job.name}")
        ended = await following.until_ended(mesh, result.job.name, _say_change(session))
    _show(session, ended)
    return 0 if ended.state == Job.STATE_DONE else 1


@job.command("list")
@click.argument("filter_", metavar="FILTER", default="")
@command
async def list_jobs(session: Session, filter_: str) -> None:
    """List your jobs, newest first.

    FILTER keeps some of them, such as 'labels.team = "vision" AND state = "FAILED"'.
    """
    async with session.mesh() as mesh:
        jobs = await listed(mesh.scheduler.ListJobs, ListJobsRequest(filter=filter_), "jobs", session.timeout_s)
    reason = ("BECAUSE", lambda job: because(job.state_reason, session.lang))
    output.show_list(session.output, "jobs", jobs, (*COLUMNS, reason))


@job.command("tasks")
@click.argument("name")
@command
async def tasks(session: Session, name: str) -> None:
    """List what became of each task of the job NAME in its newest attempt."""
    async with session.mesh() as mesh:
        wanted = GetJobRequest(name=full_name("jobs", name))
        found = await mesh.scheduler.GetJob(wanted, timeout=session.timeout_s)
        results: list[TaskResult] = []
        if found.placement:
            placed = await mesh.scheduler.GetPlacement(
                GetPlacementRequest(name=found.placement), timeout=session.timeout_s
            )
            results = list(placed.tasks)
    columns = (*TASK_COLUMNS, ("BECAUSE", lambda task: because(task.state_reason, session.lang)))
    if found.task.parameters:
        columns = (*columns, ("PARAMETERS", partial(_values, list(found.task.parameters))))
    output.show_list(session.output, "tasks", results, columns)


@job.command("show")
@click.argument("name")
@command
async def show(session: Session, name: str) -> None:
    """Show the job NAME."""
    async with session.mesh() as mesh:
        found = await mesh.scheduler.GetJob(GetJobRequest(name=full_name("jobs", name)), timeout=session.timeout_s)
    _show(session, found)


@job.command("explain")
@click.argument("name")
@click.option(
    "--pool", default="", help="Only this pool, such as `hefei/cpu`, also where the decision does not list it."
)
@command
async def explain(session: Session, name: str, pool: str) -> None:
    """Say why the job NAME went where it went, or why it waits."""
    async with session.mesh() as mesh:
        wanted = f"{full_name('jobs', name)}/decisions/-"
        if pool:
            asked = ExplainCandidateRequest(name=wanted, pool=_pool_name(pool))
            told = await mesh.scheduler.ExplainCandidate(asked, timeout=session.timeout_s)
            _show_candidate(session, told)
            return
        made = await mesh.scheduler.GetDecision(GetDecisionRequest(name=wanted), timeout=session.timeout_s)
    _show_decision(session, made)


@job.command("logs")
@click.argument("name")
@click.option("-f", "--follow", is_flag=True, help="Go on until the tasks have ended.")
@click.option("--task", type=click.IntRange(0, TASK_INDEX_MAX), default=0, show_default=True, help="Index of the task.")
@command
async def logs(session: Session, name: str, follow: bool, task: int) -> None:
    """Print what the job's task wrote."""
    async with session.mesh() as mesh:
        async for piece in following.log(mesh, full_name("jobs", name), follow=follow, task=task):
            sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()


@job.command("cancel")
@click.argument("name")
@click.option("--etag", default="", help="Only if this is still the job's etag.")
@command
async def cancel(session: Session, name: str, etag: str) -> None:
    """Ask to end the job NAME."""
    request = CancelJobRequest(name=full_name("jobs", name), etag=etag)
    async with session.mesh() as mesh:
        asked = await mesh.scheduler.CancelJob(request, timeout=session.timeout_s)
    _show(session, asked)


@job.command("wait")
@click.argument("name")
@command
async def wait(session: Session, name: str) -> int:
    """Wait until the job NAME has ended; --timeout bounds the wait (exit status 7)."""
    async with session.mesh() as mesh:
        ended = await following.until_ended(
            mesh, full_name("jobs", name), _say_change(session), timeout_s=session.timeout_s
        )
    _show(session, ended)
    return 0 if ended.state == Job.STATE_DONE else 1


def _values(parameters: Sequence[Parameter], task: TaskResult) -> str:
    return ", ".join(f"{each.name}={each.values[task.index]}" for each in parameters if task.index < len(each.values))


def _say_change(session: Session) -> Callable[[Job], None]:
    return partial(following.say_change, lang=session.lang)


def _show(session: Session, found: Job) -> None:
    def rendered() -> RenderableType:
        from suanmesh_cli.render import explain as rendering

        return output.facts(rendering.job_facts(found, session.lang))

    output.show_one(session.output, found, rendered)


def _pool_name(pool: str) -> str:
    site, _, last = pool.partition("/")
    return pool if site == "sites" else f"sites/{site}/pools/{last}"


def _show_candidate(session: Session, told: CandidateExplanation) -> None:
    def rendered() -> RenderableType:
        from suanmesh_cli.render import explain as rendering

        return rendering.candidate(told, session.lang)

    output.show_one(session.output, told, rendered)


def _show_decision(session: Session, made: Decision) -> int:
    def rendered() -> RenderableType:
        from suanmesh_cli.render import explain as rendering

        return rendering.decision(made, session.lang)

    output.show_one(session.output, made, rendered)
    return 0 if made.chosen else NOTHING_FITS
