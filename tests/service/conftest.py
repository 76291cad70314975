"""Where a service under test keeps its documents: the store's twin in memory, or a real etcd."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from suanmesh_etcd3 import connect
from suanmesh_kernel.clock import SystemClock, system_rng
from suanmesh_local.etcd import EtcdCluster
from suanmesh_sdk import deadlines
from suanmesh_store import MemoryKeyspace, MemoryStore
from suanmesh_store.etcd import EtcdStore
from suanmesh_store.store import KeyspaceStore

Stores = Callable[[str], KeyspaceStore]
"""The store of an area; those of all areas are one keyspace."""


@pytest.fixture(autouse=True)
def _patient_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that stands still for ten seconds is no fault of what is asked meanwhile."""
    monkeypatch.setattr(deadlines, "DEFAULT_S", 60.0)


@pytest.fixture(scope="session")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdCluster]:
    """One member for the whole session."""
    cluster = EtcdCluster(tmp_path_factory.mktemp("etcd"))
    cluster.members[0].start()
    asyncio.run(cluster.healthy())
    yield cluster
    cluster.stop()


@pytest.fixture
def memory_stores() -> Stores:
    """The twin in memory; empty."""
    keys = MemoryKeyspace(SystemClock())
    return lambda area: MemoryStore(area, keys=keys)


@pytest.fixture(params=["memory", "etcd"])
def cluster(request: pytest.FixtureRequest) -> EtcdCluster | None:
    """None for the twin in memory."""
    found: EtcdCluster | None = request.getfixturevalue("etcd") if request.param == "etcd" else None
    return found


@pytest.fixture
async def stores(cluster: EtcdCluster | None, memory_stores: Stores) -> AsyncIterator[Stores]:
    """Either; empty."""
    if cluster is None:
        yield memory_stores
        return
    async with connect(cluster.endpoints) as client:
        await client.delete_prefix("/suanmesh/")
        yield lambda area: EtcdStore(client, area, SystemClock(), system_rng)
