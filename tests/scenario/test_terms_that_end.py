"""What the end of a term may cost while the keyspace is away."""

from __future__ import annotations

import asyncio

import pytest

from scenario.virtual_time import LoopClock, run
from suanmesh_chassis.ca import NodeCa
from suanmesh_fake.keyspace import ProcessKeys
from suanmesh_kernel.clock import seeded_rng
from suanmesh_registry.assembly import assemble
from suanmesh_registry.settings import RegistrySettings
from suanmesh_store import MemoryKeyspace
from suanmesh_store.layout import ALIVE, election_key
from suanmesh_store.store import KeyspaceStore

SITES = [f"sites/s{number}" for number in range(20)]


@pytest.mark.parametrize("away", [True, False])
def test_a_registry_that_lost_its_lead_leads_again_without_delay(away: bool) -> None:
    """Its key in etcd outlives the change of etcd's leader until it gives it up: no write is taken before that."""
    assert run(_closing(away)) < 0.5


async def _closing(away: bool) -> float:
    """How long the end of a term takes, seconds, in which some sites were heard."""
    clock, rng, cut = LoopClock(), seeded_rng(1), asyncio.Event()
    keys = ProcessKeys(MemoryKeyspace(clock, on_loop_time=True), lambda: 0.0, lambda: "", cut.is_set)
    term = await keys.campaign(election_key("registry"), b"", 2.0)
    store = KeyspaceStore(keys, "registry", clock, rng, term)
    registry = await assemble("demo", store, clock, rng, NodeCa.create("demo", clock), RegistrySettings())

    for site in SITES:
        await registry.presence.hear(site, "127.0.0.1:1", [])
    assert len((await store.tokens(ALIVE)).tokens) == len(SITES)
    if away:
        cut.set()
    begun = clock.monotonic()
    await registry.presence.close()
    return clock.monotonic() - begun
