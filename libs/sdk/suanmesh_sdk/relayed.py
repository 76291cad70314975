"""Calls to a site that only dials out, by way of a gateway: who makes them, cut into frames, and put together again."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterator
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, cast

from grpc import aio

from suanmesh.gateway.v1 import relay_service_pb2 as pb
from suanmesh_kernel.refusals import ResourceExhausted, Unimplemented
from suanmesh_sdk import deadlines
from suanmesh_sdk.status import MESH_DOMAIN
from suanmesh_sdk.streams import StreamCall
from suanmesh_sdk.tls import Credentials, Shown, Tls

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

    from suanmesh_sdk.mesh import Mesh
    from suanmesh_sdk.unary import Deserializer, Serializer

FRAME_BYTES = 129 * 1024
"""Of a message in one frame: what of each direction of a call waits at a gateway."""
MESSAGE_BYTES_MAX = 64 * 1024 * 1024
"""Largest message a caller puts together: as much as it takes over a connection of its own."""
_CONTEXT = b"suanmesh relayed call 1"


def claim(site: str, method: str, message: bytes) -> bytes:
    """What a caller signs: this message, first of a call of `method` (`package.Service/Method`), to this site."""
    return b"\0".join((_CONTEXT, site.encode(), method.encode(), hashlib.sha256(message).digest()))


class Prover:
    """Proves with the key of a certificate who makes a call."""

    def __init__(self, tls: Tls) -> None:
        """Raises as `Tls.read` does."""
        self._shown = Shown(tls, deadlines.now)

    def proof(self, site: str, method: str, message: bytes) -> pb.CallerProof:
        """For the call of `method` at `site` that begins with `message`."""
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
        from cryptography.hazmat.primitives.hashes import SHA256

        shown = self._shown()
        signature = _key(shown).sign(claim(site, method, message), ECDSA(SHA256()))
        return pb.CallerProof(certificate=shown.certificate, signature=signature)


@lru_cache(maxsize=8)
def _key(shown: Credentials) -> EllipticCurvePrivateKey:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    return cast("EllipticCurvePrivateKey", load_pem_private_key(shown.key, None))


def pieces(message: bytes) -> Iterator[tuple[bytes, bool]]:
    """A message cut for frames, each piece with whether it is the last."""
    if len(message) <= FRAME_BYTES:
        yield message, True
        return
    for begin in range(0, len(message), FRAME_BYTES):
        yield message[begin : begin + FRAME_BYTES], begin + FRAME_BYTES >= len(message)


class Joining:
    """Puts messages together."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._joined = bytearray()  # not a list: whoever cuts may cut as small as they like

    def add(self, content: bytes, *, whole: bool) -> bytes | None:
        """The message that is whole with this piece. Raises ResourceExhausted (`MESSAGE_TOO_LARGE`)."""
        size = len(self._joined) + len(content)
        if size > self._bytes_max:
            message = f"a message has {size} bytes, at most {self._bytes_max} are taken"
            raise ResourceExhausted(
                "MESSAGE_TOO_LARGE", message, domain=MESH_DOMAIN, limit_bytes=self._bytes_max, bytes=size
            )
        if whole and not self._joined:
            return content
        self._joined += content
        if not whole:
            return None
        joined = bytes(self._joined)
        self._joined.clear()
        return joined


class RelayedArea:
    """The channel to the data plane of one site, whichever gateway has a stream of it."""

    def __init__(self, mesh: Mesh, site: str) -> None:
        self._mesh = mesh
        self._site = site

    def as_grpc(self) -> Any:
        """Itself, as the type the generated stubs ask for."""
        return cast("Any", self)

    def unary_unary(
        self, method: str, request_serializer: Serializer = None, response_deserializer: Deserializer = None, **_: bool
    ) -> Any:
        """One request, one answer."""
        return partial(self._answer, method.lstrip("/"), request_serializer, response_deserializer)

    def unary_stream(
        self, method: str, request_serializer: Serializer = None, response_deserializer: Deserializer = None, **_: bool
    ) -> Any:
        """One request, many answers."""
        return partial(self._answers, method.lstrip("/"), request_serializer, response_deserializer)

    def stream_stream(self, method: str, *_: object, **__: object) -> Any:
        """Not carried: gateways pass users' uploads on themselves."""

        def refused(*_: object, **__: object) -> Any:
            raise Unimplemented("METHOD_UNKNOWN", f"{method} is not relayed", domain=MESH_DOMAIN, method=method)

        return refused

    async def _answer(
        self,
        method: str,
        serializer: Serializer,
        deserializer: Deserializer,
        request: Any,
        *,
        timeout: float | None = None,
    ) -> Any:
        timeout = deadlines.DEFAULT_S if timeout is None else timeout
        answers = self._answers(method, serializer, deserializer, request, timeout=timeout)
        answer = await answers.read()
        await answers.read()
        return answer

    def _answers(
        self,
        method: str,
        serializer: Serializer,
        deserializer: Deserializer,
        request: Any,
        *,
        timeout: float | None = None,
    ) -> RelayedAnswers:
        raw = request if serializer is None else serializer(request)
        proof = self._mesh.prover.proof(self._site, method, raw)
        asked = pb.CallSiteRequest(site=self._site, method=method, request=raw, caller=proof)
        call: Any = self._mesh.relay.CallSite(asked, timeout=timeout)
        return RelayedAnswers(call, deserializer)


class RelayedAnswers(AsyncIterator[Any]):
    """The answers of a relayed call: iterate them, or `read`. Whoever breaks off calls `cancel`, or just lets go."""

    def __init__(self, call: StreamCall, deserializer: Deserializer) -> None:
        self._call = call
        self._deserializer = deserializer
        self._joining = Joining(MESSAGE_BYTES_MAX)

    async def __anext__(self) -> Any:
        answer = await self.read()
        if answer is aio.EOF:
            raise StopAsyncIteration
        return answer

    async def read(self) -> Any:
        """The next answer, or `grpc.aio.EOF`. Raises Refusal."""
        while (frame := await self._call.read()) is not aio.EOF:
            raw = self._joining.add(frame.content, whole=frame.whole)
            if raw is not None:
                return raw if self._deserializer is None else self._deserializer(raw)
        return aio.EOF

    def cancel(self) -> None:
        """Break off. Harmless once it has ended."""
        self._call.cancel()
