"""Calls that come in frames over a stream that this process opened: served by the handlers of its own listeners.

What gRPC does for a call that was dialled is done here: who calls is proved by a certificate and a signature over the
first message in the place of a handshake, and the handler is given a context with what it asks of gRPC's.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass
from typing import Any, NoReturn

import grpc
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from grpc import aio

from suanmesh.gateway.v1 import relay_service_pb2 as pb
from suanmesh_chassis.bounds import require_within
from suanmesh_kernel.refusals import Refusal, Unauthenticated
from suanmesh_sdk.relayed import Joining, claim, pieces
from suanmesh_sdk.status import DETAILS_KEY, status_of
from suanmesh_sdk.streams import StreamCall

MESSAGE_BYTES_MAX = 5 * 1024 * 1024
"""Of one message to a data plane: as much as gRPC gathers of one that was dialled."""
LAST_S_MAX = 5.0
"""How long a call that has ended waits for its last message to be sent before it says how it ended."""


def require_proof(proof: pb.CallerProof, site: str, method: str, message: bytes) -> None:
    """Raise Unauthenticated (`IDENTITY_MISSING`) unless whoever has the certificate's key sent `message` to `site`.

    Whose the certificate is, and whether it is believed, is looked at as of any connection's.
    """
    try:
        key = x509.load_pem_x509_certificate(proof.certificate).public_key()
        if not isinstance(key, EllipticCurvePublicKey):
            raise InvalidSignature
        key.verify(proof.signature, claim(site, method, message), ECDSA(SHA256()))
    except (ValueError, InvalidSignature, UnsupportedAlgorithm) as fault:
        problem = "the relayed call is not signed with the key of its certificate"
        raise Unauthenticated("IDENTITY_MISSING", problem) from fault


async def serve_relayed(
    handler: grpc.GenericRpcHandler, stream: StreamCall, call: str, *, site: str, peer: str
) -> None:
    """Serve the one call that `stream` carries, as the data plane of `site`, to its end or until its caller has gone.

    Raises Refusal where the stream breaks.
    """
    await stream.write(pb.ServeCallRequest(call=call))
    first = await stream.read()
    if first is aio.EOF:
        return
    require_within(first)
    context = _Context(stream, first.head, site, peer)
    serving = asyncio.get_running_loop().create_task(context.serve(handler), context=Context())
    reading = asyncio.get_running_loop().create_task(context.take_in())
    try:
        await asyncio.wait((serving, reading), return_when=asyncio.FIRST_COMPLETED)
        if serving.done() and not serving.cancelled():
            await context.written()
            with suppress(Refusal, asyncio.InvalidStateError):  # the caller may have gone; reading tells why
                await stream.write(pb.ServeCallRequest(status=serving.result()))
                await stream.done_writing()
            await reading
        elif reading.done():
            reading.result()
    finally:
        tasks = [each for each in (serving, reading, context.writing) if each is not None]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


@dataclass(frozen=True, slots=True)
class _CallDetails(grpc.HandlerCallDetails):
    method: str
    invocation_metadata: tuple[tuple[str, str], ...]


class _Context:
    """What a handler is given as its context."""

    def __init__(self, stream: StreamCall, head: pb.RelayedHead, site: str, peer: str) -> None:
        self._stream = stream
        self._head = head
        self._site = site
        self._peer = peer
        self._inbox: asyncio.Queue[Any] = asyncio.Queue(maxsize=1)
        self._looked_at: bytes | None = None
        self.writing: asyncio.Task[None] | None = None
        """Sends the last message. A stream of which a write is cancelled breaks, and nobody would hear why it ended."""
        self._aborted = pb.RelayedStatus(code="UNKNOWN")
        self._loop = asyncio.get_running_loop()
        self._deadline = self._loop.time() + head.timeout_ms / 1000 if head.timeout_ms else None

    async def take_in(self) -> None:
        """Take in messages, each when the one before was read, until the stream ends: then nobody waits any more."""
        joining = Joining(MESSAGE_BYTES_MAX)
        while (frame := await self._stream.read()) is not aio.EOF:
            message = aio.EOF if frame.ends else joining.add(frame.content, whole=frame.whole)
            if message is not None:
                await self._inbox.put(message)

    async def serve(self, handler: grpc.GenericRpcHandler) -> pb.RelayedStatus:
        """Have the call answered by its handler; how it ended."""
        try:
            first = await self.read()
            message = b"" if first is aio.EOF else first
            require_proof(self._head.caller, self._site, self._head.method, message)
            self._looked_at = None if first is aio.EOF else first
        except Refusal as refusal:
            details = status_of(refusal).SerializeToString()
            return pb.RelayedStatus(code=refusal.code, message=refusal.message, details=details)
        found: Any = handler.service(_CallDetails(f"/{self._head.method}", self.invocation_metadata()))
        try:
            answer = await (found.stream_stream or found.stream_unary)(None, self)
            if answer is not None:
                await self.write(answer)
        except aio.AbortError:
            return self._aborted
        return pb.RelayedStatus(code="OK")

    def peer(self) -> str:
        return f"relay:{self._peer}"

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return (("traceparent", self._head.traceparent),) if self._head.traceparent else ()

    def auth_context(self) -> dict[str, list[bytes]]:
        return {"x509_pem_cert": [self._head.caller.certificate]}

    def time_remaining(self) -> float | None:
        return None if self._deadline is None else self._deadline - self._loop.time()

    async def read(self) -> Any:
        looked_at, self._looked_at = self._looked_at, None
        if looked_at is not None:
            return looked_at
        message = await self._inbox.get()
        if message is aio.EOF:
            self._inbox.put_nowait(message)  # nothing comes after it
        return message

    async def send_initial_metadata(self, metadata: object) -> None:
        return None

    async def write(self, raw: bytes) -> None:
        self.writing = self._loop.create_task(self._send(raw))
        await asyncio.shield(self.writing)

    async def written(self) -> None:
        """Wait a while until the last message is sent, whatever became of who sent it."""
        if self.writing is not None:
            await asyncio.wait([self.writing], timeout=LAST_S_MAX)

    async def _send(self, raw: bytes) -> None:
        try:
            for content, whole in pieces(raw):
                await self._stream.write(pb.ServeCallRequest(content=content, whole=whole))
        except (Refusal, asyncio.InvalidStateError):
            raise asyncio.CancelledError from None  # as of a caller that has gone, or whose gateway has

    async def abort(self, code: grpc.StatusCode, details: str = "", trailing_metadata: Any = ()) -> NoReturn:
        status = next((value for key, value in trailing_metadata if key == DETAILS_KEY), b"")
        self._aborted = pb.RelayedStatus(code=code.name, message=details, details=status)
        raise aio.AbortError("Locally aborted.")
