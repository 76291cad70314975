"""Following a job: its states until it has ended, and its log wherever that lies now."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from suanmesh.scheduler.v1.job_pb2 import Job
from suanmesh.scheduler.v1.scheduler_service_pb2 import GetJobRequest, ReadJobLogsRequest, WatchJobRequest
from suanmesh.transport.v1.dataset_pb2 import Manifest
from suanmesh.transport.v1.transport_service_pb2 import ReadFileRequest
from suanmesh_cli import output
from suanmesh_cli.render.states import because
from suanmesh_cli.texts import refusal as refused
from suanmesh_kernel.refusals import DeadlineExceeded, NotFound, Refusal, Unavailable
from suanmesh_kernel.texts import Text

if TYPE_CHECKING:
    from suanmesh_sdk import Mesh

ENDED = frozenset((Job.STATE_DONE, Job.STATE_FAILED, Job.STATE_CANCELLED))
REOPEN_S = 0.5
_NO_TIMES = Text(
    "the log is read as it was delivered: when its lines were written is no longer known",
    "日志取自送达的数据集，各行的写入时间已不可知",
)
MANIFEST_BYTES_MAX = 16 * 1024 * 1024


class Outage:
    """A service that does not answer for a while: one line when it begins, one when it is over."""

    def __init__(self, lang: str) -> None:
        self._lang = lang
        self._lasts = False

    def begun(self, refusal: Refusal) -> None:
        """Say so, once."""
        if not self._lasts:
            said = Text(f"{refusal.reason}: no answer; asking on", f"{refusal.reason}：没有应答，继续询问")
            output.note(said.of(self._lang))
        self._lasts = True

    def over(self) -> None:
        """Say so, where it had begun."""
        if self._lasts:
            output.note(Text("it answers again", "已恢复应答").of(self._lang))
        self._lasts = False


async def until_ended(mesh: Mesh, name: str, *, lang: str = "en") -> Job:
    """The job as it ended; each new state is said. A broken stream is opened again.

    Whoever stops waiting, by Ctrl-C or because time ran out, is told that the job goes on and how to come back.
    """
    try:
        return await _until_ended(mesh, name, lang)
    except asyncio.CancelledError:
        back = f"suan job wait {name.removeprefix('jobs/')}"
        output.note(Text(f"{name} goes on; come back with `{back}`", f"{name} 仍在继续；用 `{back}` 回来").of(lang))
        raise


def say_change(job: Job, lang: str = "en") -> None:
    """One line on standard error for each state; the code of a reason that only says the state again is left out."""
    state = Job.State.Name(job.state).removeprefix("STATE_")
    reason = because(job.state_reason, lang).removeprefix(f"{state}: ")
    output.note(f"{job.name} {state}" + (f": {reason}" if reason else ""))


async def log(mesh: Mesh, request: ReadJobLogsRequest, lang: str = "en") -> AsyncIterator[bytes]:
    """What a task wrote: from its site while it is there, else from the dataset the log became.

    That has the newest run only, and not when its lines were written.
    """
    sent = False
    try:
        async for piece in mesh.scheduler.ReadJobLogs(request):
            sent = True
            yield piece.content
    except Refusal:
        newest = not (sent or request.attempt or request.previous)
        delivered = await _delivered_log(mesh, request.name) if newest else ""
        if not delivered:
            raise
        if request.timestamps or request.HasField("since"):
            output.note(_NO_TIMES.of(lang))
        lines: deque[bytes] | None = deque(maxlen=request.tail_lines) if request.tail_lines else None
        begun = b""
        async for content in _log_file(mesh, delivered, request.task):
            if lines is None:
                yield content
                continue
            *whole, begun = (begun + content).split(b"\n")
            lines.extend(line + b"\n" for line in whole)
        if lines is not None:
            lines.extend([begun] if begun else [])
            yield b"".join(lines)


async def _until_ended(mesh: Mesh, name: str, lang: str) -> Job:
    outage = Outage(lang)
    last: tuple[int, bytes] | None = None
    request = WatchJobRequest(name=name)
    while True:
        try:
            async for job in mesh.scheduler.WatchJob(request):
                outage.over()
                request.resume_token = job.etag
                stands = (job.state, job.state_reason.SerializeToString(deterministic=True))
                if stands != last:
                    last = stands
                    say_change(job, lang)
                if job.state in ENDED:
                    return job
        except (Unavailable, DeadlineExceeded) as refusal:
            outage.begun(refusal)
        await asyncio.sleep(REOPEN_S)


async def _delivered_log(mesh: Mesh, name: str) -> str:
    """The dataset a job's log became, or nothing: it follows those of the outputs."""
    job = await mesh.scheduler.GetJob(GetJobRequest(name=name))
    return next(iter(job.output_datasets[len(job.outputs) :]), "")


async def _log_file(mesh: Mesh, dataset: str, task: int) -> AsyncIterator[bytes]:
    async for piece in mesh.transport.ReadFile(ReadFileRequest(dataset=dataset, path=f"task-{task}.log".encode())):
        yield piece.content


async def manifest_of(mesh: Mesh, dataset: str) -> Manifest:
    """What a dataset holds."""
    content = b""
    async for piece in mesh.transport.ReadFile(ReadFileRequest(dataset=dataset)):
        content += piece.content
        if len(content) > MANIFEST_BYTES_MAX:
            large = Text(f"the manifest of {dataset} is too large to read here", f"{dataset} 的清单过大，无法在此读取")
            raise refused(NotFound, "FILE_UNKNOWN", large, name=dataset)
    return Manifest.FromString(content)
