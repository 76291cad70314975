"""A real etcd of three members for the contract suites, started once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from suanmesh_local.etcd import EtcdCluster


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
