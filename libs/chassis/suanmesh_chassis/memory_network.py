"""The network between processes that share one event loop: what gRPC does of it, in memory, under links that may fail.

Handlers are called as gRPC calls them, raw bytes in a task of their own with a context that knows the caller's
certificate; callers see what they see of gRPC: answers, statuses with their metadata, deadlines, broken connections.
What gRPC does besides is left out: TLS is a comparison of authorities and names, and a connection is not opened.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, Protocol

import grpc
from cryptography import x509

from suanmesh_chassis.memory_call import Fate, MemoryCall, Metadata, Service
from suanmesh_chassis.network import Listening, ProcessTls
from suanmesh_chassis.parts import Listener
from suanmesh_chassis.settings import Common
from suanmesh_sdk import Tls, deadlines
from suanmesh_sdk.connections import Channel, Dial
from suanmesh_sdk.tls import Credentials, Shown

KEEPALIVE_S = 25.0
"""How long a cut link takes to break the calls on it: an interval of gRPC's keepalive, and what it waits for a pong."""
LOOK_AGAIN_S = 0.2
SILENT_LOOKS = 10
"""How often in a row nothing passes to a process until it counts as silent."""
FIRST_PORT = 40_000
NOT_CONNECTED = "failed to connect to all addresses; last error: UNKNOWN: ipv4:{}: {}"


class Links(Protocol):
    """How well hosts reach each other."""

    def delay_s(self, source: str, target: str) -> float:
        """How long the next message takes, seconds; messages of one call never overtake each other."""

    def fate(self, source: str, target: str, method: str) -> Fate:
        """What becomes of the next call of `method` (`/package.Service/Method`)."""


class PerfectLinks:
    """Nothing takes time, nothing is lost."""

    def delay_s(self, source: str, target: str) -> float:
        """None."""
        return 0.0

    def fate(self, source: str, target: str, method: str) -> Fate:
        """It is answered."""
        return Fate.ANSWERED


class MemoryNetwork:
    """All hosts. Each process gets its part with `of`, which is its `Network`."""

    def __init__(self, links: Links | None = None) -> None:
        """Without `links` they are perfect."""
        self.links: Links = links or PerfectLinks()
        self._ports = FIRST_PORT
        self._listening: dict[str, _MemoryListening] = {}
        self._calls: dict[MemoryCall, None] = {}
        self._cut: dict[frozenset[str], asyncio.TimerHandle] = {}

    def of(self, host: str) -> HostNetwork:
        """What the processes at `host` have of the network."""
        return HostNetwork(self, host)

    def cut(self, one: str, other: str) -> None:
        """Nothing passes between two hosts any more; what is under way breaks if that lasts."""
        pair = frozenset((one, other))
        if pair not in self._cut:
            self._cut[pair] = asyncio.get_running_loop().call_later(KEEPALIVE_S, self._break, pair)

    def heal(self, one: str, other: str) -> None:
        """All passes again, and what was held up arrives."""
        pair = frozenset((one, other))
        if timer := self._cut.pop(pair, None):
            timer.cancel()
            for call in self._between(pair):
                call.flush()

    def delay_s(self, source: str, target: str) -> float:
        """How long the next message takes, seconds."""
        return self.links.delay_s(source, target)

    def is_served(self, address: str) -> bool:
        """Whether a process listens there."""
        return address in self._listening

    def reaches(self, host: str, address: str) -> bool:
        """Whether what a host sends would come to the process that listens there, or be refused where none does."""
        listening = self._listening.get(address)
        return listening is None or not self.is_cut(host, listening.host)

    def is_cut(self, one: str, other: str) -> bool:
        """Whether nothing passes between two hosts."""
        return frozenset((one, other)) in self._cut

    def crash(self, host: str) -> None:
        """The processes at `host` are gone: nobody listens there, and every call from or to there breaks at once."""
        for address in [address for address, each in self._listening.items() if each.host == host]:
            del self._listening[address]
        for call in [each for each in self._calls if host in (each.caller, each.host)]:
            call.broken("Socket closed")

    def call(self, caller: str, address: str, server_name: str, tls: Credentials, method: str) -> MemoryCall:
        """A call that begins. Its status is set at once where it reaches nobody."""
        listening = self._listening.get(address)
        call = MemoryCall(self, caller, listening.host if listening else "", method, self._ended)
        self._calls[call] = None
        if listening is None:
            refused = "Failed to connect to remote host: connect: Connection refused (111)"
            call.broken(NOT_CONNECTED.format(address, refused))
        elif fault := listening.handshake_fault(server_name, tls):
            call.broken(NOT_CONNECTED.format(address, fault))
        else:
            self._ports += 1
            call.service = Service(listening.handler, listening.calls, f"ipv4:127.0.0.1:{self._ports}", tls.certificate)
        return call

    def fate(self, caller: str, address: str, method: str) -> Fate:
        """What becomes of the next call with one answer."""
        listening = self._listening.get(address)
        return Fate.ANSWERED if listening is None else self.links.fate(caller, listening.host, method)

    def listen(
        self, host: str, handler: grpc.GenericRpcHandler, listener: Listener, tls: ProcessTls
    ) -> _MemoryListening:
        """Raises OSError where the address is taken."""
        name, _, port = listener.address.rpartition(":")
        if port == "0":
            self._ports += 1
        address = f"{name}:{self._ports if port == '0' else port}"
        if address in self._listening:
            raise OSError(f"cannot listen on {address}")
        found = self._listening[address] = _MemoryListening(address, host, handler, listener, tls, self._closed)
        return found

    def _closed(self, listening: _MemoryListening) -> None:
        if self._listening.get(listening.address) is listening:
            del self._listening[listening.address]

    def _ended(self, call: MemoryCall) -> None:
        self._calls.pop(call, None)

    def _between(self, pair: frozenset[str]) -> list[MemoryCall]:
        return [call for call in self._calls if frozenset((call.caller, call.host)) == pair]

    def _break(self, pair: frozenset[str]) -> None:
        for call in self._between(pair):
            call.broken("keepalive watchdog timeout")
        if pair in self._cut:
            self._cut[pair] = asyncio.get_running_loop().call_later(KEEPALIVE_S, self._break, pair)


class HostNetwork:
    """`Network` of one host."""

    def __init__(self, network: MemoryNetwork, host: str) -> None:
        self._network = network
        self._host = host

    async def gone(self, address: str) -> None:
        """Look now and then whether anybody listens there."""
        met = False
        while not met or self._network.is_served(address):
            met = met or self._network.is_served(address)
            await asyncio.sleep(LOOK_AGAIN_S)

    async def silent(self, address: str, server_name: str, tls: ProcessTls) -> None:
        """Look now and then whether it is reached."""
        unheard = None
        while unheard is None or unheard < SILENT_LOOKS:
            if not self._network.reaches(self._host, address):
                unheard = None if unheard is None else unheard + 1
            elif self._network.is_served(address):
                unheard = 0
            await asyncio.sleep(LOOK_AGAIN_S)

    async def listen(
        self, handler: grpc.GenericRpcHandler, listener: Listener, tls: ProcessTls, common: Common
    ) -> Listening:
        """Serve on one more address; port 0 takes a free one."""
        return self._network.listen(self._host, handler, listener, tls)

    def dial(self, tls: Tls, *, read_ahead_bytes: int | None) -> Dial:
        """Channels of this network; nothing is read ahead."""
        return MemoryDial(self._network, self._host, tls)


class MemoryDial:
    """`Dial` of one host."""

    def __init__(self, network: MemoryNetwork, host: str, tls: Tls) -> None:
        self._network = network
        self._host = host
        self.shown = Shown(tls, deadlines.now)

    def __call__(self, address: str, server_name: str, *, apart: int = 0) -> Channel:
        """As of `Dial`."""
        return MemoryChannel(
            partial(self._network.call, self._host, address, server_name, self.shown()),
            partial(self._network.fate, self._host, address),
        )


class MemoryChannel:
    """`Channel` to one address."""

    def __init__(self, call: Callable[[str], MemoryCall], fate: Callable[[str], Fate]) -> None:
        """`call` begins one of a method; `fate` says what becomes of one that is answered once."""
        self._call = call
        self._fate = fate
        self._open: dict[MemoryCall, None] = {}

    def unary_unary(self, method: str, serializer: Any, deserializer: Any) -> Any:
        """One request, one answer."""

        async def called(request: Any, *, timeout: float | None = None, metadata: Metadata | None = None) -> Any:
            call = self._made(method, deserializer)
            call.begin(timeout, metadata or (), self._fate(method))
            call.send_only(request if serializer is None else serializer(request))
            return await call.answer()

        return called

    def stream_unary(self, method: str, serializer: Any, deserializer: Any) -> Any:
        """Many requests, one answer."""

        async def called(requests: Any, *, timeout: float | None = None, metadata: Metadata | None = None) -> Any:
            call = self._made(method, deserializer)
            call.begin(timeout, metadata or ())
            call.feed(requests, serializer)
            return await call.answer()

        return called

    def unary_stream(self, method: str, serializer: Any, deserializer: Any) -> Any:
        """One request, many answers."""

        def called(request: Any, *, timeout: float | None = None, metadata: Metadata | None = None) -> MemoryCall:
            call = self._made(method, deserializer)
            call.begin(timeout, metadata or ())
            call.send_only(request if serializer is None else serializer(request))
            return call

        return called

    def stream_stream(self, method: str, serializer: Any, deserializer: Any) -> Any:
        """Many requests, many answers."""

        def called(
            requests: Any = None, *, timeout: float | None = None, metadata: Metadata | None = None
        ) -> MemoryCall:
            call = self._made(method, deserializer)
            call.serializer = serializer
            call.begin(timeout, metadata or ())
            if requests is not None:
                call.feed(requests, serializer)
            return call

        return called

    async def close(self) -> None:
        """Cancel what is under way."""
        for call in list(self._open):
            call.cancel()

    def _made(self, method: str, deserializer: Any) -> MemoryCall:
        call = self._call(method)
        call.deserializer = deserializer
        self._open = {each: None for each in self._open if not each.done()}
        self._open[call] = None
        return call


class _MemoryListening:
    """`Listening`."""

    def __init__(
        self,
        address: str,
        host: str,
        handler: grpc.GenericRpcHandler,
        listener: Listener,
        tls: ProcessTls,
        closed: Callable[[_MemoryListening], None],
    ) -> None:
        self.address = address
        self.host = host
        self.handler = handler
        self.calls: dict[asyncio.Task[None], MemoryCall] = {}
        self._asks = listener.client_certificate
        self._shown = tls.shown
        self._closed = closed

    def handshake_fault(self, server_name: str, client: Credentials) -> str:
        """Why the two do not trust each other; empty where they do."""
        own = self._shown()
        if not _share_authority(client.ca, own.ca) or server_name not in _dns_names(own.certificate):
            return "Tls handshake failed: CERTIFICATE_VERIFY_FAILED"
        return "Tls handshake failed: SSL_ERROR_SSL" if self._asks and not client.certificate else ""

    async def stop(self, grace_s: float) -> None:
        """As gRPC's server does."""
        self._closed(self)
        if self.calls and grace_s:
            await asyncio.wait(list(self.calls), timeout=grace_s)
        for call in list(self.calls.values()):
            call.broken("Server shutting down")


@lru_cache(maxsize=256)
def _share_authority(one: bytes, other: bytes) -> bool:
    """Whether both trust one authority, which stands for each being certified by one that the other trusts."""
    known = (set(x509.load_pem_x509_certificates(each)) for each in (one, other))
    return bool(set.intersection(*known))


@lru_cache(maxsize=256)
def _dns_names(certificate: bytes) -> frozenset[str]:
    try:
        names = x509.load_pem_x509_certificate(certificate).extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        )
    except x509.ExtensionNotFound:
        return frozenset()
    return frozenset(names.value.get_values_for_type(x509.DNSName))
