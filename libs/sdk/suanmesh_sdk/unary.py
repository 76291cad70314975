"""Calls that are answered once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Iterator
from typing import Any

from google.protobuf.message import Message
from grpc import aio

from suanmesh_kernel.clock import Rng
from suanmesh_kernel.refusals import Refusal
from suanmesh_sdk import deadlines
from suanmesh_sdk.attempts import Course, Headers, Metadata, refusal_of_error, silence_of
from suanmesh_sdk.connections import Connection
from suanmesh_sdk.methods import declared
from suanmesh_sdk.route import Route
from suanmesh_sdk.silence import Attempt
from suanmesh_sdk.status import DETAILS_KEY

Serializer = Callable[[Any], bytes] | None
Deserializer = Callable[[bytes], Any] | None

REQUEST_ID_BYTES = 16
"""Of chance, in the id of a request whose caller gave it none."""


class Sent(aio.Metadata):
    """Headers for gRPC, which counts them and takes one after the other: of a tuple it would first make a mapping of
    lists, which costs a call as much as to parse its answer."""

    def __init__(self, headers: Headers) -> None:
        self._headers = headers

    def __len__(self) -> int:
        return len(self._headers)

    def __iter__(self) -> Iterator[tuple[str, str | bytes]]:
        return iter(self._headers)


class UnaryUnary:
    """One request, one answer; repeated as the method's effect allows."""

    def __init__(self, route: Route, path: str, serializer: Serializer, deserializer: Deserializer) -> None:
        self._route = route
        self._path = path
        self._method = declared(path)
        self._serializer = serializer
        self._deserializer = deserializer
        self._key = (path, serializer, deserializer)

    async def __call__(self, request: Any, *, timeout: float | None = None, metadata: Metadata | None = None) -> Any:
        """The answer. Raises Refusal; `timeout` in seconds bounds all attempts together."""
        if self._method.effect == "KEYED":
            request = with_request_id(request, self._route.rng)
        if self._route.has_chores:
            await self._route.do_chores()
        course = Course(self._route, self._method, timeout, deadlines.DEFAULT_S)
        try:
            while True:
                try:
                    headers = course.headers(metadata)
                    left_s = course.time_left()
                    attempt = course.attempt()
                    try:
                        made = self._callable(attempt.connection)(request, timeout=left_s, metadata=Sent(headers))
                        answer = await (_heard(made, attempt) if self._route.has_spare else made)
                    finally:
                        attempt.over()
                except (Refusal, aio.AioRpcError) as error:
                    await course.refused(error if isinstance(error, Refusal) else refusal_of_error(error))
                    continue
                course.end("OK")
                return answer
        except Refusal as refusal:
            course.end(refusal.code, refusal)
            raise
        except asyncio.CancelledError:
            course.end("CANCELLED")
            raise

    def _callable(self, connection: Connection) -> Any:
        made = connection.callables.get(self._key)
        if made is None:
            made = connection.channel.unary_unary(self._path, self._serializer, self._deserializer)
            connection.callables[self._key] = made
        return made


class StreamUnary:
    """Many requests, one answer; never repeated, because the requests are gone."""

    def __init__(self, route: Route, path: str, serializer: Serializer, deserializer: Deserializer) -> None:
        self._route = route
        self._path = path
        self._method = declared(path)
        self._serializer = serializer
        self._deserializer = deserializer

    async def __call__(
        self,
        requests: AsyncIterable[Any] | Iterable[Any],
        *,
        timeout: float | None = None,
        metadata: Metadata | None = None,
    ) -> Any:
        """The answer once all requests are sent. Raises Refusal."""
        course = Course(self._route, self._method, timeout, deadlines.STREAM_S)
        try:
            answer = await self._attempt(course, requests, course.headers(metadata))
        except Refusal as refusal:
            course.end(refusal.code, refusal)
            raise
        except asyncio.CancelledError:
            course.end("CANCELLED")
            raise
        course.end("OK")
        return answer

    async def _attempt(self, course: Course, requests: Any, headers: Headers) -> Any:
        left_s = course.time_left()
        attempt = course.attempt()
        made = attempt.connection.channel.stream_unary(self._path, self._serializer, self._deserializer)
        try:
            return await made(requests, timeout=left_s, metadata=headers)
        except aio.AioRpcError as error:
            raise refusal_of_error(error) from None
        finally:
            attempt.over()


async def _heard(made: Awaitable[Any], attempt: Attempt) -> Any:
    """What `made` is answered. Raises Unavailable where nothing is heard of its peer, and another would answer it."""
    scope = asyncio.timeout(None)
    try:
        async with scope:
            attempt.watched(lambda: scope.reschedule(deadlines.now()), unary=True)
            answer = await made
    except TimeoutError:
        raise silence_of(attempt) from None
    except aio.AioRpcError as error:
        if any(key == DETAILS_KEY for key, _ in error.trailing_metadata() or ()):
            attempt.heard()
        raise
    attempt.heard()
    return answer


def with_request_id(request: Any, rng: Rng) -> Any:
    """`request` with a `request_id`: its own, or a fresh one in a copy, so that a message may be used again."""
    if not isinstance(request, Message) or "request_id" not in request.DESCRIPTOR.fields_by_name:
        return request
    if request.request_id:  # type: ignore[attr-defined]
        return request
    keyed = type(request)()
    keyed.CopyFrom(request)
    keyed.request_id = rng(REQUEST_ID_BYTES).hex()  # type: ignore[attr-defined]
    return keyed
