"""Two worlds for the suites of documents, a twin in memory and a real etcd of three members; three for records."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from typing import Any, Protocol

import pytest
from record_datasets import DATASETS, OTHERS, Open

from suanmesh_etcd3 import Client, connect
from suanmesh_kernel.clock import HandClock, SystemClock, seeded_rng, system_rng
from suanmesh_local.etcd import EtcdCluster
from suanmesh_store.etcd import EtcdKeyspace, EtcdStore, elect
from suanmesh_store.layout import election_key
from suanmesh_store.memory import MemoryKeyspace, MemoryLease, MemoryStore, MemoryTerm
from suanmesh_store.ports import Leadership, RoundLease
from suanmesh_store.records import MemoryDatabase, MemoryRecords, RecordKind, Records, open_records
from suanmesh_store.store import KeyspaceStore

TTL_S = 2
"""The shortest time to live that etcd grants."""
PROBE = "/suanmesh/health/lapsing"


class World(Protocol):
    """What a test may do beside using a store."""

    def store(self, area: str, leadership: Leadership | None = None) -> KeyspaceStore:
        """Another store over the same keys."""

    async def elect(self, area: str, address: str) -> Leadership:
        """Wait until `address` leads `area`."""

    async def lapse(self, lease: RoundLease) -> None:
        """Let a lease that is not kept run out."""

    async def end_lease(self, lease: RoundLease) -> None:
        """Take a kept lease away without its holder having a say."""

    async def end_term(self, term: Leadership) -> None:
        """Take a term away without its holder having a say, as its lease running out does."""

    async def depose(self, area: str, address: str) -> None:
        """End the term of `address`, where it leads."""

    async def compact(self) -> None:
        """Forget all history."""


class MemoryWorld:
    """The twin in memory, on a clock moved by hand."""

    def __init__(self) -> None:
        self.clock = HandClock()
        self.keys = MemoryKeyspace(self.clock)

    def store(self, area: str, leadership: Leadership | None = None) -> KeyspaceStore:
        return MemoryStore(area, keys=self.keys, leadership=leadership)

    async def elect(self, area: str, address: str) -> Leadership:
        return await self.keys.campaign(election_key(area), address.encode(), TTL_S)

    async def lapse(self, lease: RoundLease) -> None:
        assert isinstance(lease, MemoryLease)
        self.clock.advance(lease.ttl_s)
        self.keys.tick()

    async def end_lease(self, lease: RoundLease) -> None:
        assert isinstance(lease, MemoryLease)
        lease.silence()
        await self.lapse(lease)

    async def end_term(self, term: Leadership) -> None:
        assert isinstance(term, MemoryTerm)
        await self.end_lease(term.lease)

    async def depose(self, area: str, address: str) -> None:
        await self.keys.depose(election_key(area), address.encode())

    async def compact(self) -> None:
        self.keys.compact()


class EtcdWorld:
    """Three real members with fsync."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def store(self, area: str, leadership: Leadership | None = None) -> KeyspaceStore:
        return EtcdStore(self.client, area, SystemClock(), system_rng, leadership)

    async def elect(self, area: str, address: str) -> Leadership:
        return await elect(self.client, area, address, TTL_S)

    async def lapse(self, lease: RoundLease) -> None:
        if await self.client.time_to_live(lease.id) < 0:
            return
        revision = await self.client.put(PROBE, b"", lease=lease.id)
        async with aclosing(self.client.watch(PROBE, after_revision=revision)) as gone:
            await anext(gone)

    async def end_lease(self, lease: RoundLease) -> None:
        await self.client.revoke(lease.id)

    async def end_term(self, term: Leadership) -> None:
        await self.client.revoke(int(term.key.rsplit("/", 1)[-1], 16))

    async def depose(self, area: str, address: str) -> None:
        await EtcdKeyspace(self.client).depose(election_key(area), address.encode())

    async def compact(self) -> None:
        await self.client.compact((await EtcdKeyspace(self.client).scan("/suanmesh/")).revision)


@pytest.fixture(params=["memory", "etcd"])
def cluster(request: pytest.FixtureRequest) -> EtcdCluster | None:
    found: EtcdCluster | None = request.getfixturevalue("etcd_cluster") if request.param == "etcd" else None
    return found


@pytest.fixture
async def world(cluster: EtcdCluster | None) -> AsyncIterator[World]:
    if cluster is None:
        yield MemoryWorld()
        return
    async with connect(cluster.endpoints) as client:
        await client.delete_prefix("/suanmesh/")
        yield EtcdWorld(client)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def opening(request: pytest.FixtureRequest, tmp_path: Path, clock: HandClock) -> AsyncIterator[Open]:
    """Opens the same records, as often as a test wants, each time as another process would."""
    rng, database = seeded_rng(1), MemoryDatabase()
    url = f"sqlite:///{tmp_path}/records"
    if request.param == "postgres":
        url = request.getfixturevalue("postgres").new_database()
    async with AsyncExitStack() as closing:

        def open_one(*kinds: RecordKind[Any]) -> Records:
            if request.param == "memory":
                return MemoryRecords(clock, rng, database)
            records = open_records(url, "transport", kinds or (DATASETS, OTHERS), clock, rng)
            closing.push_async_callback(records.close)
            return records

        yield open_one


@pytest.fixture
def records(opening: Open) -> Records:
    return opening()
