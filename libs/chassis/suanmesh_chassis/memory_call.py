"""One call in memory: the caller's side, which looks like a call of gRPC's, and the side that a handler is given."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Callable, Iterable
from contextvars import Context
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any, NoReturn, Protocol

import grpc
from grpc import aio

WINDOW = 16
"""Messages of one direction that nobody has read yet; whoever sends more waits."""
_END = object()
_RESET = "Connection reset by peer"
_CODES = grpc.StatusCode
Metadata = tuple[tuple[str, str | bytes], ...]


class Fate(Enum):
    """What becomes of a call with one request and one answer."""

    ANSWERED = "ANSWERED"
    REQUEST_LOST = "REQUEST_LOST"
    ANSWER_LOST = "ANSWER_LOST"
    TWICE = "TWICE"
    """The request arrives twice, and is carried out twice; the caller has the first answer."""


class Carrier(Protocol):
    """What messages travel on."""

    def delay_s(self, source: str, target: str) -> float:
        """How long the next message takes, seconds."""

    def is_cut(self, one: str, other: str) -> bool:
        """Whether nothing passes now."""


@dataclass(frozen=True, slots=True)
class Service:
    """Who serves a call."""

    handler: grpc.GenericRpcHandler
    calls: dict[asyncio.Task[None], MemoryCall]
    """Those under way there."""
    peer: str
    certificate: bytes
    """That the caller showed, in PEM; empty for none."""


@dataclass(frozen=True, slots=True)
class _Status:
    code: grpc.StatusCode
    details: str = ""
    trailing: Metadata = ()


@dataclass(frozen=True, slots=True)
class _CallDetails(grpc.HandlerCallDetails):
    method: str
    invocation_metadata: Metadata


class _Direction:
    """Messages one way: in order, each after the delay of its link, held up while that is cut."""

    def __init__(self, carrier: Carrier, source: str, target: str) -> None:
        self.room = asyncio.Semaphore(WINDOW)
        self._carrier = carrier
        self._ends = source, target
        self._due = 0.0
        self._held: list[Callable[[], None]] = []

    def post(self, arrive: Callable[[], None]) -> None:
        """Let `arrive` be called at the other end."""
        if self._carrier.is_cut(*self._ends):
            self._held.append(arrive)
            return
        loop = asyncio.get_running_loop()
        delay_s = self._carrier.delay_s(*self._ends)
        if not delay_s and self._due <= loop.time():
            loop.call_soon(arrive)
            return
        self._due = max(self._due + 1e-6, loop.time() + delay_s)
        loop.call_at(self._due, arrive)

    def flush(self) -> None:
        """Post what was held up."""
        held, self._held = self._held, []
        for each in held:
            self.post(each)


class MemoryCall:
    """A call as its caller sees it."""

    def __init__(
        self, carrier: Carrier, caller: str, host: str, method: str, ended: Callable[[MemoryCall], None]
    ) -> None:
        self.caller = caller
        self.host = host
        self.method = method
        self.service: Service | None = None
        self.serializer: Callable[[Any], bytes] | None = None
        self.deserializer: Callable[[bytes], Any] | None = None
        self._ended = ended
        self._there = _Direction(carrier, caller, host)
        self._back = _Direction(carrier, host, caller)
        self._inbox: asyncio.Queue[Any] = asyncio.Queue()
        self._status: asyncio.Future[_Status] = asyncio.get_running_loop().create_future()
        self._servings: dict[_Serving, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._feeding: asyncio.Task[None] | None = None
        self._done_writing = False
        self._cancelled = False
        self._fate = Fate.ANSWERED

    def begin(self, timeout_s: float | None, metadata: Metadata, fate: Fate = Fate.ANSWERED) -> None:
        """Reach the server, unless `fate` breaks the connection before."""
        if self.done():
            return
        self._fate = fate
        if timeout_s is not None:
            self._timer = asyncio.get_running_loop().call_later(timeout_s, self._late)
        if fate is Fate.REQUEST_LOST:
            self._there.post(partial(self.broken, _RESET))
            return
        for _ in range(2 if fate is Fate.TWICE else 1):
            self._there.post(partial(self._arrive, timeout_s, metadata))

    def send_only(self, raw: bytes) -> None:
        """Send one message, and nothing more: there is room for it."""
        if not self.done():
            self._there.post(partial(self._deliver, raw))
            self._there.post(partial(self._deliver, _END))

    def feed(self, requests: AsyncIterable[Any] | Iterable[Any], serializer: Callable[[Any], bytes] | None) -> None:
        """Send all of `requests` beside what the caller does, and nothing more."""
        self._feeding = asyncio.get_running_loop().create_task(self._fed(requests, serializer))

    async def send(self, raw: bytes) -> None:
        """Send one message, once there is room for it."""
        if self.done() or self._done_writing:
            raise asyncio.InvalidStateError("the call is over")
        await self._there.room.acquire()
        if self.done():
            self._there.room.release()  # for the next who waits
            self._raise()
        self._there.post(partial(self._deliver, raw))

    async def done_writing(self) -> None:
        """Send nothing more."""
        if not self._done_writing and not self.done():
            self._done_writing = True
            self._there.post(partial(self._deliver, _END))

    async def write(self, request: Any) -> None:
        """As gRPC's."""
        await self.send(request if self.serializer is None else self.serializer(request))

    async def read(self) -> Any:
        """The next answer, or EOF. Raises AioRpcError, and CancelledError where it was cancelled here."""
        item = await self._inbox.get()
        if item is not _END:
            self._back.room.release()
            return item if self.deserializer is None else self.deserializer(item)
        self._inbox.put_nowait(_END)
        if self._status.result().code is not _CODES.OK:
            self._raise()
        return aio.EOF

    async def answer(self) -> Any:
        """The one answer. Raises as `read` does."""
        try:
            found = await self.read()
            if found is not aio.EOF and await self.read() is aio.EOF:
                return found
        except asyncio.CancelledError:
            self.cancel()
            raise
        raise aio.AioRpcError(_CODES.INTERNAL, aio.Metadata(), aio.Metadata(), details="not one answer")

    def cancel(self) -> bool:
        """Break off; whether there was something to break off."""
        if self.done():
            return False
        self._cancelled = True
        self._end(_Status(_CODES.CANCELLED, "Locally cancelled by application!"))
        self._there.post(self._stop_serving)
        return True

    def done(self) -> bool:
        """Whether its status is known."""
        return self._status.done()

    def add_done_callback(self, callback: Callable[[MemoryCall], None]) -> None:
        """Have `callback` called once its status is known."""
        self._status.add_done_callback(lambda _: callback(self))

    async def code(self) -> grpc.StatusCode:
        """Once it is known."""
        return (await self._status).code

    async def details(self) -> str:
        """Once they are known."""
        return (await self._status).details

    async def initial_metadata(self) -> aio.Metadata:
        """None is sent."""
        return aio.Metadata()

    async def trailing_metadata(self) -> aio.Metadata:
        """Once it is known."""
        return aio.Metadata(*(await self._status).trailing)

    def broken(self, words: str) -> None:
        """The connection is gone: both ends learn it at once."""
        self._end(_Status(_CODES.UNAVAILABLE, words))
        self._stop_serving()

    def flush(self) -> None:
        """What was held up goes on."""
        self._there.flush()
        self._back.flush()

    def finish(self, serving: _Serving, status: _Status) -> None:
        """The server has ended the call."""
        first = next(iter(self._servings), None) is serving
        if first and self._fate is Fate.ANSWER_LOST:
            self._back.post(partial(self.broken, _RESET))
        elif first:
            self._back.post(partial(self._end, status))

    def over(self, serving: _Serving) -> None:
        """The task that served it has ended."""
        serving.gone = True
        self._leave()

    async def answered(self, serving: _Serving, raw: bytes) -> None:
        """The server sends a message; only the first that serves the call is heard."""
        if next(iter(self._servings)) is not serving:
            return
        await self._back.room.acquire()
        if self._fate is not Fate.ANSWER_LOST:
            self._back.post(partial(self._inbox.put_nowait, raw))

    def was_read(self, serving: _Serving) -> None:
        """The server has taken a message."""
        if next(iter(self._servings)) is serving:
            self._there.room.release()

    def _arrive(self, timeout_s: float | None, metadata: Metadata) -> None:
        if self.service is not None and not (self.done() and not self._servings):
            serving = _Serving(self, self.service, timeout_s, metadata)
            self._servings[serving] = None
            serving.begin()

    def _deliver(self, item: Any) -> None:
        for serving in self._servings:
            serving.inbox.put_nowait(item)

    def _late(self) -> None:
        self._end(_Status(_CODES.DEADLINE_EXCEEDED, "Deadline Exceeded"))
        self._there.post(self._stop_serving)

    def _stop_serving(self) -> None:
        for serving in self._servings:
            serving.stop()

    def _end(self, status: _Status) -> None:
        if self.done():
            return
        self._status.set_result(status)
        self._inbox.put_nowait(_END)
        self._there.room.release()
        if self._timer is not None:
            self._timer.cancel()
        if self._feeding is not None:
            self._feeding.cancel()
        self._leave()

    def _leave(self) -> None:
        if self.done() and all(serving.gone for serving in self._servings):
            self._ended(self)

    def _raise(self) -> NoReturn:
        if self._cancelled:
            raise asyncio.CancelledError
        status = self._status.result()
        trailing = aio.Metadata(*status.trailing)
        raise aio.AioRpcError(status.code, aio.Metadata(), trailing, details=status.details)

    async def _fed(self, requests: Any, serializer: Callable[[Any], bytes] | None) -> None:
        try:
            if isinstance(requests, AsyncIterable):
                async for request in requests:
                    await self.send(request if serializer is None else serializer(request))
            else:
                for request in requests:
                    await self.send(request if serializer is None else serializer(request))
        except (aio.AioRpcError, asyncio.InvalidStateError):
            return
        await self.done_writing()


class _Serving:
    """What a handler is given as its context."""

    def __init__(self, call: MemoryCall, service: Service, timeout_s: float | None, metadata: Metadata) -> None:
        self.inbox: asyncio.Queue[Any] = asyncio.Queue()
        self.gone = False
        self._call = call
        self._service = service
        self._metadata = metadata
        self._loop = asyncio.get_running_loop()
        self._deadline = None if timeout_s is None else self._loop.time() + timeout_s
        self._aborted: _Status | None = None
        self._task: asyncio.Task[None]

    def begin(self) -> None:
        """Call the handler, in a context of its own."""
        self._task = self._loop.create_task(self._serve(), context=Context())
        self._service.calls[self._task] = self._call
        if self._deadline is not None:
            late = self._loop.call_at(self._deadline, self.stop)
            self._task.add_done_callback(lambda _: late.cancel())
        self._task.add_done_callback(self._forget)

    def stop(self) -> None:
        """The caller has gone, or its time has run out."""
        self._task.cancel()

    def peer(self) -> str:
        return self._service.peer

    def invocation_metadata(self) -> Metadata:
        return self._metadata

    def auth_context(self) -> dict[str, list[bytes]]:
        certificate = self._service.certificate
        return {"x509_pem_cert": [certificate]} if certificate else {}

    def time_remaining(self) -> float | None:
        return None if self._deadline is None else self._deadline - self._loop.time()

    async def read(self) -> Any:
        item = await self.inbox.get()
        if item is _END:
            self.inbox.put_nowait(_END)
            return aio.EOF
        self._call.was_read(self)
        return item

    async def send_initial_metadata(self, metadata: Metadata) -> None:
        return None

    async def write(self, raw: bytes) -> None:
        await self._call.answered(self, raw)

    async def abort(self, code: grpc.StatusCode, details: str = "", trailing_metadata: Metadata = ()) -> NoReturn:
        self._aborted = _Status(code, details, tuple(trailing_metadata))
        raise aio.AbortError("Locally aborted.")

    async def _serve(self) -> None:
        found: Any = self._service.handler.service(_CallDetails(self._call.method, self._metadata))
        behaviour = found and (found.stream_stream or found.stream_unary)
        if behaviour is None:
            self._call.finish(self, _Status(_CODES.UNIMPLEMENTED, "Method not found!"))
            return
        try:
            answer = await behaviour(None, self)
            if answer is not None:
                await self.write(answer)
        except aio.AbortError:
            self._call.finish(self, self._aborted or _Status(_CODES.UNKNOWN))
        except asyncio.CancelledError:
            self._call.finish(self, _Status(_CODES.CANCELLED, "CANCELLED"))
            raise
        else:
            self._call.finish(self, _Status(_CODES.OK))

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._service.calls.pop(task, None)
        if not task.cancelled() and (defect := task.exception()) is not None:
            self._call.finish(self, _Status(_CODES.UNKNOWN, f"Unexpected {type(defect)}: {defect}"))
        self._call.over(self)
