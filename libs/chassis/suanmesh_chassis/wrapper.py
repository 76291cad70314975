"""The one wrapper round every call served, of all four kinds.

It proves the caller, checks role, deadline and limits, and only then reads: gRPC is told that every request is a
stream, since it would read the message of any other call itself, whoever sends it. It parses the raw bytes under our
own limit, gives a repeated `request_id` its old answer, turns refusals into statuses, and leaves one span, one metric
sample and one log line, whatever happens.

gRPC's context keeps the error that a call was refused with, and the error its frames: no frame here keeps the context,
or both, and the message with them, would stay until the garbage collector comes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import grpc
from google.protobuf.message import Message

from suanmesh_chassis.methods import ServedMethod, Shape
from suanmesh_chassis.parts import RawForwarder
from suanmesh_chassis.serving import Rules, Serving
from suanmesh_chassis.streams import Streams
from suanmesh_kernel.refusals import Aborted, Refusal, Unavailable
from suanmesh_sdk.status import MESH_DOMAIN
from suanmesh_store import AlreadyAnswered

TURNS_MAX = 4
"""How often a request is gone on with that is being answered elsewhere at the same time."""
Act = Callable[[Serving], Awaitable[bytes | None]]


def wrapped(rules: Rules, method: ServedMethod) -> Any:
    """The handler that gRPC calls for `method`: bytes in, bytes out."""
    act = _ACTS[method.shape] if method.forwarder is None else _FORWARDING[method.shape]

    async def serve(requests: object, context: Any) -> bytes | None:
        serving = Serving(rules, method, context)
        del requests, context
        rules.under_way.begun()
        try:
            return await _around(serving, act)
        finally:
            rules.under_way.ended()

    async def serve_stream(requests: object, context: Any) -> bytes | None:
        serving = Serving(rules, method, context)
        del requests, context
        rules.under_way.begun()
        rules.streams.opened()
        try:
            return await _around(serving, act, rules.streams)
        finally:
            rules.streams.closed()
            rules.under_way.ended()

    if method.streams:
        return grpc.stream_stream_rpc_method_handler(serve_stream)
    return grpc.stream_unary_rpc_method_handler(serve)


def refusing(rules: Rules, method: ServedMethod, refusal: Refusal, *, whoever: bool = False) -> Any:
    """A handler that answers every call of `method` with `refusal`, whatever its kind; `whoever` calls is not asked."""

    async def refuse(serving: Serving) -> None:
        if not whoever:
            serving.know()
        raise refusal

    async def serve(requests: object, context: Any) -> bytes | None:
        serving = Serving(rules, method, context)
        del requests, context
        return await _around(serving, refuse)

    return grpc.stream_stream_rpc_method_handler(serve)


async def _around(serving: Serving, act: Act, streams: Streams | None = None) -> bytes | None:
    try:
        if serving.asserted:
            await serving.learn()
        return await act(serving)
    except Refusal as refusal:
        serving.refused(refusal)
    except (asyncio.CancelledError, grpc.aio.BaseError) as end:
        ended_with = streams.ended_with() if streams is not None else None
        if ended_with is None and not _is_ours(end):
            serving.broken_off()
            raise asyncio.CancelledError from None  # whatever gRPC calls a caller that has gone, it is no defect
        serving.refused(
            ended_with or Unavailable("NOT_READY", "what the call waited for has ended", domain=MESH_DOMAIN)
        )
    except Exception as defect:  # noqa: BLE001 - the one place where a handler's defect becomes an answer
        serving.failed(defect)
    finally:
        serving.end()
    await serving.pause()
    await serving.abort()
    return None


def _is_ours(end: BaseException) -> bool:
    """Whether a call was broken off by what it waited for, as at the end of a term, and its caller waits on.

    gRPC cancels the task of a call whose caller has gone; of one whose handler raises CancelledError it tells nobody.
    """
    task = asyncio.current_task()
    return isinstance(end, asyncio.CancelledError) and task is not None and not task.cancelling()


async def _unary(serving: Serving) -> bytes:
    serving.admit()
    request = serving.parsed(await serving.message())
    answered = await serving.looked_up(request)
    for _ in range(TURNS_MAX):
        old = serving.old_answer(answered)
        if old is not None:
            return serving.answered(old)
        try:
            answer = await serving.method.handler(request, serving.call(answered))
        except AlreadyAnswered as before:  # the same request, sent twice at once, was faster on its other way
            answered = before.answered
        else:
            return serving.answered(answer.SerializeToString())
    raise Aborted("CONFLICT", "the same request is being answered elsewhere", domain="mesh.suanmesh")


async def _server_stream(serving: Serving) -> None:
    serving.admit()
    request = serving.parsed(await serving.message())
    await serving.looked_up(request)
    await _written(serving, serving.method.handler(request, serving.call()))


async def _client_stream(serving: Serving) -> bytes:
    serving.admit()
    answer = await serving.method.handler(_all_read(serving), serving.call())
    return serving.answered(answer.SerializeToString())


async def _bidi(serving: Serving) -> None:
    serving.admit()
    await _written(serving, serving.method.handler(_all_read(serving), serving.call()))


async def _forwarded_unary(serving: Serving) -> bytes:
    serving.admit()
    raw = serving.sized(await serving.message())
    return serving.answered(await _forwarder(serving).unary(serving.method.name, raw, serving.call()))


async def _forwarded_client_stream(serving: Serving) -> bytes:
    serving.admit()
    answers = _forwarder(serving).stream(serving.method.name, _all_sized(serving), serving.call())
    async with aclosing(answers):
        return serving.answered(await anext(answers))


async def _forwarded_server_stream(serving: Serving) -> None:
    serving.admit()
    await _passed_on(serving, _once(serving.sized(await serving.message())))


async def _forwarded_bidi(serving: Serving) -> None:
    serving.admit()
    await _passed_on(serving, _all_sized(serving))


async def _passed_on(serving: Serving, raws: AsyncIterator[bytes]) -> None:
    answers = _forwarder(serving).stream(serving.method.name, raws, serving.call())
    async with aclosing(answers):
        async for answer in answers:
            await serving.write(answer)


async def _written(serving: Serving, answers: AsyncGenerator[Message | bytes, None]) -> None:
    """Send what the handler yields, messages or such as are serialized already.

    It is closed at once when the caller breaks off, not when memory is tidied.
    """
    async with aclosing(answers):
        async for answer in answers:
            raw = answer if isinstance(answer, bytes) else answer.SerializeToString()
            del answer  # the caller may take its time, and one copy is enough to wait with
            await serving.write(raw)


async def _all_read(serving: Serving) -> AsyncGenerator[object, None]:
    async for raw in serving.messages():
        yield serving.read(raw)


async def _all_sized(serving: Serving) -> AsyncGenerator[bytes, None]:
    async for raw in serving.messages():
        yield serving.sized(raw)


async def _once(raw: bytes) -> AsyncGenerator[bytes, None]:
    yield raw


def _forwarder(serving: Serving) -> RawForwarder:
    if serving.method.forwarder is None:
        raise TypeError(f"{serving.method.name} is not forwarded")
    return serving.method.forwarder


_ACTS: dict[Shape, Act] = {
    Shape.UNARY: _unary,
    Shape.SERVER_STREAM: _server_stream,
    Shape.CLIENT_STREAM: _client_stream,
    Shape.BIDI: _bidi,
}
_FORWARDING: dict[Shape, Act] = {
    Shape.UNARY: _forwarded_unary,
    Shape.SERVER_STREAM: _forwarded_server_stream,
    Shape.CLIENT_STREAM: _forwarded_client_stream,
    Shape.BIDI: _forwarded_bidi,
}
