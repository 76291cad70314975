"""Following a job: its states until it has ended, and its log wherever that lies now."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING

from suanmesh.scheduler.v1.job_pb2 import Job
from suanmesh.scheduler.v1.scheduler_service_pb2 import GetJobRequest, ReadJobLogsRequest, WatchJobRequest
from suanmesh.transport.v1.transport_service_pb2 import ReadFileRequest
from suanmesh_kernel.names import SETUP_LOG, last, log_file
from suanmesh_kernel.refusals import DeadlineExceeded, NotFound, Refusal, Unavailable

if TYPE_CHECKING:
    from suanmesh_sdk import Mesh

ENDED = frozenset((Job.STATE_DONE, Job.STATE_FAILED, Job.STATE_CANCELLED))
REOPEN_S = 0.5
"""Pause before a stream that broke is opened again."""
LOOK_AGAIN_S_MAX = 4.0
"""Longest pause until a log that is not there yet is asked for again: a hundred tasks may be followed together."""
NOT_YET = frozenset(("LOG_NOT_READY", "LOG_UNKNOWN"))
"""Why there is no log, where its task has not started."""


def log_dataset(job: Job) -> str:
    """The dataset that the log of a job's newest run became, or nothing; of older jobs it follows those of outputs."""
    return job.log_dataset or next(iter(job.output_datasets[len(job.outputs) :]), "")


async def changes(
    mesh: Mesh, name: str, *, on_outage: Callable[[Refusal | None], None] = lambda _: None
) -> AsyncGenerator[Job, None]:
    """The job as it is now, then anew whenever its state or the reason of it has changed, until it has ended.

    A service that is away is waited for: `on_outage` is told by what, and None with every answer.
    """
    last: tuple[int, bytes] | None = None
    while True:
        try:
            async for job in mesh.scheduler.WatchJob(WatchJobRequest(name=name)):
                on_outage(None)
                stands = (job.state, job.state_reason.SerializeToString(deterministic=True))
                if stands != last:
                    last = stands
                    yield job
                if job.state in ENDED:
                    return
        except (Unavailable, DeadlineExceeded) as refusal:
            on_outage(refusal)
        await asyncio.sleep(REOPEN_S)


async def log(
    mesh: Mesh,
    request: ReadJobLogsRequest,
    *,
    timeout_s: float | None = None,
    on_delivered: Callable[[], None] = lambda: None,
    on_outage: Callable[[Refusal | None], None] = lambda _: None,
    on_attempt: Callable[[Job], None] = lambda _: None,
) -> AsyncIterator[bytes]:
    """What a task wrote: from its site while it is there, else from the dataset the log became.

    That does not say when lines were written: `on_delivered` is told before it is read. With `follow`, a task that has
    not started is waited for, and so is a service that is away: `on_outage` is told by what, and None with every
    answer. A job that is placed anew meanwhile, as when its site is lost, is followed there, from the beginning of that
    attempt: `on_attempt` is told of it before. Within `timeout_s` a site that is away is told as such.
    """
    asked = ReadJobLogsRequest()
    asked.CopyFrom(request)
    while True:
        ended: Refusal | None = None
        try:
            async for content in _log_of_run(mesh, asked, timeout_s, on_delivered, on_outage):
                yield content
        except Refusal as refusal:
            ended = refusal
        job = await _placed_anew(mesh, asked, on_outage)
        if job is None and ended is not None:
            raise ended
        if job is None:
            return
        on_attempt(job)
        asked = ReadJobLogsRequest(name=request.name, task=request.task, follow=True, timestamps=request.timestamps)


async def _log_of_run(
    mesh: Mesh,
    asked: ReadJobLogsRequest,
    timeout_s: float | None,
    on_delivered: Callable[[], None],
    on_outage: Callable[[Refusal | None], None],
) -> AsyncIterator[bytes]:
    """That of one run; `asked` has behind what it was given where it would go on."""
    request = ReadJobLogsRequest()
    request.CopyFrom(asked)
    sent, wait, pause_s = False, request.follow, REOPEN_S
    unknown: Refusal
    while True:
        try:
            async for piece in mesh.scheduler.ReadJobLogs(asked, timeout=timeout_s):
                sent, asked.resume_token = True, piece.resume_token
                on_outage(None)
                yield piece.content
            return
        except Refusal as refusal:
            resumable = request.follow and bool(asked.resume_token or not sent)
            if resumable and await _comes_back(mesh, asked, refusal, timeout_s, on_outage):
                continue
            delivered = "" if sent else refusal.facts.get("dataset", "")
            if wait and not (sent or delivered) and refusal.reason in NOT_YET:
                wait = await _may_start(mesh, request)  # asked for once more where it has ended meanwhile
                await asyncio.sleep(pause_s if wait else 0)
                pause_s = min(2 * pause_s, LOOK_AGAIN_S_MAX)
                continue
            if not (delivered or sent or request.attempt or request.previous):
                delivered = log_dataset(await mesh.scheduler.GetJob(GetJobRequest(name=request.name)))
            if not delivered:
                raise
            unknown = refusal
        break
    on_delivered()
    file = unknown.facts.get("file") or (SETUP_LOG if request.setup else log_file(request.task))
    pieces = _log_file(mesh, delivered, file)
    try:
        async for content in _tail(pieces, request.tail_lines) if request.tail_lines else pieces:
            yield content
    except NotFound:
        raise unknown from None


async def _comes_back(
    mesh: Mesh,
    asked: ReadJobLogsRequest,
    refusal: Refusal,
    timeout_s: float | None,
    on_outage: Callable[[Refusal | None], None],
) -> bool:
    """Whether a log that broke off for `refusal` may go on, after a pause: a service restarts, or the site's agent.

    Of a site that cannot be reached before there was anything to read, a reader who has no more time is told.
    """
    if isinstance(refusal, DeadlineExceeded):  # a stream that was given no time has an hour
        return timeout_s is None
    away = refusal.reason == "SITE_UNREACHABLE" and (asked.resume_token or timeout_s is None)
    if not (isinstance(refusal, Unavailable) or away):
        return False
    while True:
        on_outage(refusal)
        await asyncio.sleep(REOPEN_S)
        try:
            goes_on = await _may_start(mesh, asked)
        except (Unavailable, DeadlineExceeded) as still:
            refusal = still
            continue
        if isinstance(refusal, (Unavailable, DeadlineExceeded)):
            on_outage(None)
            return True
        return goes_on


async def _may_start(mesh: Mesh, request: ReadJobLogsRequest) -> bool:
    """Whether its job goes on, where the run that is followed is."""
    job = await mesh.scheduler.GetJob(GetJobRequest(name=request.name))
    return job.state not in ENDED and not _is_elsewhere(job, request)


async def _placed_anew(
    mesh: Mesh, asked: ReadJobLogsRequest, on_outage: Callable[[Refusal | None], None]
) -> Job | None:
    """The job once it runs elsewhere than where its log was followed, after it has waited for a place; else None."""
    if not (asked.follow and _followed(asked)) or asked.attempt or asked.previous or asked.setup:
        return None
    async with aclosing(changes(mesh, asked.name, on_outage=on_outage)) as states:
        async for job in states:
            if _is_elsewhere(job, asked):
                return job
            if job.placement:
                return None
    return None


def _is_elsewhere(job: Job, asked: ReadJobLogsRequest) -> bool:
    """Whether it has another placement than the one whose log is followed."""
    followed = _followed(asked)
    return bool(followed and job.placement) and last(job.placement) != followed


def _followed(asked: ReadJobLogsRequest) -> str:
    """The id of the placement whose log it goes on in; empty where it has not begun, or cannot go on."""
    placement, goes_on, _ = asked.resume_token.partition(".")
    return placement if goes_on else ""


async def _tail(pieces: AsyncIterator[bytes], lines_max: int) -> AsyncIterator[bytes]:
    """The last lines, in one piece."""
    lines: deque[bytes] = deque(maxlen=lines_max)
    begun = b""
    async for content in pieces:
        *whole, begun = (begun + content).split(b"\n")
        lines.extend(line + b"\n" for line in whole)
    lines.extend([begun] if begun else [])
    yield b"".join(lines)


async def _log_file(mesh: Mesh, dataset: str, path: str) -> AsyncIterator[bytes]:
    async for piece in mesh.transport.ReadFile(ReadFileRequest(dataset=dataset, path=path.encode())):
        yield piece.content
