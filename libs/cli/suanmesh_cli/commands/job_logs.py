"""`suan job logs`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

import click

from suanmesh.scheduler.v1.scheduler_service_pb2 import GetJobRequest, ReadJobLogsRequest
from suanmesh_cli import following, output
from suanmesh_cli.commands.job_lists import Since
from suanmesh_cli.names import Name
from suanmesh_cli.session import Session, command, full_name
from suanmesh_cli.terminal import LogText
from suanmesh_cli.usage import Misuse
from suanmesh_kernel.refusals import Refusal
from suanmesh_kernel.texts import Text

if TYPE_CHECKING:
    from suanmesh_sdk import Mesh

TASK_INDEX_MAX = 2**31 - 1
TOGETHER_MAX = 100
"""Tasks whose logs are followed at the same time."""


@click.command("logs")
@click.argument("name", type=Name("jobs"))
@click.argument("task", type=click.IntRange(0, TASK_INDEX_MAX), default=0)
@click.option("-f", "--follow", is_flag=True, help="Go on until the tasks have ended.")
@click.option("--all-tasks", is_flag=True, help="Those of all tasks, each line behind the task's index.")
@click.option("--setup", is_flag=True, help="That of the setup before the tasks.")
@click.option("--tail", type=click.IntRange(1, 100_000), default=None, metavar="N", help="Only the last N lines.")
@click.option("--since", type=Since(), default=None, metavar="TIME", help="Only what was written since, such as 10m.")
@click.option("--timestamps", is_flag=True, help="Begin each line with when it was written, to the second, in UTC.")
@click.option("--attempt", type=click.IntRange(1), default=None, metavar="N", help="Of this attempt of the job.")
@click.option("--previous", is_flag=True, help="Of the run before: of the task, or of the attempt before.")
@command
async def logs(
    session: Session,
    name: str,
    task: int,
    follow: bool,
    all_tasks: bool,
    setup: bool,
    tail: int | None,
    since: datetime | None,
    timestamps: bool,
    attempt: int | None,
    previous: bool,
) -> None:
    """Print what the task TASK of the job NAME wrote, the first where none is given.

    A site keeps 8 MiB of a log unless its owner has set another bound: of a longer one the beginning, a quarter, and
    the end; a line tells how much is left out in between. What would command a terminal is escaped there.
    """
    request = ReadJobLogsRequest(
        name=full_name("jobs", name), task=task, follow=follow, tail_lines=tail or 0, timestamps=timestamps,
        attempt=attempt or 0, previous=previous, setup=setup,
    )  # fmt: skip
    if since is not None:
        request.since.FromDatetime(since)
    shown = LogText()
    async with session.mesh() as mesh:
        if all_tasks:
            await _all(mesh, request, session, lambda line: output.print_log(line, shown))
        else:
            async for piece in following.log(mesh, request, session.lang):
                output.print_log(piece, shown)
        output.print_log(b"", shown, final=True)


async def _all(mesh: Mesh, request: ReadJobLogsRequest, session: Session, show: Callable[[bytes], None]) -> None:
    """One task after the other, or all at a time where they are followed."""
    job = await mesh.scheduler.GetJob(GetJobRequest(name=request.name), timeout=session.timeout_s)
    count = max(1, job.task.count)
    if request.follow and count > TOGETHER_MAX:
        many = Text(
            f"the logs of {count} tasks cannot be followed together, at most {TOGETHER_MAX}: name a task",
            f"不能同时跟踪 {count} 个任务的日志，最多 {TOGETHER_MAX} 个：请指明任务",
        )
        raise Misuse(many)
    asked: list[ReadJobLogsRequest] = []
    for task in range(count):
        one = ReadJobLogsRequest()
        one.CopyFrom(request)
        one.task = task
        asked.append(one)
    if request.follow:
        async with asyncio.TaskGroup() as group:
            for one in asked:
                group.create_task(_one_of_all(mesh, one, session, show))
    else:
        for one in asked:
            await _one_of_all(mesh, one, session, show)


async def _one_of_all(mesh: Mesh, request: ReadJobLogsRequest, session: Session, show: Callable[[bytes], None]) -> None:
    """By whole lines; a task that has no log keeps no other away."""
    begun = b""
    try:
        async for piece in following.log(mesh, request, session.lang):
            *lines, begun = (begun + piece).split(b"\n")
            for line in lines:
                show(b"[%d] %b\n" % (request.task, line))
    except Refusal as refusal:
        output.note(f"[{request.task}] {refusal.reason}: {refusal.message}")
    if begun:
        show(b"[%d] %b\n" % (request.task, begun))
