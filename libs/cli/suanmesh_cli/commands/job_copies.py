"""`suan job rerun` and `suan job diff`: the same job again, and what two of them do not share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from suanmesh.scheduler.v1.job_pb2 import Job
from suanmesh.scheduler.v1.scheduler_service_pb2 import GetJobRequest, SubmitJobsRequest
from suanmesh_cli import following, jobsecrets, output
from suanmesh_cli.commands.job_views import ended_status, show_job
from suanmesh_cli.layout import Column
from suanmesh_cli.names import Name
from suanmesh_cli.session import Session, command, full_name, reading

ALWAYS_DIFFERENT = frozenset(
    {"name", "history", "etag", "trace_id", "decision", "placement", "create_time", "end_time"}
)
"""What any two jobs do not share, and what says nothing of why they went differently."""
DIFFERENT = 1
SECRET = "Where the value of a secret of the job is: it goes sealed, and is shown by nothing."


@click.command()
@click.argument("name", type=Name("jobs"))
@click.option("--id", "job_id", default="", help="Last part of the new job's name; chosen by the service without.")
@click.option("--secret", "secrets", multiple=True, metavar="NAME=env:VARIABLE|NAME=file:PATH", help=SECRET)
@click.option("--wait", is_flag=True, help="Follow the new job until it has ended; the exit status says how.")
@command
async def rerun(session: Session, name: str, job_id: str, secrets: tuple[str, ...], wait: bool) -> int:
    """Submit a new job that asks for what the job NAME asked for; its secrets are to be given again."""
    sources = jobsecrets.of_options(secrets)
    async with session.mesh() as mesh:
        wanted = GetJobRequest(name=full_name("jobs", name))
        again = described(await mesh.scheduler.GetJob(wanted, timeout=session.timeout_s))
        jobsecrets.named(again, sources)
        request = SubmitJobsRequest(items=[await jobsecrets.item(mesh, again, job_id, sources)])
        result = (await mesh.scheduler.SubmitJobs(request, timeout=session.timeout_s)).results[0]
        if result.HasField("error"):
            from suanmesh_sdk.status import refusal_of

            raise refusal_of(result.error)
        if wait:
            output.note(f"submitted {result.job.name}")
            return ended_status(session, await following.until_ended(session, mesh, result.job.name))
    show_job(session, result.job)
    return 0


@click.command()
@click.argument("one", type=Name("jobs"))
@click.argument("other", type=Name("jobs"))
@reading
async def diff(session: Session, one: str, other: str) -> int:
    """Show what the jobs ONE and OTHER ask for, and what became of them, where they differ (exit status 1)."""
    names = [full_name("jobs", one), full_name("jobs", other)]
    async with session.mesh() as mesh:
        jobs = [await mesh.scheduler.GetJob(GetJobRequest(name=each), timeout=session.timeout_s) for each in names]
    found = differences(*jobs)
    if session.view.for_people or session.view.as_table:
        output.show_list(session.view, "differences", found, columns(*names))
    else:
        rows = [dict(zip(("field", *names), each, strict=True)) for each in found]
        output.show_data(session.view, rows, names=[each[0] for each in found])
    return DIFFERENT if found else 0


def described(job: Job) -> Job:
    """What was asked for, without what the service has made of it."""
    from suanmesh_cli.jobfields import SET_BY_SERVICE

    asked = Job()
    asked.CopyFrom(job)
    for field in ("name", *SET_BY_SERVICE):
        asked.ClearField(field)  # type: ignore[arg-type]
    return asked


def differences(one: Job, other: Job) -> list[tuple[str, str, str]]:
    """The fields that differ, by their path, with both values; an empty one is absent."""
    left, right = (dict(_flat("", output.as_data(job))) for job in (one, other))
    paths = [*left, *(path for path in right if path not in left)]
    return [(path, left.get(path, ""), right.get(path, "")) for path in paths if left.get(path) != right.get(path)]


def columns(one: str, other: str) -> tuple[Column, ...]:
    """A column for the field, and one for each job."""
    return (
        Column("FIELD", lambda each: each[0]),
        Column(one, lambda each: each[1], fold=True),
        Column(other, lambda each: each[2], fold=True),
    )


def _flat(path: str, value: Any) -> Iterator[tuple[str, str]]:
    """The leaves of nested data, each with its path, such as `task.count` and `inputs[0].dataset`."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if path or key not in ALWAYS_DIFFERENT:
                yield from _flat(f"{path}.{key}".lstrip("."), inner)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _flat(f"{path}[{index}]", inner)
    else:
        yield path, str(value)
