"""Of a node on several machines one is renewed at a time, whoever types it where."""

from __future__ import annotations

from pathlib import Path

import pytest

from suanmesh_etcd3 import connect
from suanmesh_local.control_plane import NotReady
from suanmesh_local.etcd import START_S_MAX, EtcdCluster
from suanmesh_local.facts import NodeFacts
from suanmesh_local.rolling import alone


async def test_the_second_machine_waits_for_its_turn(tmp_path: Path) -> None:
    """Two machines that are renewed at once have nobody left who leads: users' calls would fail."""
    first, second = (NodeFacts("pilot", host, 7443, machines=("a", "b"), etcd=("a",)) for host in "ab")
    async with EtcdCluster(tmp_path) as cluster, connect(cluster.endpoints, timeout_s=START_S_MAX) as client:
        async with alone(client, first):
            with pytest.raises(NotReady, match="a is being renewed"):
                async with alone(client, second):
                    raise AssertionError
        async with alone(client, second):
            pass
