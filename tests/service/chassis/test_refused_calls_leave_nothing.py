"""A refused call takes what it held with it, its message above all.

What is held in a circle of references stays until the garbage collector comes, which a flood of refused calls does not
wait for.
"""

from __future__ import annotations

import gc
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from types import FrameType
from typing import Any

import grpc
import pytest

from suanmesh_chassis import Call, Forwarded
from suanmesh_chassis.probe import PROBE_SERVICE, SERVICE, Probe
from suanmesh_chassis.testing import LoopbackNode
from suanmesh_kernel.refusals import FailedPrecondition, Refusal, Unavailable
from suanmesh_telemetry.testing import ended_spans

CALLS = 3


class Absent:
    """Answers no call."""

    async def unary(self, method: str, request: bytes, call: Call) -> bytes:
        raise Unavailable("NOT_READY", "nobody is there")

    async def stream(self, method: str, requests: AsyncIterator[bytes], call: Call) -> AsyncGenerator[bytes, None]:
        raise Unavailable("NOT_READY", "nobody is there")
        yield b""


async def left_by(call: Callable[[], Awaitable[Any]], spans: int) -> list[str]:
    """What of ours only the garbage collector would have tidied after some refused calls; each leaves `spans`."""
    gc.collect()
    gc.disable()
    try:
        for _ in range(CALLS):
            await _refused(call)
        await ended_spans(CALLS * spans)
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        return [repr(each) for each in gc.garbage if _is_ours(each)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


async def _refused(call: Callable[[], Awaitable[Any]]) -> None:
    try:
        await call()
    except Refusal:
        return
    pytest.fail("the call was not refused")


def _is_ours(thing: object) -> bool:
    where = thing.f_code.co_filename if isinstance(thing, FrameType) else str(type(thing).__module__)
    return "suanmesh" in where


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("Read", {"text": "refuse"}),
        ("Read", {"text": "x" * 5_000_000}),
        ("Read", {"raw": Probe(traceparent="x" * 65).SerializeToString()}),
        ("Read", {"raw": b"\xff"}),
        ("Change", {"text": "x"}),
        ("Manage", {"text": "x"}),
    ],
    ids=["by its handler", "too large", "beyond its bound", "malformed", "without request_id", "not allowed"],
)
async def test_a_server_keeps_nothing_of_a_refused_call(client: Any, method: str, said: dict[str, Any]) -> None:
    """A gateway whose callers are refused large messages grows by each of them."""
    assert await left_by(lambda: client.unary(method, **said), spans=1) == []


async def test_a_server_keeps_nothing_of_a_refused_stream(client: Any) -> None:
    """A watcher who is turned away again and again must not cost more each time."""

    async def read() -> None:
        try:
            async for _ in client.server_stream("List", "refuse"):
                pass
        except grpc.aio.AioRpcError as error:
            raise FailedPrecondition("PROBE_SAD", error.details() or "") from None

    assert await left_by(read, spans=1) == []


@pytest.fixture
async def channel(node: LoopbackNode) -> Any:
    """Where nobody answers."""
    at = await node.serve(node.process("registry"), [Forwarded(PROBE_SERVICE, Absent())])
    return node.mesh(at).channel("registry")


async def test_a_client_keeps_nothing_of_a_call_tried_in_vain(channel: Any) -> None:
    """A gateway is a client, too: what it passes on and tries again, it must let go."""
    read = channel.unary_unary(f"/{SERVICE}/Read")

    assert await left_by(lambda: read(b"", timeout=0.5), spans=1) == []


async def test_a_client_keeps_nothing_of_a_stream_tried_in_vain(channel: Any) -> None:
    """A watch is tried again for as long as somebody wants it."""
    watch = channel.unary_stream(f"/{SERVICE}/List")

    async def read() -> None:
        async for _ in watch(b"", timeout=0.5):
            pass

    assert await left_by(read, spans=1) == []
