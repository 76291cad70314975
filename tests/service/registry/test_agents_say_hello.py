"""Agents and the node say what they speak: one that is too new or too old is told so, and none is misunderstood."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from suanmesh.registry.v1 import registry_service_pb2 as pb
from suanmesh.registry.v1 import site_pb2
from suanmesh.type.v1.hello_pb2 import Hello
from suanmesh.type.v1.node_mark_pb2 import NodeMark
from suanmesh_chassis import Call
from suanmesh_chassis.ca import NodeCa
from suanmesh_chassis.identity import agent_id, caller_of
from suanmesh_kernel.clock import HandClock, seeded_rng
from suanmesh_kernel.protocols import NEWEST
from suanmesh_kernel.refusals import FailedPrecondition
from suanmesh_registry.assembly import Registry, assemble
from suanmesh_registry.settings import RegistrySettings
from suanmesh_store import Create, MemoryKeyspace, MemoryStore
from suanmesh_store.layout import NODE_MARKS, SITES
from suanmesh_store.marks import NODE

CLOCK = HandClock()


@pytest.fixture
async def registry() -> AsyncIterator[Registry]:
    """Of the node `n1`, with the site `a`."""
    keys = MemoryKeyspace(CLOCK)
    store = MemoryStore("registry", keys=keys, clock=CLOCK, rng=seeded_rng(1))
    await store.commit(Create(SITES, "sites/a", site_pb2.Site(name="sites/a", liveness=site_pb2.Site.LIVENESS_ALIVE)))
    root = MemoryStore("node", keys=keys, clock=CLOCK, rng=seeded_rng(3))
    await root.commit(Create(NODE_MARKS, NODE, NodeMark(name=NODE, node_id="n1", generation="g1", layout=1)))
    made = await assemble("demo", store, CLOCK, seeded_rng(2), NodeCa.create("demo", CLOCK), RegistrySettings())
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(made.mirrors.run())
        with made.liveness.watching():
            yield made
        running.cancel()


async def answers(registry: Registry, hello: Hello | None) -> list[pb.ReportStateResponse]:
    """To two reports of the agent, the first with a hello."""

    async def reports() -> AsyncIterator[pb.ReportStateRequest]:
        yield pb.ReportStateRequest(sequence=1, hello=hello)
        yield pb.ReportStateRequest(sequence=2)

    call = Call("m", caller_of(agent_id("demo", "a"), "demo"), "r", "", b"d", "peer", None, CLOCK)
    return [answer async for answer in registry.service.ReportState(reports(), call)]


@pytest.mark.parametrize("hello", [None, Hello(version="0.1.0", protocol=NEWEST, protocol_oldest=1)])
async def test_an_agent_is_told_once_whom_it_speaks_to(registry: Registry, hello: Hello | None) -> None:
    """An agent that finds another node behind the same name would bill its tasks to strangers."""
    first, second = await answers(registry, hello)
    assert (first.hello.node_id, first.hello.protocol) == ("n1", 1)
    assert not second.HasField("hello") or second.hello == Hello()


async def test_an_agent_that_has_nothing_in_common_is_told_what_to_do(registry: Registry) -> None:
    """It would go on in a language of which the node gets every third word."""
    with pytest.raises(FailedPrecondition, match="upgrade the node first") as refused:
        await answers(registry, Hello(protocol=NEWEST + 9, protocol_oldest=NEWEST + 7))
    assert refused.value.reason == "PROTOCOL_TOO_NEW"
