"""Following a job: its states until it has ended, and its log wherever that lies now."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from suanmesh.scheduler.v1.job_pb2 import Job
from suanmesh.scheduler.v1.scheduler_service_pb2 import GetJobRequest, ReadJobLogsRequest
from suanmesh_cli import output
from suanmesh_cli.render.states import because
from suanmesh_client import following
from suanmesh_kernel.refusals import Refusal
from suanmesh_kernel.texts import Text
from suanmesh_sdk.enums import enum_name

if TYPE_CHECKING:
    from suanmesh_cli.session import Session
    from suanmesh_sdk import Mesh

KEPT = Text(
    "what has been moved is kept: the same command goes on where it was",
    "已传输的部分会保留：再次执行同一命令会从中断处继续",
)
_NO_TIMES = Text(
    "the log is read as it was delivered: when its lines were written is no longer known",
    "日志取自送达的数据集，各行的写入时间已不可知",
)


class Outage:
    """A service that does not answer for a while: one line when it begins, one when it is over."""

    def __init__(self, session: Session) -> None:
        self._lang = session.lang
        self._reach = session.reach
        self._reach.begin()
        self._lasts = False

    def told(self, refusal: Refusal | None) -> None:
        """There is no answer, for what `refusal` says; or None, there is one."""
        self._reach.told(refusal)
        if refusal is not None and not self._lasts:
            said = Text(f"{refusal.reason}: no answer; asking on", f"{refusal.reason}：没有应答，继续询问")
            output.note(said.of(self._lang))
        if refusal is None and self._lasts:
            output.note(Text("it answers again", "已恢复应答").of(self._lang))
        self._lasts = refusal is not None


@contextmanager
def telling_who_leaves(session: Session, said: Text) -> Iterator[None]:
    """Whoever stops waiting within, by Ctrl-C or because time ran out, is told what goes on and how to come back."""
    try:
        yield
    except asyncio.CancelledError:
        output.note(said.of(session.lang))
        raise


def goes_on(name: str, back: str) -> Text:
    """What whoever leaves `name` alone is told; `back` is the command to come back with."""
    return Text(f"{name} goes on; come back with `{back}`", f"{name} 仍在继续；用 `{back}` 回来")


async def until_ended(session: Session, mesh: Mesh, name: str) -> Job:
    """The job as it ended; each new state is said. A broken stream is opened again."""
    job, outage = Job(name=name), Outage(session)
    session.reach.ask = lambda mesh: mesh.scheduler.GetJob(GetJobRequest(name=name))
    with telling_who_leaves(session, goes_on(name, f"suan job wait {name.removeprefix('jobs/')}")):
        async for job in following.changes(mesh, name, on_outage=outage.told):
            say_change(job, session.lang)
    return job


def say_change(job: Job, lang: str = "en") -> None:
    """One line on standard error for each state; the code of a reason that only says the state again is left out."""
    state = enum_name(Job.State, job.state, "STATE_")
    reason = because(job.state_reason, lang).removeprefix(f"{state}: ")
    output.note(f"{job.name} {state}" + (f": {reason}" if reason else ""))


async def log(session: Session, mesh: Mesh, request: ReadJobLogsRequest, outage: Outage) -> AsyncIterator[bytes]:
    """What a task wrote; a note says where times were asked for that are no longer known."""

    def on_delivered() -> None:
        if request.timestamps or request.HasField("since"):
            output.note(_NO_TIMES.of(session.lang))

    def on_attempt(job: Job) -> None:
        placed = Text(
            f"{job.name} was placed anew: attempt {job.attempt} from its beginning",
            f"{job.name} 已重新落位：从头显示第 {job.attempt} 次尝试",
        )
        output.note(placed.of(session.lang))

    session.reach.ask = lambda mesh: mesh.scheduler.GetJob(GetJobRequest(name=request.name))
    read = following.log(
        mesh,
        request,
        timeout_s=session.bound_s,
        on_delivered=on_delivered,
        on_outage=outage.told,
        on_attempt=on_attempt,
    )
    async for content in read:
        yield content
