"""The hook sees each call begin and end exactly once, however the call goes."""

from __future__ import annotations

import asyncio
import gc
from contextlib import nullcontext
from typing import Any

import pytest
from grpc import aio

from suanmesh.registry.v1.registry_service_pb2 import GetSiteRequest, ReportStateRequest
from suanmesh.registry.v1.site_pb2 import Site
from suanmesh.scheduler.v1.job_pb2 import Job
from suanmesh.scheduler.v1.scheduler_service_pb2 import WatchJobRequest
from suanmesh_kernel.refusals import DeadlineExceeded, NotFound, Refusal, Unavailable
from suanmesh_sdk import connect

SITE = GetSiteRequest(name="sites/a")
WATCH = WatchJobRequest(name="jobs/1")


class Ledger:
    """A hook that writes down what it is told."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, str]] = []
        self.ended: list[tuple[str, int]] = []

    def begin(self, method: str, effect: str) -> _Call:
        self.begun.append((method.rpartition("/")[2], effect))
        return _Call(self)


class _Call:
    headers = (("traceparent", "00-" + "1" * 32 + "-" + "2" * 16 + "-01"),)

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def end(self, code: str, *, address: str, attempts: int, refusal: Refusal | None) -> None:
        self._ledger.ended.append((code, attempts))


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


async def ok(request: bytes, context: Any) -> bytes:
    return Site(name="sites/a").SerializeToString()


async def unknown(request: bytes, context: Any) -> bytes:
    raise NotFound("SITE_UNKNOWN", "no such site")


async def away(request: bytes, context: Any) -> bytes:
    raise Unavailable("NOT_READY", "draining")


async def never(request: bytes, context: Any) -> bytes:
    await asyncio.Event().wait()
    return b""


async def one_job(request: Any, context: Any) -> None:
    await context.write(Job(name="jobs/1").SerializeToString())


async def one_job_then_away(request: Any, context: Any) -> None:
    await one_job(request, context)
    raise Unavailable("NOT_READY", "draining")


async def jobs_for_ever(request: Any, context: Any) -> None:
    while True:
        await one_job(request, context)
        await asyncio.sleep(0.001)


@pytest.mark.parametrize(
    ("answer", "timeout_s", "ended"),
    [(ok, 5, "OK"), (unknown, 5, "NOT_FOUND"), (away, 0.5, "UNAVAILABLE"), (never, 0.1, "DEADLINE_EXCEEDED")],
)
async def test_a_unary_call_ends_once(
    serve: Any, tls: Any, ledger: Ledger, answer: Any, timeout_s: float, ended: str
) -> None:
    """A span that never ends is never exported, and its trace has a hole where the fault was."""
    oracle = await serve()
    oracle.answer = answer
    async with connect(oracle.address, tls=tls, node="demo", hook=ledger) as mesh:
        if ended == "OK":
            await mesh.registry.GetSite(SITE, timeout=timeout_s)
        else:
            with pytest.raises(Refusal):
                await mesh.registry.GetSite(SITE, timeout=timeout_s)
    assert ledger.begun == [("GetSite", "READ")]
    assert [code for code, _ in ledger.ended] == [ended]
    assert all("traceparent" in headers for headers in oracle.headers)


async def test_a_cancelled_call_ends_once(serve: Any, tls: Any, ledger: Ledger) -> None:
    """A caller that gave up must show up as such, not as a call that still runs."""
    oracle = await serve()
    arrived = asyncio.Event()

    async def hold(request: bytes, context: Any) -> bytes:
        arrived.set()
        return await never(request, context)

    oracle.answer = hold
    async with connect(oracle.address, tls=tls, node="demo", hook=ledger) as mesh, asyncio.TaskGroup() as tasks:
        call: asyncio.Task[Site] = tasks.create_task(mesh.registry.GetSite(SITE))  # type: ignore[arg-type]
        await arrived.wait()
        call.cancel()
    assert ledger.ended == [("CANCELLED", 1)]


@pytest.mark.parametrize(
    ("stream", "ended"), [(one_job, "OK"), (one_job_then_away, "UNAVAILABLE"), (unknown, "NOT_FOUND")]
)
async def test_a_stream_ends_once(serve: Any, tls: Any, ledger: Ledger, stream: Any, ended: str) -> None:
    """Streams are where spans get lost."""
    oracle = await serve()
    oracle.stream = stream
    async with connect(oracle.address, tls=tls, node="demo", hook=ledger) as mesh:
        with nullcontext() if ended == "OK" else pytest.raises(Refusal):
            await _drain(mesh.scheduler.WatchJob(WATCH))
    assert ledger.ended == [(ended, 1)]


@pytest.mark.parametrize("how", ["break", "cancel", "task"])
async def test_a_stream_broken_off_ends_once(serve: Any, tls: Any, ledger: Ledger, how: str) -> None:
    """A user who has seen enough leaves no span open."""
    oracle = await serve()
    oracle.stream = jobs_for_ever
    async with connect(oracle.address, tls=tls, node="demo", hook=ledger) as mesh:
        call = mesh.scheduler.WatchJob(WATCH)
        if how == "task":
            async with asyncio.TaskGroup() as tasks:
                reading = tasks.create_task(_drain(call))
                await call.read()
                reading.cancel()
        else:
            await call.read()
            if how == "cancel":
                call.cancel()
        del call
        gc.collect()
        assert ledger.ended == [("CANCELLED", 1)]


async def _drain(call: Any) -> None:
    async for _ in call:
        pass


async def test_a_stream_never_read_leaves_nothing_open(serve: Any, tls: Any, ledger: Ledger) -> None:
    """Making a call object is not calling."""
    oracle = await serve()
    async with connect(oracle.address, tls=tls, node="demo", hook=ledger) as mesh:
        mesh.scheduler.WatchJob(WATCH)
    assert len(ledger.begun) == len(ledger.ended) == 0


async def test_a_two_way_stream_ends_once(serve: Any, tls: Any, ledger: Ledger) -> None:
    """An agent keeps such a stream for days; its end is what an operator looks for."""
    oracle = await serve()

    async def silent(requests: Any, context: Any) -> None:
        async for _ in requests:
            pass

    oracle.stream = silent
    async with connect(oracle.address, tls=tls, node="demo", hook=ledger) as mesh:
        call = mesh.registry.ReportState()
        await call.write(ReportStateRequest(sequence=1))
        await call.done_writing()
        assert await call.read() is aio.EOF
        assert await call.read() is aio.EOF
    assert ledger.ended == [("OK", 1)]


async def test_a_method_without_time_ends_once(serve: Any, tls: Any, ledger: Ledger) -> None:
    """A call that is not even sent is still a call somebody waits for."""
    oracle = await serve()
    async with connect(oracle.address, tls=tls, node="demo", hook=ledger) as mesh:
        with pytest.raises(DeadlineExceeded):
            await mesh.registry.GetSite(SITE, timeout=0)
    assert ledger.ended == [("DEADLINE_EXCEEDED", 0)]
    assert oracle.asked == []
