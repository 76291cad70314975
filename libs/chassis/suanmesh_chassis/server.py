"""The gRPC server of a process: listeners, mutual TLS, routing, drain."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import empty_pb2

from suanmesh_chassis import methods
from suanmesh_chassis.limits import Limits, Pool
from suanmesh_chassis.methods import Method, Shape
from suanmesh_chassis.parts import Forwarded, Listener, Served
from suanmesh_chassis.serving import Rules
from suanmesh_chassis.settings import Common
from suanmesh_chassis.wrapper import refusing, wrapped
from suanmesh_kernel.refusals import Refusal, Unimplemented
from suanmesh_telemetry import names

WINDOW_BYTES = 32 * 1024
"""What a caller may send of a message that nobody reads yet; probing for more would let each stream have megabytes."""
OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_metadata_size", 16 * 1024),
    ("grpc.absolute_max_metadata_size", 16 * 1024),
    ("grpc.so_reuseport", 0),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 5000),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", WINDOW_BYTES),
)
OPEN_CONNECTION_IDLE_MS = 10_000
OPEN_CONNECTION_AGE_MS = 60_000
"""Nobody needs a connection without a certificate for longer than it takes to enrol."""


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
    """Finds the handler of a method. What is not placed in it yet is refused with what `not_yet` says.

    What is served in a term has rules of its own, so that its end is not the end of what any instance serves; so have
    `probes`, which are answered always, whatever is placed.
    """

    def __init__(
        self,
        rules: Rules,
        term_rules: Rules,
        not_yet: Callable[[], Refusal],
        probe_rules: Rules,
        probes: Sequence[Served] = (),
    ) -> None:
        self._rules = rules
        self._term_rules = term_rules
        self._not_yet = not_yet
        self._whole = False
        """Whether all is placed that will be: then a method that is not found is unknown."""
        self._handlers: dict[str, Any] = {}
        self._of_term: dict[str, Any] = {}
        self._probes = _handlers(probe_rules, methods.table(probes))

    def place(self, parts: Sequence[Served | Forwarded], *, led: bool) -> None:
        """Serve `parts` from now on: all they have, or where the area is `led` what any instance serves of them.

        Raises BadServicer where one does not fit its descriptor.
        """
        self._handlers = _handlers(self._rules, methods.table(parts, led=False if led else None))
        self._whole = not led

    def place_term(self, parts: Sequence[Served | Forwarded]) -> None:
        """Serve of `parts` what only the leader does, until `clear_term`.

        Raises BadServicer as `place` does, and where a method of theirs that any instance should serve is not placed.
        """
        if missing := methods.paths(parts, led=False) - self._handlers.keys():
            raise methods.BadServicer(f"{min(missing)} is for any instance to serve, and only the leader has it")
        self._of_term = _handlers(self._term_rules, methods.table(parts, led=True))
        self._whole = True

    def clear_term(self) -> None:
        """Serve nothing of the leader's any more; streams that are open end with what `not_yet` says."""
        self._of_term, self._whole = {}, False
        self._term_rules.term += 1
        self._term_rules.streams.end_all(self._not_yet())

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """The handler of the called method, as gRPC asks for it."""
        path = handler_call_details.method
        handler = self._handlers.get(path) or self._of_term.get(path) or self._probes.get(path)
        if handler is not None:
            return handler
        if not self._whole:
            return refusing(self._rules, _UNKNOWN, self._not_yet(), whoever=True)
        name = path.lstrip("/")[:200]
        return refusing(self._rules, _UNKNOWN, Unimplemented("METHOD_UNKNOWN", f"no method {name}", method=name))


class Server:
    """The listeners of one process."""

    def __init__(self, router: Router, tls: TlsFiles, common: Common) -> None:
        self._router = router
        self._tls = tls
        self._common = common
        self._servers: list[grpc.aio.Server] = []

    async def listen(self, listener: Listener) -> str:
        """Serve on one more address and return it as `host:port`. Raises OSError where it is taken."""
        server = grpc.aio.server(options=(*OPTIONS, *listener_options(listener, self._common)))
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

    async def stop(self, grace_s: float) -> None:
        """Take no more calls, give those in flight `grace_s` to end, then break them off."""
        await asyncio.gather(*(server.stop(grace_s) for server in self._servers))


def listener_options(listener: Listener, common: Common) -> tuple[tuple[str, int], ...]:
    """What gRPC's core is told of a listener: what it gathers, and for how many, before any code of ours is asked."""
    limits = Limits(common)
    certified = listener.client_certificate
    taken = limits.certified if certified else limits.open
    streams = listener.streams_per_connection or (common.calls_max + common.streams_max)
    options = (
        ("grpc.max_receive_message_length", taken.message_bytes_core),
        ("grpc.max_concurrent_streams", streams if certified else max(1, common.open_calls_max // 2)),
        ("grpc.max_allowed_incoming_connections", common.connections_max if certified else common.open_connections_max),
        ("grpc.server_handshake_timeout_ms", round(common.handshake_s_max * 1000)),
    )
    if certified:
        return options
    return (
        *options,
        ("grpc.max_connection_idle_ms", OPEN_CONNECTION_IDLE_MS),
        ("grpc.max_connection_age_ms", OPEN_CONNECTION_AGE_MS),
        ("grpc.max_connection_age_grace_ms", OPEN_CONNECTION_IDLE_MS),
    )


def _handlers(rules: Rules, table: Mapping[str, Method]) -> dict[str, Any]:
    return {path: wrapped(rules, method) for path, method in table.items()}


def _unknown() -> Method:
    """A method we know nothing of, as far as the wrapper needs it; one name for all, since names become labels."""
    return Method(
        name=names.METHOD_OTHER,
        shape=Shape.BIDI,
        request=empty_pb2.Empty,
        roles=frozenset(("anyone",)),
        effect="STREAM",
        keyed=False,
        has_request_id=False,
        handler=None,
        forwarder=None,
        answer=empty_pb2.Empty,
        pool=Pool.CALLS,
        led=False,
    )


_UNKNOWN = _unknown()
