"""The gRPC server of a process: listeners, mutual TLS, routing, health, reflection, drain."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health as health_names
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health
from grpc_reflection.v1alpha import reflection_pb2_grpc
from grpc_reflection.v1alpha.reflection import aio as reflection

from suanmesh_chassis import methods
from suanmesh_chassis.methods import Method, Shape
from suanmesh_chassis.parts import Forwarded, Listener, Served
from suanmesh_chassis.serving import Rules
from suanmesh_chassis.wrapper import refusing, wrapped
from suanmesh_kernel.refusals import Refusal, Unimplemented
from suanmesh_telemetry import names

MESSAGE_BYTES_CORE = 64 * 1024 * 1024
"""Limit of gRPC's core; ours is lower, so that an oversized message is refused with a reason."""
CALLS_MAX = 8192
OPTIONS = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES_CORE),
    ("grpc.max_send_message_length", MESSAGE_BYTES_CORE),
    ("grpc.max_metadata_size", 32 * 1024),
    ("grpc.so_reuseport", 0),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 5000),
    ("grpc.http2.max_ping_strikes", 0),
    # Of a stream of requests that nobody reads yet, so much is taken from the line and no more.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 128 * 1024),
)


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """What a process shows and what it trusts, in PEM."""

    certificate: bytes
    key: bytes
    ca: bytes

    @classmethod
    def load(cls, folder: Path) -> TlsFiles:
        """Read cert.pem, key.pem and ca.pem. Raises OSError."""
        return cls(*((folder / name).read_bytes() for name in ("cert.pem", "key.pem", "ca.pem")))

    def server_credentials(self, *, client_certificate: bool) -> grpc.ServerCredentials:
        """With a client certificate asked for, a caller without a valid one does not get through the handshake."""
        chain = self.certificate + self.ca
        roots = self.ca if client_certificate else None
        return grpc.ssl_server_credentials([(self.key, chain)], roots, require_client_auth=client_certificate)


class Router(grpc.GenericRpcHandler):
    """Finds the handler of a method. Until parts are placed in it, every call is refused with what `not_yet` says."""

    def __init__(self, rules: Rules, not_yet: Callable[[], Refusal]) -> None:
        self._rules = rules
        self._not_yet = not_yet
        self._placed = False
        self._handlers: dict[str, Any] = {}

    def place(self, parts: Sequence[Served | Forwarded]) -> None:
        """Serve `parts` from now on. Raises BadServicer where one does not fit its descriptor."""
        self._handlers = {path: wrapped(self._rules, method) for path, method in methods.table(parts).items()}
        self._placed = True

    def clear(self) -> None:
        """Serve nothing any more; streams that are open end with what `not_yet` says."""
        self._handlers, self._placed = {}, False
        self._rules.streams.end_all(self._not_yet())

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """The handler of the called method, as gRPC asks for it."""
        handler = self._handlers.get(handler_call_details.method)
        if handler is not None:
            return handler
        if not self._placed:
            return refusing(self._rules, _UNKNOWN, self._not_yet())
        name = handler_call_details.method.lstrip("/")[:200]
        return refusing(self._rules, _UNKNOWN, Unimplemented("METHOD_UNKNOWN", f"no method {name}", method=name))


class Server:
    """The listeners of one process."""

    def __init__(self, router: Router, tls: TlsFiles) -> None:
        self._router = router
        self._tls = tls
        self._servers: list[grpc.aio.Server] = []
        self._health = health.HealthServicer()
        self._reflection = _Reflection([])

    async def listen(self, listener: Listener) -> str:
        """Serve on one more address and return it as `host:port`. Raises OSError where it is taken.

        Health checks are told NOT_SERVING until `set_serving`.
        """
        if not self._servers:
            await self.set_serving(False)
        server = grpc.aio.server(options=OPTIONS, maximum_concurrent_rpcs=CALLS_MAX)
        if listener.client_certificate:
            health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
            reflection_pb2_grpc.add_ServerReflectionServicer_to_server(self._reflection, server)
        server.add_generic_rpc_handlers((self._router,))
        credentials = self._tls.server_credentials(client_certificate=listener.client_certificate)
        host = listener.address.rpartition(":")[0]
        try:
            port = server.add_secure_port(listener.address, credentials)
        except RuntimeError as error:
            raise OSError(f"cannot listen on {listener.address}") from error
        await server.start()
        self._servers.append(server)
        return f"{host}:{port}"

    def reflect(self, services: Sequence[str]) -> None:
        """List `services`, by full name, to whoever asks what is served."""
        self._reflection.list_services(services)

    async def set_serving(self, serving: bool) -> None:
        """Tell health checks."""
        states = health_pb2.HealthCheckResponse
        await self._health.set("", states.SERVING if serving else states.NOT_SERVING)

    async def stop(self, grace_s: float) -> None:
        """Take no more calls, give those in flight `grace_s` to end, then break them off."""
        await self._health.enter_graceful_shutdown()
        await asyncio.gather(*(server.stop(grace_s) for server in self._servers))


class _Reflection(reflection.ReflectionServicer):  # type: ignore[misc]
    """Standard reflection that learns what is served after it has begun to answer."""

    def list_services(self, services: Sequence[str]) -> None:
        super().__init__([*services, health_names.SERVICE_NAME])


def _unknown() -> Method:
    """A method we know nothing of, as far as the wrapper needs it; one name for all, since names become labels."""
    return Method(
        name=names.METHOD_OTHER,
        shape=Shape.BIDI,
        request=health_pb2.HealthCheckRequest,
        roles=frozenset(("anyone",)),
        effect="STREAM",
        keyed=False,
        has_request_id=False,
        handler=None,
        forwarder=None,
        answer=health_pb2.HealthCheckResponse,
    )


_UNKNOWN = _unknown()
