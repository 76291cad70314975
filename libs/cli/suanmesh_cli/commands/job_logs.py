"""`suan job logs`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from suanmesh.scheduler.v1.scheduler_service_pb2 import GetJobRequest, ListJobsRequest, ReadJobLogsRequest
from suanmesh_cli import errors, following, output
from suanmesh_cli.commands.job_lists import filter_of
from suanmesh_cli.names import Name
from suanmesh_cli.session import Session, command, full_name, listed
from suanmesh_cli.terminal import LogText
from suanmesh_cli.usage import Misuse
from suanmesh_client.following import NOT_YET
from suanmesh_kernel.refusals import DeadlineExceeded, Refusal, Unavailable
from suanmesh_kernel.texts import Text

if TYPE_CHECKING:
    from suanmesh_sdk import Mesh

Read = Callable[[bytes, ReadJobLogsRequest], Coroutine[None, None, Refusal | None]]
TASK_INDEX_MAX = 2**31 - 1
TOGETHER_MAX = 100
"""Tasks whose logs are followed at the same time."""


@click.command("logs")
@click.argument("words", type=Name("jobs"), nargs=-1, metavar="[NAME]... [TASK]")
@click.option("-f", "--follow", is_flag=True, help="Go on until the tasks have ended.")
@click.option("--all-tasks", is_flag=True, help="Those of all tasks, each line behind the task's index.")
@click.option("--label", "labels", multiple=True, metavar="KEY[=VALUE]", help="Those of the jobs with this label.")
@click.option("--setup", is_flag=True, help="That of the setup before the tasks.")
@click.option("--tail", type=click.IntRange(1, 100_000), default=None, metavar="N", help="Only the last N lines.")
@click.option("--since", default="", metavar="TIME", help="Only what was written since, such as 10m.")
@click.option("--timestamps", is_flag=True, help="Begin each line with when it was written, to the second, in UTC.")
@click.option("--attempt", type=click.IntRange(1), default=None, metavar="N", help="Of this attempt of the job.")
@click.option("--previous", is_flag=True, help="Of the run before: of the task, or of the attempt before.")
@command
async def logs(
    session: Session,
    words: tuple[str, ...],
    follow: bool,
    all_tasks: bool,
    labels: tuple[str, ...],
    setup: bool,
    tail: int | None,
    since: str,
    timestamps: bool,
    attempt: int | None,
    previous: bool,
) -> int:
    """Print what the task TASK of the job NAME wrote, the first where none is given; of several jobs, each line behind
    the job it is of.

    A site keeps 8 MiB of a log unless its owner has set another bound: of a longer one the beginning, a quarter, and
    the end; a line tells how much is left out in between. Values of the job's secrets are shown as ***. What would
    command a terminal is escaped there.
    """
    names, task = _asked(words, labels)
    request = ReadJobLogsRequest(
        task=task, follow=follow, tail_lines=tail or 0, timestamps=timestamps,
        attempt=attempt or 0, previous=previous, setup=setup,
    )  # fmt: skip
    if begins := session.moment(since):
        request.since.CopyFrom(begins)
    shown, status = LogText(), 0
    async with session.mesh() as mesh:
        if labels:
            wanted = ListJobsRequest(filter=filter_of("", (), labels, ""))
            names += [job.name for job in await listed(session, mesh.scheduler.ListJobs, wanted, "jobs")]
        if not names:
            output.note(Text("no job has these labels", "没有带这些标签的作业").of(session.lang))
        names = list(dict.fromkeys(full_name("jobs", name) for name in names))
        requests = [_of(request, name=name) for name in names]
        if all_tasks or labels or len(requests) > 1:
            parts = await _parts(mesh, requests, session, all_tasks=all_tasks, named=bool(labels) or len(requests) > 1)
            read = partial(_one, session, mesh, following.Outage(session), lambda line: output.print_log(line, shown))
            status = await _together(parts, read)
        else:
            async for piece in following.log(session, mesh, requests[0], following.Outage(session)):
                output.print_log(piece, shown)
        output.print_log(b"", shown, final=True)
    return status


def _asked(words: Sequence[str], labels: Sequence[str]) -> tuple[list[str], int]:
    """The jobs, and the task of them: a number behind a name."""
    if not (words or labels):
        raise Misuse(Text("Name a job, or give --label.", "请指明作业，或给出 --label。"), click.get_current_context())
    last = words[-1] if words else ""
    if not last.isdecimal() or (len(words) == 1 and not labels):
        return list(words), 0
    if int(last) > TASK_INDEX_MAX:
        raise Misuse(Text(f"No job has a task {last}.", f"没有哪个作业有任务 {last}。"), click.get_current_context())
    return list(words[:-1]), int(last)


def _of(request: ReadJobLogsRequest, **fields: Any) -> ReadJobLogsRequest:
    """The same with other fields."""
    asked = ReadJobLogsRequest()
    asked.CopyFrom(request)
    for field, value in fields.items():
        setattr(asked, field, value)
    return asked


async def _parts(
    mesh: Mesh, requests: Sequence[ReadJobLogsRequest], session: Session, *, all_tasks: bool, named: bool
) -> list[tuple[bytes, ReadJobLogsRequest]]:
    """What is to be read, each behind what its lines begin with."""
    parts: list[tuple[bytes, ReadJobLogsRequest]] = []
    for request in requests:
        job = request.name.removeprefix("jobs/")
        if not all_tasks:
            parts.append((f"[{job}] ".encode(), request))
            continue
        found = await mesh.scheduler.GetJob(GetJobRequest(name=request.name), timeout=session.timeout_s)
        for task in range(max(1, found.task.count)):
            mark = f"[{job} {task}] " if named else f"[{task}] "
            parts.append((mark.encode(), _of(request, task=task)))
    return parts


async def _together(parts: Sequence[tuple[bytes, ReadJobLogsRequest]], read: Read) -> int:
    """One after the other, or all at a time where they are followed; the exit status, as of `each_of`.

    Raises where the mesh does not answer: then there is nothing to be had of the others either.
    """
    if not (parts and parts[0][1].follow):
        return _first([await read(mark, request) for mark, request in parts])
    if (count := len(parts)) > TOGETHER_MAX:
        many = Text(
            f"{count} logs cannot be followed together, at most {TOGETHER_MAX}: name a task or fewer jobs",
            f"不能同时跟踪 {count} 个日志，最多 {TOGETHER_MAX} 个：请指明任务或减少作业",
        )
        raise Misuse(many)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(read(mark, request)) for mark, request in parts]
    return _first([task.result() for task in tasks])


def _first(refusals: Sequence[Refusal | None]) -> int:
    """What the first says that is one; tasks that have not begun have no log, and are no fault."""
    met = [each for each in refusals if each is not None and each.reason not in NOT_YET]
    if away := next((each for each in met if isinstance(each, (Unavailable, DeadlineExceeded))), None):
        raise away
    return errors.exit_status(met[0]) if met else 0


async def _one(
    session: Session,
    mesh: Mesh,
    outage: following.Outage,
    show: Callable[[bytes], None],
    mark: bytes,
    request: ReadJobLogsRequest,
) -> Refusal | None:
    """By whole lines; what has no log keeps no other away, and is told, and answered."""
    begun, met = b"", None
    try:
        async for piece in following.log(session, mesh, request, outage):
            *lines, begun = (begun + piece).split(b"\n")
            for line in lines:
                show(b"%b%b\n" % (mark, line))
    except Refusal as refusal:
        met = refusal
        output.note(f"{mark.decode()}{refusal.reason}: {refusal.message}")
    if begun:
        show(b"%b%b\n" % (mark, begun))
    return met
