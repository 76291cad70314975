"""What carries calls between processes: listeners on one side, channels on the other. gRPC over TLS, unless given."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any, Protocol

import grpc

from suanmesh_chassis.limits import Limits
from suanmesh_chassis.liveness import until_silent
from suanmesh_chassis.parts import Listener
from suanmesh_chassis.settings import Common
from suanmesh_kernel.clock import Clock
from suanmesh_sdk import Tls
from suanmesh_sdk.connections import Dial, GrpcDial
from suanmesh_sdk.tls import Credentials, Shown

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
LOOK_AGAIN_S = 0.1
"""After a connection that was held to see its end; a listener ends one without a handshake every few seconds."""
OPEN_CONNECTION_IDLE_MS = 10_000
OPEN_CONNECTION_AGE_MS = 60_000
"""Nobody needs a connection without a certificate for longer than it takes to enrol."""


@dataclass(frozen=True, slots=True)
class ProcessTls:
    """What a process shows and what it trusts at the moment: files may be replaced while it runs."""

    tls: Tls
    shown: Callable[[], Credentials]
    """What `tls` holds now; another object once that has changed."""
    peers: Callable[[], bytes] = bytes
    """Authorities of other nodes whose services may call now: asked for at each handshake."""

    @classmethod
    def of(cls, tls: Tls, clock: Clock) -> ProcessTls:
        """Raises InvalidArgument (`FIELD_INVALID`) where a file cannot be read."""
        return cls(tls, Shown(tls, clock.monotonic))

    def server_credentials(self, *, client_certificate: bool) -> grpc.ServerCredentials:
        """With a client certificate asked for, a caller without a valid one does not get through the handshake.

        What is shown and trusted is asked for at each handshake; connections that are open stay as they are.
        """
        known = self.shown(), self.peers()

        def configuration() -> Any:
            shown, peers = known
            pair = (shown.key, shown.certificate + shown.ca)
            return grpc.ssl_server_certificate_configuration([pair], shown.ca + peers)

        def changed() -> Any:
            nonlocal known
            before, known = known, (self.shown(), self.peers())
            return None if before == known else configuration()

        return grpc.dynamic_ssl_server_credentials(
            configuration(), changed, require_client_authentication=client_certificate
        )


class Listening(Protocol):
    """One address that is listened on."""

    @property
    def address(self) -> str:
        """`host:port`."""

    async def stop(self, grace_s: float) -> None:
        """Take no more calls, give those in flight `grace_s` seconds to end, then break them off."""


class Network(Protocol):
    """What one process has of the network."""

    async def listen(
        self, handler: grpc.GenericRpcHandler, listener: Listener, tls: ProcessTls, common: Common
    ) -> Listening:
        """Serve what `handler` finds. Raises OSError where the address is taken."""

    def dial(self, tls: Tls, *, read_ahead_bytes: int | None) -> Dial:
        """How others are called, `read_ahead_bytes` as of `GrpcDial`."""

    async def gone(self, address: str) -> None:
        """Return once the process that listened at `address` does no more, as its machine says; of a machine that says
        nothing it is not known."""

    async def silent(self, address: str, server_name: str, tls: ProcessTls) -> None:
        """Return once the process at `address`, which was heard before, says nothing, though nothing says that it is
        gone. It may come back; who it is its certificate says."""


class GrpcNetwork:
    """gRPC, over TLS on TCP."""

    async def listen(
        self, handler: grpc.GenericRpcHandler, listener: Listener, tls: ProcessTls, common: Common
    ) -> Listening:
        """Serve on one more address; port 0 takes a free one."""
        server = grpc.aio.server(options=(*OPTIONS, *listener_options(listener, common)))
        server.add_generic_rpc_handlers((handler,))
        credentials = tls.server_credentials(client_certificate=listener.client_certificate)
        host = listener.address.rpartition(":")[0]
        try:
            port = server.add_secure_port(listener.address, credentials)
        except RuntimeError as error:
            raise OSError(f"cannot listen on {listener.address}") from error
        await server.start()
        return _GrpcListening(f"{host}:{port}", server)

    def dial(self, tls: Tls, *, read_ahead_bytes: int | None) -> Dial:
        """Channels of gRPC."""
        return GrpcDial(tls, read_ahead_bytes=read_ahead_bytes)

    async def gone(self, address: str) -> None:
        """Hold a connection, which ends with the process, and see whether the next is refused.

        One that was never had proves nothing: a firewall refuses too, and for as long as the process lives.
        """
        host, _, port = address.rpartition(":")
        met = False
        while True:
            try:
                reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
            except ConnectionRefusedError:
                if met:
                    return
            except OSError:
                pass
            else:
                met = True
                with closing(writer), suppress(OSError):
                    await reader.read()
            await asyncio.sleep(LOOK_AGAIN_S)

    async def silent(self, address: str, server_name: str, tls: ProcessTls) -> None:
        """Ping it."""
        await until_silent(address, server_name, tls.shown().of_channel())


@dataclass(frozen=True, slots=True)
class _GrpcListening:
    address: str
    server: grpc.aio.Server

    async def stop(self, grace_s: float) -> None:
        await self.server.stop(grace_s)


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
