"""`suan job`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from suanmesh.scheduler.v1.job_pb2 import Job
from suanmesh.scheduler.v1.scheduler_service_pb2 import (
    CancelJobRequest,
    ExplainCandidateRequest,
    GetDecisionRequest,
    GetJobRequest,
    SubmitJobsRequest,
)
from suanmesh_cli import following, jobsecrets, output, units
from suanmesh_cli.commands.job_copies import SECRET, diff, rerun
from suanmesh_cli.commands.job_lists import list_jobs
from suanmesh_cli.commands.job_logs import logs
from suanmesh_cli.commands.job_tasks import list_tasks
from suanmesh_cli.commands.job_views import ended_status, show_candidate, show_decision, show_job, task_counts
from suanmesh_cli.commands.sites import pool_name
from suanmesh_cli.lazy import Verbs
from suanmesh_cli.names import Name
from suanmesh_cli.session import Session, command, each_of, full_name, reading
from suanmesh_kernel.texts import Text

if TYPE_CHECKING:
    from suanmesh_cli.jobfile import JobFile
    from suanmesh_sdk import Mesh


@click.group(cls=Verbs)
def job() -> None:
    """Jobs: what you want run."""


@job.command("submit")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--id", "job_id", default="", help="Last part of the job's name; chosen by the service without.")
@click.option("--set", "given", multiple=True, metavar="KEY=VALUE", help="What stands at {{ KEY }} in the file.")
@click.option("--secret", "secrets", multiple=True, metavar="NAME=env:VARIABLE|NAME=file:PATH", help=SECRET)
@click.option("--dry-run", is_flag=True, help="Only decide, and show the candidates; nothing is stored.")
@click.option("--wait", is_flag=True, help="Follow the job until it has ended; the exit status says how.")
@command
async def submit(
    session: Session,
    file: Path,
    job_id: str,
    given: tuple[str, ...],
    secrets: tuple[str, ...],
    dry_run: bool,
    wait: bool,
) -> int:
    """Submit the job that the YAML FILE describes; - is standard input. `suan job schema` says what it may hold."""
    read = _described(session, file, given)
    described = read.job
    sources = dict(read.secrets) | jobsecrets.of_options(secrets)
    jobsecrets.named(described, sources)
    job_id = job_id or described.name.removeprefix("jobs/")
    async with session.mesh() as mesh:
        if read.workdir is not None:
            await _bring(session, mesh, read.workdir, file, described)
        if read.wheels is not None:
            await _bring_wheels(session, mesh, read.wheels, described)
        item = await jobsecrets.item(mesh, described, job_id, {} if dry_run else sources)
        request = SubmitJobsRequest(items=[item], validate_only=dry_run)
        answer = await mesh.scheduler.SubmitJobs(request, timeout=session.timeout_s)
        result = answer.results[0]
        if result.HasField("error"):
            from suanmesh_sdk.status import refusal_of

            raise refusal_of(result.error)
        if dry_run:
            return show_decision(session, result.decision)
        if not wait:
            show_job(session, result.job)
            return 0
        output.note(f"submitted {result.job.name}")
        ended = await following.until_ended(session, mesh, result.job.name)
    return ended_status(session, ended)


for each in (list_jobs, list_tasks, logs, rerun, diff):
    job.add_command(each)


@job.command("schema")
def schema() -> None:
    """Print the JSON schema of job files, for editors: `# yaml-language-server: $schema=job.schema.json`."""
    from importlib.resources import files

    click.echo(files("suanmesh_cli").joinpath("job.schema.json").read_text(), nl=False)


@job.command("show")
@click.argument("names", type=Name("jobs"), nargs=-1, required=True)
@reading
async def show(session: Session, names: tuple[str, ...]) -> int:
    """Show the jobs NAMES."""
    async with session.mesh() as mesh:

        async def show_named(name: str) -> None:
            wanted = GetJobRequest(name=full_name("jobs", name))
            found = await mesh.scheduler.GetJob(wanted, timeout=session.timeout_s)
            show_job(session, found, await task_counts(session, mesh, found))

        return await each_of(session, names, show_named)


@job.command("explain")
@click.argument("names", type=Name("jobs"), nargs=-1, required=True)
@click.option(
    "--pool",
    type=Name("pools"),
    default="",
    help="Only this pool, such as `hefei/cpu`, also where the decision does not list it.",
)
@reading
async def explain(session: Session, names: tuple[str, ...], pool: str) -> int:
    """Say why the jobs NAMES went where they went, or why they wait."""
    async with session.mesh() as mesh:

        async def explain_one(name: str) -> None:
            wanted = f"{full_name('jobs', name)}/decisions/-"
            if pool:
                asked = ExplainCandidateRequest(name=wanted, pool=pool_name(pool))
                show_candidate(session, await mesh.scheduler.ExplainCandidate(asked, timeout=session.timeout_s))
                return
            made = await mesh.scheduler.GetDecision(GetDecisionRequest(name=wanted), timeout=session.timeout_s)
            show_decision(session, made)

        return await each_of(session, names, explain_one)


@job.command("cancel")
@click.argument("names", type=Name("jobs"), nargs=-1, required=True)
@click.option("--etag", default="", help="Only if this is still the job's etag.")
@command
async def cancel(session: Session, names: tuple[str, ...], etag: str) -> int:
    """Ask to end the jobs NAMES."""
    async with session.mesh() as mesh:

        async def cancel_job(name: str) -> None:
            request = CancelJobRequest(name=full_name("jobs", name), etag=etag)
            show_job(session, await mesh.scheduler.CancelJob(request, timeout=session.timeout_s))

        return await each_of(session, names, cancel_job)


@job.command("wait")
@click.argument("names", type=Name("jobs"), nargs=-1, required=True)
@command
async def wait(session: Session, names: tuple[str, ...]) -> int:
    """Wait until the jobs NAMES have ended, however long it takes; --timeout bounds the wait (exit status 7)."""
    async with session.mesh() as mesh:

        async def wait_for(name: str) -> int:
            ended = await following.until_ended(session, mesh, full_name("jobs", name))
            return ended_status(session, ended)

        return await each_of(session, names, wait_for)


async def _bring(session: Session, mesh: Mesh, workdir: Path, file: Path, described: Job) -> None:
    """Bring the folder that a job unpacks; for a dry run too, since a decision weighs where it lies."""
    from suanmesh_cli.progress import following_progress
    from suanmesh_client.datasets import checked
    from suanmesh_sdk.workdir import bring, ignored

    going_on = following.telling_who_leaves(session, following.KEPT)
    with going_on, checked(workdir), following_progress(session.lang, session.environment) as progress:
        brought = await bring(mesh, workdir, described, skip=ignored(workdir, file), progress=progress)
    for line in brought.left_out.lines(session.lang):
        output.note(Text(f"workdir: left out {line}", f"workdir：未包含 {line}").of(session.lang))
    size = units.size(brought.manifest.size_bytes)
    output.note(Text(f"workdir is {brought.pinned}, {size}", f"workdir 为 {brought.pinned}，{size}").of(session.lang))


async def _bring_wheels(session: Session, mesh: Mesh, wheels: Path, described: Job) -> None:
    """Bring the wheels that a job's setup installs from."""
    from suanmesh_cli.progress import following_progress
    from suanmesh_client.datasets import checked
    from suanmesh_sdk.workdir import bring_wheels

    going_on = following.telling_who_leaves(session, following.KEPT)
    with going_on, checked(wheels), following_progress(session.lang, session.environment) as progress:
        brought = await bring_wheels(mesh, wheels, described, progress=progress)
    size = units.size(brought.manifest.size_bytes)
    output.note(Text(f"wheels are {brought.pinned}, {size}", f"wheels 为 {brought.pinned}，{size}").of(session.lang))


def _described(session: Session, file: Path, given: Sequence[str]) -> JobFile:
    """What a file describes, with what the context says where the file says nothing."""
    from suanmesh_cli import jobfile

    pairs = [each.partition("=") for each in given]
    if wrong := next((key for key, equals, _ in pairs if not (key and equals)), None):
        raise click.BadParameter(f"{wrong}: KEY=VALUE is expected", param_hint="--set")
    described = jobfile.read(file, {key: value for key, _, value in pairs})
    for note in described.notes:
        output.note(note.of(session.lang))
    found = described.job
    if not (found.account and found.queue):
        defaults = session.context
        found.account = found.account or (full_name("accounts", defaults.account) if defaults.account else "")
        found.queue = found.queue or defaults.queue
    return described
