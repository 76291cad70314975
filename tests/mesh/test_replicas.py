"""Two processes of every service that is led: a restart costs no call, a death no read and a write a few seconds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from suanmesh_local.node import Node
from suanmesh_local.traffic import Traffic

pytestmark = pytest.mark.mesh

REST = ("registry", "network_orchestrator", "transport", "accounting")
"""Areas whose leader's death is tried by `make test-faults`."""


@pytest.fixture(scope="module")
def doubled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node of which each service but the gateway runs twice."""
    node = Node(tmp_path_factory.mktemp("doubled"), 1, replicas=2)
    try:
        asyncio.run(node.start())
        yield node
    finally:
        asyncio.run(node.stop())


@pytest.fixture
async def traffic(doubled: Node) -> AsyncIterator[Traffic]:
    async with doubled.mesh() as user, doubled.mesh("operator") as operator:
        yield Traffic(user, operator)


async def test_a_rolling_restart_fails_no_call(doubled: Node, traffic: Traffic) -> None:
    """Whoever updates a node must not have to warn its users."""
    async with traffic.flowing():
        for name, process in doubled.services.items():
            if name != "gateway":
                await process.stop()
                assert process.status == 0
                process.start()
                await doubled.ready(name)

    assert {made.area for made in traffic.made if made.writes} == set(traffic.writes)
    assert traffic.failed == []


@pytest.mark.parametrize("area", ["scheduler", *(pytest.param(area, marks=pytest.mark.faults) for area in REST)])
async def test_a_death_stops_no_read_and_writes_go_on(doubled: Node, traffic: Traffic, area: str) -> None:
    """With a standby beside it, the death of a leader cost half of all reads, and writes their deadline."""
    name = await doubled.leader_of(area)
    async with traffic.flowing(writes=False):
        await asyncio.to_thread(doubled.services[name].kill)
        written = await traffic.one(area, writes=True)  # how long it takes is for `bench/failover.py` to say
    heir = await doubled.leader_of(area)
    doubled.services[name].start()
    await doubled.ready(name)

    assert written.refusal is None
    assert traffic.failed == []
    assert heir != name
