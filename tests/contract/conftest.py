"""What contract suites share: an etcd of three members, PostgreSQL, ledgers on it, and executors of every kind."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from executor_kinds import KINDS, ProcessExecutor, make_executor
from kubernetes_cluster import AnyCluster, StandIn, any_cluster, stand_in
from ledger_commands import OpenLedger
from nvml_stand_in import CARDS, compiled, written
from postgres import ABSENT, Postgres, binaries, running
from ray_cluster import LastingRay, access_to, ray_cluster
from slurm_cluster import slurm_cluster

from suanmesh_accounting.ledger import open_ledger
from suanmesh_accounting.ledger.sql import SqlLedger
from suanmesh_local.etcd import EtcdCluster
from suanmesh_local.ray import LocalRay
from suanmesh_local.slurm import LocalSlurm

RAY_CARDS = ["NVIDIA A100-SXM4-80GB"] * 3


@pytest.fixture(scope="session")
def etcd_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdCluster]:
    """Three members with fsync; whoever kills or pauses one brings it back."""
    cluster = EtcdCluster(tmp_path_factory.mktemp("etcd"), members=3)
    for member in cluster.members:
        member.start()
    try:
        asyncio.run(cluster.healthy())
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server, as durable as it is by default; skips where none is installed."""
    found = binaries()
    if found is None:
        pytest.skip(ABSENT)
    with running(found) as server:
        yield server


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """What an executor is made of."""
    return str(request.param)


@pytest.fixture(scope="session")
def kubernetes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AnyCluster]:
    """The cluster that KUBECONFIG names, or one of our own."""
    with any_cluster(tmp_path_factory.mktemp("kubernetes")) as started:
        yield started


@pytest.fixture(scope="session")
def kubernetes_stand_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    """Ours, since a real one is not to be hurt; its volume comes by a claim, under the restricted standard."""
    with stand_in(tmp_path_factory.mktemp("kubernetes"), tmp_path_factory.mktemp("volume")) as started:
        yield started


@pytest.fixture
def executor(kind: str, tmp_path: Path) -> Iterator[ProcessExecutor]:
    """An executor over a folder of its own, and nothing of it afterwards."""
    made = make_executor(kind, tmp_path / "tasks")
    yield made
    for key in made.running():
        made.stop(key)
        asyncio.run(made.over(key))
    for placement in made.placements():
        made.forget(placement)
    made.close()


@pytest.fixture(params=["sqlite", "postgres"])
async def opening(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[OpenLedger]:
    """Opens the same ledger, as often as a test wants, each time as another process would."""
    sqlite = request.param == "sqlite"
    url = f"sqlite:///{tmp_path}/ledger" if sqlite else request.getfixturevalue("postgres").new_database()
    async with AsyncExitStack() as closing:

        def open_one() -> SqlLedger:
            ledger = open_ledger(url)
            closing.push_async_callback(ledger.close)
            return ledger

        yield open_one


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalSlurm]:
    """One Slurm for all tests that want it; its node has three cards that are none."""
    with slurm_cluster(cards={"a100": 2, "l4": 1}) as started:
        yield started


@pytest.fixture(scope="module")
def rays(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRay]:
    """One Ray cluster for all tests that want it; its node has three cards that are none, where gcc is."""
    environment = {}
    if shutil.which("gcc"):
        folder = compiled(tmp_path_factory.mktemp("cards")).parent
        written(folder / "cards", RAY_CARDS)
        environment = {"LD_LIBRARY_PATH": str(folder), CARDS: str(folder / "cards")}
    with ray_cluster(environment=environment) as started:
        yield started


@pytest.fixture(scope="module")
def ray(rays: LocalRay) -> Iterator[LastingRay]:
    """What asks it."""
    asked = LastingRay(access_to(rays), "test")
    yield asked
    asked.end()
