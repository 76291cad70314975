"""What the answer to a report allows a site: less than it takes to be lost, nothing while it is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from suanmesh.registry.v1 import registry_service_pb2 as pb
from suanmesh.registry.v1 import site_pb2
from suanmesh_chassis import Call
from suanmesh_chassis.ca import NodeCa
from suanmesh_chassis.identity import agent_id, caller_of
from suanmesh_kernel.clock import HandClock, seeded_rng
from suanmesh_kernel.permission import STOP_S_MAX, run_for_s
from suanmesh_kernel.refusals import InvalidArgument
from suanmesh_registry.assembly import Registry, assemble
from suanmesh_registry.settings import RegistrySettings
from suanmesh_store import Create, MemoryKeyspace, MemoryStore
from suanmesh_store.layout import ALIVE, SITES

SETTINGS = RegistrySettings()
Site = site_pb2.Site


@dataclass(frozen=True, slots=True)
class Desk:
    """A registry with the sites `a`, `b` and `c`, and the hands of its clock."""

    registry: Registry
    clock: HandClock
    keys: MemoryKeyspace

    async def permission(self, site: str) -> int:
        """What the answer to one report of the site allows, ms."""

        async def reports() -> AsyncIterator[pb.ReportStateRequest]:
            yield pb.ReportStateRequest(sequence=1)

        call = Call("m", caller_of(agent_id("demo", site), "demo"), "r", "", b"d", "peer", None, self.clock)
        (answer,) = [answer async for answer in self.registry.service.ReportState(reports(), call)]
        return answer.run_for_ms

    async def pass_time(self, seconds: int, *heard: str) -> None:
        """Let time pass, in which some sites are heard."""
        for _ in range(seconds):
            for site in heard:
                await self.permission(site)
            self.clock.advance(1)
            self.keys.tick()
            await self.registry.presence.sweep()
            await self.registry.liveness.read_leases()
            await self.registry.liveness.judge()

    async def liveness(self, site: str) -> int:
        """As it is recorded."""
        call = Call("m", caller_of(agent_id("demo", site), "demo"), "r", "", b"d", "peer", None, self.clock)
        return (await self.registry.service.GetSite(pb.GetSiteRequest(name=f"sites/{site}"), call)).liveness


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    clock = HandClock()
    keys = MemoryKeyspace(clock)
    store, rng = MemoryStore("registry", keys=keys, clock=clock, rng=seeded_rng(1)), seeded_rng(2)
    names = [f"sites/{site}" for site in "abc"]
    await store.commit(*(Create(SITES, name, Site(name=name, liveness=Site.LIVENESS_ALIVE)) for name in names))
    registry = await assemble("demo", store, clock, rng, NodeCa.create("demo", clock), SETTINGS)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(registry.mirrors.run())
        with registry.liveness.watching():
            yield Desk(registry, clock, keys)
        running.cancel()


async def test_an_answer_allows_less_than_it_takes_to_be_lost(desk: Desk) -> None:
    """A site that runs on while its work is placed elsewhere runs it twice, and both are charged."""
    permitted_s = await desk.permission("a") / 1000
    assert permitted_s == pytest.approx(run_for_s(SETTINGS.lost_after_s), abs=0.001)
    assert permitted_s + STOP_S_MAX < SETTINGS.lost_after_s


async def test_a_lost_site_may_run_once_it_is_recorded_as_back(desk: Desk) -> None:
    """Until then its work is still being given to others, and none of it may begin again here."""
    await desk.pass_time(1, "a", "b", "c")
    await desk.pass_time(40, "b", "c")
    assert await desk.liveness("a") == Site.LIVENESS_LOST
    assert await desk.permission("a") == 0
    await desk.pass_time(1, "b", "c")
    assert await desk.liveness("a") == Site.LIVENESS_ALIVE
    assert await desk.permission("a") > 0


async def test_a_site_that_may_run_is_not_counted_out_on_old_news(desk: Desk) -> None:
    """The watch of the leases may be behind: the report of a site that came back in the last moment counts first."""
    await desk.pass_time(1, "a", "b", "c")
    await desk.pass_time(33, "b", "c")
    assert await desk.liveness("a") == Site.LIVENESS_SUSPECT
    assert await desk.permission("a") > 0
    desk.clock.advance(4)
    await desk.registry.liveness.judge()  # without having read the leases anew
    assert await desk.liveness("a") != Site.LIVENESS_LOST


@pytest.mark.parametrize("wrong", [{"lost_after_s": 5}, {"lost_after_s": 60, "mass_lost_after_s": 50}])
def test_settings_that_contradict_the_permission_are_refused(wrong: dict[str, float]) -> None:
    """An operator who shortens one bound would learn of the other when two sites run the same task."""
    with pytest.raises(InvalidArgument, match="at least"):
        RegistrySettings(**wrong)  # type: ignore[arg-type]


async def test_a_term_that_has_ended_keeps_nobody_alive(desk: Desk) -> None:
    """An instance that lost its lead would renew the lease of a site that fell silent, which is then never given up."""
    await desk.permission("a")
    assert [entry.key for entry in (await desk.keys.scan(ALIVE)).entries] == [f"{ALIVE}a"]

    await desk.registry.presence.close()

    assert not (await desk.keys.scan(ALIVE)).entries
    assert not desk.registry.presence.stands("sites/a")
