"""Calls that are answered by a stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Iterable
from contextlib import suppress
from typing import Any

import grpc
from google.protobuf.message import Message
from grpc import aio

from suanmesh_kernel.refusals import Refusal
from suanmesh_sdk import deadlines
from suanmesh_sdk.attempts import Course, Headers, Metadata, refusal_of_error, silence_of
from suanmesh_sdk.connections import Connection
from suanmesh_sdk.methods import declared
from suanmesh_sdk.route import Route
from suanmesh_sdk.silence import Attempt
from suanmesh_sdk.status import WRITE_FAILED
from suanmesh_sdk.unary import Deserializer, Serializer

STATUS_S = 2.0
"""How long the status of a call that was ended under a write may be behind."""

Requests = AsyncIterable[Any] | Iterable[Any] | None


class _Streaming:
    """What both kinds of streamed answers share."""

    kind = ""

    def __init__(self, route: Route, path: str, serializer: Serializer, deserializer: Deserializer) -> None:
        self.route = route
        self.method = declared(path)
        self._path = path
        self._serializer = serializer
        self._deserializer = deserializer
        self._key = (path, serializer, deserializer)

    def opened(self, connection: Connection, request: Any, timeout_s: float, headers: Headers) -> Any:
        """gRPC's call, begun."""
        made = connection.callables.get(self._key)
        if made is None:
            made = getattr(connection.channel, self.kind)(self._path, self._serializer, self._deserializer)
            connection.callables[self._key] = made
        return made(request, timeout=timeout_s, metadata=headers)


class UnaryStream(_Streaming):
    """One request, many answers."""

    kind = "unary_stream"

    def __call__(self, request: Any, *, timeout: float | None = None, metadata: Metadata | None = None) -> StreamCall:
        """The answers; nothing is sent before the first is read. A read may be reopened until its first answer, and
        after it where the last answer says from where to go on: what has been read is not read again."""
        return StreamCall(self, request, timeout, metadata, may_reopen=True)


class StreamStream(_Streaming):
    """Many requests, many answers."""

    kind = "stream_stream"

    def __call__(
        self, requests: Requests = None, *, timeout: float | None = None, metadata: Metadata | None = None
    ) -> StreamCall:
        """The answers to `requests`, or without them a call to `write` to and `read` from."""
        return StreamCall(self, requests, timeout, metadata, may_reopen=False)


class StreamCall:
    """An open stream: iterate it, or `read` and `write`. Whoever breaks off calls `cancel`, or just lets go of it."""

    def __init__(
        self, made_by: _Streaming, request: Any, timeout_s: float | None, metadata: Metadata | None, *, may_reopen: bool
    ) -> None:
        self._made_by = made_by
        self._request = request
        self._timeout_s = timeout_s
        self._metadata = metadata
        self._may_reopen = may_reopen
        self._course: Course | None = None
        self._attempt: Attempt | None = None
        self._call: Any = None
        self._statuses = _Statuses()

    def __aiter__(self) -> StreamCall:
        return self

    async def __anext__(self) -> Any:
        answer = await self.read()
        if answer is aio.EOF:
            raise StopAsyncIteration
        return answer

    async def read(self) -> Any:
        """The next answer, or `grpc.aio.EOF`. Raises Refusal."""
        while True:
            try:
                answer = await self._open().read()
                break
            except (Refusal, aio.AioRpcError) as error:
                await self._failed(error)
            except asyncio.CancelledError:
                if (silence := self._silence()) is None:
                    self.cancel()
                    raise
                await self._failed(silence)
        if self._attempt is not None:
            self._attempt.heard()
        self._read_up_to(answer)
        if answer is aio.EOF:
            await self._ended()
        return answer

    def _read_up_to(self, answer: Any) -> None:
        """Where it breaks from here on, it is opened again behind this answer, or not at all."""
        field = self._made_by.method.resumes_by
        token = getattr(answer, field) if field and isinstance(answer, Message) else ""
        self._may_reopen = bool(token)
        if token and self._course is not None:
            request = type(self._request)()
            request.CopyFrom(self._request)
            request.resume_token = token
            self._request = request
            self._course.answered()

    async def write(self, request: Any) -> None:
        """Send one more request. Raises Refusal."""
        try:
            await self._open().write(request)
        except (Refusal, aio.AioRpcError) as error:
            await self._failed(error)
        except asyncio.InvalidStateError:
            await self._ended()
            raise
        except asyncio.CancelledError:
            if (silence := self._silence()) is None:
                self.cancel()
                raise
            await self._failed(silence)

    async def done_writing(self) -> None:
        """Say that no more requests come."""
        await self._open().done_writing()

    def cancel(self) -> None:
        """Break off. Harmless once it has ended."""
        call, self._call = self._call, None
        if call is not None and not call.done():
            call.cancel()
        self._over("CANCELLED", None)

    def __del__(self) -> None:
        if self._attempt is not None:
            self.cancel()

    def _open(self) -> Any:
        if self._call is None:
            if self._course is None:
                made_by = self._made_by
                self._course = Course(made_by.route, made_by.method, self._timeout_s, deadlines.STREAM_S)
            headers = self._course.headers(self._metadata)
            left_s = self._course.time_left()
            self._attempt = self._course.attempt()
            self._call = self._made_by.opened(self._attempt.connection, self._request, left_s, headers)
            if self._made_by.route.has_spare:
                self._attempt.watched(self._call.cancel, unary=False)
            if isinstance(self._made_by, StreamStream):
                self._call.add_done_callback(self._statuses.took)
        return self._call

    async def _failed(self, error: Refusal | aio.AioRpcError) -> None:
        """Return when the stream is to be opened again; raise the refusal otherwise."""
        refusal = error if isinstance(error, Refusal) else refusal_of_error(await self._statuses.meant(error))
        self._release()
        self._call = None
        try:
            if self._course is None or not self._may_reopen:
                raise refusal
            await self._course.refused(refusal)
        except Refusal as final:
            self._over(final.code, final)
            raise final from None
        finally:  # or what is raised and this frame hold each other
            del error, refusal

    async def _ended(self) -> None:
        """The server has ended the stream: well, or with a refusal that gRPC keeps back until it is asked for."""
        call = self._call
        if call is None:
            return
        error = await self._statuses.meant(await _status_of(call))
        if error.code() is grpc.StatusCode.OK:
            self._over("OK", None)
            return
        refusal = refusal_of_error(error)
        self._over(refusal.code, refusal)
        try:
            raise refusal
        finally:  # or what is raised and this frame hold each other
            del refusal

    def _over(self, code: str, refusal: Refusal | None) -> None:
        self._release()
        if self._course is not None:
            self._course.end(code, refusal)

    def _release(self) -> None:
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            attempt.over()

    def _silence(self) -> Refusal | None:
        """Why the call was cancelled, where it was not the caller who did: its peer says nothing."""
        task = asyncio.current_task()
        if self._attempt is None or not self._attempt.moved or (task is not None and task.cancelling()):
            return None
        return silence_of(self._attempt)


class _Statuses:
    """What the server said at the end of a call.

    Where a write meets a call that the server has just ended, gRPC reports `WRITE_FAILED` in place of the server's
    status, which it is given before or soon after.
    """

    def __init__(self) -> None:
        self._said: aio.AioRpcError | None = None
        self._came = asyncio.Event()

    def took(self, call: Any) -> None:
        """gRPC has given `call` a status."""
        asking = _status_of(call)
        try:
            asking.send(None)
        except StopIteration as answer:
            if answer.value.details() != WRITE_FAILED:
                self._said = answer.value
                self._came.set()
        finally:
            asking.close()

    async def meant(self, error: aio.AioRpcError) -> aio.AioRpcError:
        """`error`, or where it is gRPC's own about a write, the server's if that comes within `STATUS_S`."""
        if error.details() != WRITE_FAILED:
            return error
        with suppress(TimeoutError):
            async with asyncio.timeout(STATUS_S):
                await self._came.wait()
        return self._said or error


async def _status_of(call: Any) -> aio.AioRpcError:
    """The status of an ended `call`; waits for its end."""
    code, begun, ended = await call.code(), await call.initial_metadata(), await call.trailing_metadata()
    return aio.AioRpcError(code, begun, ended, details=await call.details())
