"""Clients of the real cluster, and doors of our own between a client or member and a member, to be shut at will."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import psutil
import pytest

from suanmesh_etcd3 import Client, EtcdError, connect
from suanmesh_local.etcd import EtcdCluster, EtcdServer
from suanmesh_local.ports import free_ports

START_S_MAX = 60.0
_numbers = itertools.count()


class Door:
    """A TCP relay to a port on loopback. Shut, it takes connections and bytes and passes nothing on."""

    def __init__(self, port: int, *, listen: int = 0, shut: Callable[[int], bool] = lambda port: False) -> None:
        """`shut` tells for the source port of a connection whether it may pass; asked for every piece."""
        self.port = listen
        self.deaf = False
        """Whether answers are swallowed while requests pass."""
        self.shut = False
        self._upstream = port
        self._shut_to = shut
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def address(self) -> str:
        """Where to reach it."""
        return f"127.0.0.1:{self.port}"

    async def __aenter__(self) -> Door:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()
        self.drop()

    def drop(self) -> None:
        """Break every connection."""
        for writer in self._writers:
            writer.transport.abort()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        source = writer.get_extra_info("peername")[1]
        self._writers.add(writer)
        with suppress(OSError):
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._upstream)
            self._writers.add(far_writer)
            await asyncio.gather(
                self._pass_on(reader, far_writer, lambda: self.shut or self._shut_to(source)),
                self._pass_on(far_reader, writer, lambda: self.shut or self.deaf or self._shut_to(source)),
            )
            self._writers.discard(far_writer)
        self._writers.discard(writer)
        writer.transport.abort()

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, shut: Callable[[], bool]
    ) -> None:
        with suppress(OSError):
            while piece := await reader.read(1 << 16):
                if not shut():
                    writer.write(piece)
                    await writer.drain()
        writer.transport.abort()


class PartedCluster:
    """Three members that reach each other through doors, so that one can be parted from the others."""

    def __init__(self, folder: Path) -> None:
        ports = free_ports(9)
        self.parted: int | None = None
        announced = ports[6:]
        cluster = ",".join(f"m{i}=http://127.0.0.1:{announced[i]}" for i in range(3))
        self.members = [
            EtcdServer(f"m{i}", folder / f"m{i}", ports[i], ports[3 + i], cluster, announced_peer_port=announced[i])
            for i in range(3)
        ]
        self.doors = [Door(ports[3 + i], listen=announced[i], shut=self._shut(i)) for i in range(3)]
        self.endpoints = [member.endpoint for member in self.members]
        self._sources: dict[int, int] = {}

    def _shut(self, target: int) -> Callable[[int], bool]:
        return lambda source: self.parted is not None and self.parted in (target, self._member_at(source))

    def _member_at(self, port: int) -> int:
        """Which member dials from a port; -1 for none."""
        if port not in self._sources:
            for index, member in enumerate(self.members):
                for connection in psutil.Process(member.pid).net_connections("tcp4"):
                    self._sources[connection.laddr.port] = index
        return self._sources.get(port, -1)

    async def __aenter__(self) -> PartedCluster:
        async with AsyncExitStack() as stack:
            for door, member in zip(self.doors, self.members, strict=True):
                await stack.enter_async_context(door)
                stack.callback(member.kill)
                member.start()
            async with asyncio.timeout(START_S_MAX), connect(self.endpoints, timeout_s=1.0) as client:
                while not await _writable(client):
                    pass
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.parted = None
        await self._stack.aclose()


async def _writable(client: Client) -> bool:
    try:
        await client.put("/suanmesh/health", b"")
    except EtcdError:
        return False
    return True


@pytest.fixture
def prefix() -> str:
    """A prefix of the test's own."""
    return f"/contract/{next(_numbers)}/"


@pytest.fixture
async def client(etcd_cluster: EtcdCluster) -> AsyncIterator[Client]:
    """A client of all three members."""
    async with connect(etcd_cluster.endpoints) as client:
        yield client


@pytest.fixture
async def other(etcd_cluster: EtcdCluster) -> AsyncIterator[Client]:
    """Somebody else's client."""
    async with connect(etcd_cluster.endpoints) as client:
        yield client


@pytest.fixture
async def door(etcd_cluster: EtcdCluster) -> AsyncIterator[Door]:
    """A door to the first member."""
    async with Door(int(etcd_cluster.endpoints[0].rpartition(":")[2])) as door:
        yield door


@pytest.fixture
async def parted_cluster(tmp_path: Path) -> AsyncIterator[PartedCluster]:
    """A cluster of the test's own whose members can be parted."""
    async with PartedCluster(tmp_path) as cluster:
        yield cluster
