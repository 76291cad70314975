"""The pools of a round are kept up to date by what has changed, and come to what reading all of them anew would."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from suanmesh.registry.v1 import pool_pb2, site_pb2
from suanmesh.registry.v1 import registry_service_pb2 as registry
from suanmesh.scheduler.v1 import placement_pb2
from suanmesh_kernel.clock import SystemClock, seeded_rng
from suanmesh_kernel.refusals import Unavailable
from suanmesh_registry.catalogue import Catalogue
from suanmesh_registry.domain.change_log import ChangeLog
from suanmesh_registry.states import states_after
from suanmesh_scheduler.circuits import Circuits
from suanmesh_scheduler.fleet import FleetReader, Reports
from suanmesh_scheduler.mirrors import Mirrors, open_mirrors
from suanmesh_store import Create, Delete, Mirror, Store, Update
from suanmesh_store.layout import PLACEMENTS, POOLS, SITES
from suanmesh_store.memory import MemoryStore

POOL = "sites/a/pools/cpu"
NAMES = [f"sites/s{number}/pools/p" for number in range(6)]


class Registry:
    """The registry's own answers, two states a page and with few memories; a call may fail."""

    def __init__(self) -> None:
        store = MemoryStore("registry", clock=SystemClock(), rng=seeded_rng(1))
        self.catalogue = Catalogue(Mirror(store, SITES), Mirror(store, POOLS))
        self.catalogue.reported = ChangeLog(gone_max=2)
        self.term = 1
        self.answers_left = 99

    async def pool_states(self, resume_token: str) -> registry.ReadPoolStatesResponse:
        self.answers_left -= 1
        if self.answers_left < 0:
            raise Unavailable("NOT_LEADER", "gone")
        return states_after(self.catalogue, str(self.term), resume_token, page=2)

    @property
    def states(self) -> list[pool_pb2.PoolState | None]:
        return [self.catalogue.state(name) for name in NAMES]

    def report(self, at: int, value: int) -> None:
        state = pool_pb2.PoolState(name=NAMES[at])
        state.free.scratch_bytes = value
        self.catalogue.observe([state])

    def silence(self, at: int) -> None:
        self.catalogue.forget([NAMES[at]])

    def another_leads(self) -> None:
        self.term += 1


AT = st.integers(0, len(NAMES) - 1)
OPS = st.one_of(
    st.tuples(st.just("report"), AT, st.integers(0, 2)),
    st.tuples(st.just("silence"), AT),
    st.tuples(st.just("another_leads")),
    st.tuples(st.just("read"), st.integers(0, 4)),
)


@settings(deadline=None, max_examples=300)
@given(st.lists(OPS, max_size=40))
def test_reports_come_to_what_the_registry_has(ops: list[tuple[Any, ...]]) -> None:
    """A job would be sent to a site that is not heard any more, or a site that is back would get none."""
    asyncio.run(_read_while(ops))


async def _read_while(ops: list[tuple[Any, ...]]) -> None:
    peer = Registry()
    reports = Reports(peer)  # type: ignore[arg-type]
    told: dict[str, pool_pb2.PoolState | None] = dict.fromkeys(NAMES)
    for verb, *values in [*ops, ("read", 99)]:
        if verb != "read":
            getattr(peer, verb)(*values)
            continue
        (peer.answers_left,) = values
        with suppress(Unavailable):
            told |= {name: reports.get(name) for name in await reports.changed()}
            assert [reports.get(name) for name in NAMES] == peer.states, "as of when it was asked"
            assert list(told.values()) == peer.states, "by what was told to have changed"


async def test_what_has_not_changed_is_not_told_again() -> None:
    """The mesh would be read anew for every round, however little happens."""
    peer = Registry()
    for at, _ in enumerate(NAMES):
        peer.report(at, 1)
    reports = Reports(peer)  # type: ignore[arg-type]
    assert await reports.changed() == set(NAMES)
    peer.report(2, 7)
    peer.report(3, 1)
    peer.answers_left = 1

    assert await reports.changed() == {NAMES[2]}


class Changes:
    """What may happen to the pool of a site, seen by the mirrors when it returns."""

    def __init__(self, world: Any, mirrors: Mirrors) -> None:
        self.world, self.mirrors = world, mirrors
        self.registry: Store = world.store.of("registry")

    async def placement_is_made(self) -> None:
        placement = placement_pb2.Placement(
            name="placements/p", site="sites/a", state=placement_pb2.Placement.STATE_COMMITTED
        )
        leg = placement.legs.add(pool=POOL, hosts=[placement_pb2.HostRun(host="h1", tasks=1)])
        leg.per_task.cpu_milli = 1000
        done = await self.world.store.commit(Create(PLACEMENTS, placement.name, placement))
        await self.mirrors.placements.wait_for(done.revision)

    async def placement_goes(self) -> None:
        held = self.mirrors.placements.get("placements/p")
        assert held is not None
        await self.mirrors.placements.wait_for((await self.world.store.commit(Delete(held))).revision)

    async def site_is_not_heard(self) -> None:
        self.world.peers.reporting.discard(POOL)

    async def site_is_heard_again(self) -> None:
        self.world.peers.reporting.add(POOL)

    async def pool_is_quarantined(self) -> None:
        held = self.mirrors.pools.get(POOL)
        assert held is not None
        refuted = held.draft()
        refuted.phase = pool_pb2.Pool.PHASE_QUARANTINED
        await self.mirrors.pools.wait_for((await self.registry.commit(Update(held, refuted))).revision)

    async def site_is_lost(self) -> None:
        held = self.mirrors.sites.get("sites/a")
        assert held is not None
        lost = held.draft()
        lost.liveness = site_pb2.Site.LIVENESS_LOST
        await self.mirrors.sites.wait_for((await self.registry.commit(Update(held, lost))).revision)

    async def pool_goes(self) -> None:
        held = self.mirrors.pools.get(POOL)
        assert held is not None
        await self.mirrors.pools.wait_for((await self.registry.commit(Delete(held))).revision)


async def test_a_fleet_kept_by_changes_is_one_that_is_made_anew(world: Any) -> None:
    """A round would sell what is taken, or a pool would stay away after what was wrong with it is over."""
    await world.add_site("a", price=1)
    await world.add_site("b", price=2)
    mirrors = await open_mirrors(world.store, world.records)
    circuits = Circuits(world.clock)
    fleet, changes = FleetReader(mirrors, circuits, world.peers, world.clock), Changes(world, mirrors)
    following = [asyncio.ensure_future(run()) for run in mirrors.runs]
    before = {pool.name: pool for pool in await fleet.pools()}
    for change in (
        changes.placement_is_made, changes.site_is_not_heard, changes.site_is_heard_again, changes.placement_goes,
        changes.pool_is_quarantined, changes.site_is_lost, changes.pool_goes,
    ):  # fmt: skip
        await change()
        after = {pool.name: pool for pool in await fleet.pools()}

        assert after == {
            pool.name: pool for pool in await FleetReader(mirrors, circuits, world.peers, world.clock).pools()
        }
        assert after.get(POOL) != before[POOL], change.__name__
        assert after["sites/b/pools/cpu"] is before["sites/b/pools/cpu"], "it is not weighed anew"
        before = {**before, **after}
    for task in following:
        task.cancel()
