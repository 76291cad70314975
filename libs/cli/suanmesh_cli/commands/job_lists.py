"""`suan job list`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import click
from google.protobuf.timestamp_pb2 import Timestamp

from suanmesh.scheduler.v1.job_pb2 import Job
from suanmesh.scheduler.v1.scheduler_service_pb2 import ListJobsRequest
from suanmesh_cli import output, values
from suanmesh_cli.layout import Column
from suanmesh_cli.names import Name
from suanmesh_cli.session import Session, full_name, listed, listing
from suanmesh_cli.values import Cell
from suanmesh_sdk.enums import enum_name


def state(job: Job) -> str:
    """`RUNNING` and the like."""
    return enum_name(Job.State, job.state, "STATE_")


def because(job: Job) -> Cell:
    """Why it stands there; nothing where the reason only says the state again, as that of a job that is DONE."""
    return "" if job.state_reason.code == state(job) else job.state_reason


COLUMNS = (
    Column("JOB", lambda job: job.name),
    Column("STATE", state),
    Column("ACCOUNT", lambda job: job.account, rank=4),
    Column("PRIORITY", lambda job: values.unless_zero(job.priority), rank=5),
    Column("SUBMITTED", lambda job: job.create_time, rank=2),
    Column("ENDED", lambda job: job.end_time, rank=3),
    Column("NAME", lambda job: job.display_name, rank=1),
    Column("BECAUSE", because, fold=True),
)
JOBS = 100
"""How many are listed where no limit is given."""
STATES = [
    name.removeprefix("STATE_") for name in Job.State.DESCRIPTOR.values_by_name if not name.endswith("UNSPECIFIED")
]


@click.command("list")
@click.argument("filter_", metavar="[FILTER]", default="")
@click.option(
    "--state",
    "states",
    type=click.Choice(STATES, case_sensitive=False),
    multiple=True,
    help="Only in this state; repeatable.",
)
@click.option(
    "--label", "labels", multiple=True, metavar="KEY[=VALUE]", help="Only with this label; repeatable, all must hold."
)
@click.option("--account", type=Name("accounts"), default="", help="Only those this account pays for.")
@click.option("--since", default="", metavar="TIME", help="Only those submitted since, such as 2h or 2026-11-29.")
@listing
async def list_jobs(
    session: Session,
    filter_: str,
    states: tuple[str, ...],
    labels: tuple[str, ...],
    account: str,
    since: str,
) -> None:
    """List your jobs, newest first: 100, or as many as --limit says.

    FILTER keeps some of them, such as 'labels.team = "vision" AND NOT state = DONE'. What it and the options keep is
    found by the service; --sort orders what has been listed.
    """
    session = replace(session, limit=JOBS) if session.limit is None else session
    wanted = filter_of(filter_, states, labels, account, session.moment(since))
    async with session.mesh() as mesh:
        jobs = await listed(session, mesh.scheduler.ListJobs, ListJobsRequest(filter=wanted), "jobs")
    output.show_list(session.view, "jobs", jobs, COLUMNS)


def filter_of(
    given: str, states: Sequence[str], labels: Sequence[str], account: str, since: Timestamp | None = None
) -> str:
    """One filter that keeps what `given` and all the options keep."""
    terms = [f"({given})"] if given else []
    if states:
        terms.append("(" + " OR ".join(f"state = {state}" for state in states) + ")")
    for label in labels:
        key, equals, value = label.partition("=")
        terms.append(f"labels.{key} = {quoted(value)}" if equals else f"labels.{key}:*")
    if account:
        terms.append(f"account = {quoted(full_name('accounts', account))}")
    if since is not None:
        terms.append(f'create_time >= "{since.ToJsonString()}"')
    return " AND ".join(terms) if len(terms) > 1 or not given else given


def quoted(text: str) -> str:
    """`text` as a filter writes it."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
