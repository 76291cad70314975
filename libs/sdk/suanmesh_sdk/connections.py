"""Connections to instances: one channel an address, kept while it is of use, counted by what is in flight."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from grpc import aio

from suanmesh_kernel.clock import SystemClock
from suanmesh_kernel.texts import Text
from suanmesh_sdk import deadlines
from suanmesh_sdk.silence import Attempt, Hearing, Silence
from suanmesh_sdk.tls import Credentials, Shown, Tls, trouble_with

CONNECTIONS_MAX = 256
"""Of one mesh. Beyond it the one unused for longest is closed."""

CONNECT_MS = 2_000
"""How long a connection may take to be made, which is what gRPC means by the least time between two attempts.

A handshake goes there or back five times, 1.5 s by a satellite. Where nothing answers the next instance waits for it.
"""

OPTIONS: tuple[tuple[str, int], ...] = (
    # A restarted service is found again within a second, not after gRPC's two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", CONNECT_MS),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # A dead peer is noticed although nothing is sent, as long as a call is open.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
    # Retries are ours: gRPC's own know nothing of declared effects.
    ("grpc.enable_retries", 0),
)


class Channel(Protocol):
    """What calls go through: the part of `grpc.aio.Channel` that is used here, and whose calls behave as gRPC's do."""

    def unary_unary(self, method: str, serializer: Any, deserializer: Any) -> Any:
        """One request, one answer: called with the request, `timeout` and `metadata`, it gives what is awaited."""

    def unary_stream(self, method: str, serializer: Any, deserializer: Any) -> Any:
        """One request, many answers: called as before, it gives a call to `read` from and to `cancel`."""

    def stream_unary(self, method: str, serializer: Any, deserializer: Any) -> Any:
        """Many requests, one answer."""

    def stream_stream(self, method: str, serializer: Any, deserializer: Any) -> Any:
        """Many requests, many answers; without an iterator of requests they are written to the call."""

    async def close(self) -> None:
        """End what is under way."""


class Dial(Protocol):
    """How others are called."""

    def __call__(self, address: str, server_name: str, *, apart: int = 0) -> Channel:
        """A channel to an address (`host:port`) whose certificate carries a server name; nothing is sent yet.

        Channels of different numbers `apart` share no connection, as others may.
        """

    def shown(self) -> object:
        """What a channel made now shows and trusts: another object once that has changed."""


class GrpcDial:
    """Channels of gRPC."""

    def __init__(self, tls: Tls, *, read_ahead_bytes: int | None = None) -> None:
        """With `read_ahead_bytes` no more than that of a stream is taken from the line before it is read; without, as
        much as keeps a long line busy, which is megabytes. Whoever passes streams on says how much.

        Raises InvalidArgument (`FIELD_INVALID`) where a file of `tls` cannot be read.
        """
        self.shown = Shown(tls, deadlines.now)
        self._made_of = self.shown.known
        self._credentials = self._made_of.of_channel()
        self._window: tuple[tuple[str, int], ...] = ()
        if read_ahead_bytes is not None:
            self._window = (("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", read_ahead_bytes))

    def __call__(self, address: str, server_name: str, *, apart: int = 0) -> Channel:
        """As of `Dial`."""
        if (shown := self.shown()) is not self._made_of:
            self._made_of, self._credentials = shown, shown.of_channel()
        names = (("grpc.ssl_target_name_override", server_name), ("grpc.default_authority", server_name))
        options = [*OPTIONS, *self._window, *names, *((("suanmesh.apart", apart),) if apart else ())]
        channel: Channel = aio.secure_channel(address, self._credentials, options=options)
        return channel


class Connection:
    """One channel and the calls on it."""

    __slots__ = ("address", "asking", "beside", "callables", "channel", "hearing", "in_flight", "streaming")

    def __init__(self, address: str, channel: Channel, beside: Callable[[], Channel]) -> None:
        """`beside` makes a channel to the same address that shares no connection with this one."""
        self.address = address
        self.channel = channel
        self.beside = beside
        self.in_flight = 0
        self.callables: dict[object, Any] = {}
        """gRPC's callables by path and serializers: stubs come and go, these stay."""
        self.hearing = Hearing()
        self.asking: dict[Attempt, None] = {}
        """Attempts of calls with one answer that may go elsewhere, in the order in which they were begun."""
        self.streaming: dict[Attempt, None] = {}
        """The same of streams."""


class Connections:
    """The connections of one mesh. Where another certificate is shown they are made anew: what is under way on those
    before goes on to its end."""

    def __init__(self, dial: Dial) -> None:
        self._dial = dial
        self._shown: object = None
        self._held: OrderedDict[tuple[str, str], Connection] = OrderedDict()
        self._dropped: list[Connection] = []
        self._apart: dict[tuple[str, str], int] = {}
        self._numbers = itertools.count(1)
        self.silence = Silence()

    def to(self, address: str, server_name: str) -> Connection:
        """The connection to `address`, whose certificate must carry `server_name`."""
        if (shown := self._dial.shown()) is not self._shown:
            self._shown = shown
            self._dropped.extend(self._held.values())
            self._held.clear()
        key = (address, server_name)
        held = self._held.get(key)
        if held is None:
            channel = self._dial(address, server_name, apart=self._apart.get(key, 0))
            held = self._held[key] = Connection(address, channel, partial(self._beside, *key))
            self._make_room()
        self._held.move_to_end(key)
        return held

    def trouble(self) -> Text | None:
        """What can be seen to be wrong with what is shown."""
        shown = self._dial.shown()
        return trouble_with(shown, SystemClock().now()) if isinstance(shown, Credentials) else None

    def drop(self, connection: Connection) -> None:
        """Use it for no further call: the next one makes a connection of its own."""
        for key, held in self._held.items():
            if held is connection:
                self._dropped.append(self._held.pop(key))
                self._apart[key] = next(self._numbers)
                break

    def _beside(self, address: str, server_name: str) -> Channel:
        return self._dial(address, server_name, apart=next(self._numbers))

    async def close(self) -> None:
        """Close them all; calls in flight end as cancelled."""
        await self.silence.close()
        for connection in [*self._held.values(), *self._dropped]:
            await connection.channel.close()
        self._held.clear()
        self._dropped.clear()

    async def sweep(self) -> None:
        """Close those that were dropped and have no call left."""
        idle = [connection for connection in self._dropped if not connection.in_flight]
        self._dropped = [connection for connection in self._dropped if connection.in_flight]
        for connection in idle:
            await connection.channel.close()

    @property
    def any_dropped(self) -> bool:
        """Whether `sweep` has something to look at."""
        return bool(self._dropped)

    def _make_room(self) -> None:
        while len(self._held) > CONNECTIONS_MAX:
            self._dropped.append(self._held.popitem(last=False)[1])
