"""Does to a simulated node what the plan says, and then lets it be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import count
from random import Random

from scenario.node import ETCD, SimulatedNode
from scenario.story import Fault, World
from suanmesh.registry.v1 import registry_service_pb2 as registry
from suanmesh.registry.v1.site_pb2 import Site
from suanmesh_chassis.memory_call import Fate
from suanmesh_kernel.refusals import Refusal

SILENT_AFTER_S = 3.0
"""How long a process may be cut off from the keyspace before the keep-alives that are missing count."""
WRITES_MAX = 200
"""A run has about so many writes of the scheduler, into the keyspace and into its records."""
ADMIT_AGAIN_S = 1.0
DEAD_S = (0.5, 8.0)
_LOSSES = (Fate.REQUEST_LOST, Fate.ANSWER_LOST)


class SeededLinks:
    """`Links` by a world and a seed."""

    def __init__(self, world: World, seed: int) -> None:
        self._links = world.links
        self._chance = Random(f"{world.name} {seed} links")
        self.calm = True
        """Whether no message is lost or doubled."""

    def delay_s(self, source: str, target: str) -> float:
        """Within the world's bounds, short ones more often."""
        least, most = self._links.delay_ms
        return (least + (most - least) * self._chance.random() ** 3) / 1000

    def fate(self, source: str, target: str, method: str) -> Fate:
        """As often as the world says."""
        drawn = self._chance.random()
        if self.calm or drawn >= self._links.lost + self._links.doubled:
            return Fate.ANSWERED
        return self._chance.choice(_LOSSES) if drawn < self._links.lost else Fate.TWICE


class SeededKeys:
    """Delays and faults of the keyspace by a world and a seed, and a death at one write."""

    def __init__(self, world: World, seed: int) -> None:
        self._keys = world.keys
        self._chance = Random(f"{world.name} {seed} keys")
        self._victim = world.faults.kill_at_write
        self._write = self._chance.randint(1, WRITES_MAX)
        self._before = self._chance.random() < 0.5
        self.calm = True
        self.armed = False
        self.strike: Callable[[str], None] = lambda area: None

    def text(self) -> str:
        """For people; empty where nobody dies at a write."""
        when = "before" if self._before else "after"
        return f"{self._victim} is killed {when} its write {self._write}" if self._victim else ""

    def delay_s(self) -> float:
        """Within the world's bounds."""
        least, most = self._keys.delay_ms
        return self._chance.uniform(least, most) / 1000

    def death(self, area: str) -> str:
        """Whether the writer of the next write of an area dies of it, and how: empty where it does not."""
        if self.armed and area == self._victim:
            self._write -= 1
            if not self._write:
                asyncio.get_running_loop().call_soon(self.strike, area)
                return "unreachable" if self._before else "unknown"
        return ""

    def fault(self, area: str) -> str:
        """What befalls the next write of an area into the keyspace."""
        if death := self.death(area):
            return death
        drawn = self._chance.random()
        if self.calm or drawn >= self._keys.unreachable + self._keys.unknown:
            return ""
        return "unreachable" if drawn < self._keys.unreachable else "unknown"


class Nemesis:
    """Strikes."""

    def __init__(self, node: SimulatedNode, seed: int, tell: Callable[[str], None]) -> None:
        self._node = node
        self._chance = Random(f"{seed} nemesis")
        self._tell = tell
        self._revivals: list[asyncio.Task[None]] = []
        self._down: dict[str, int] = {}
        self._cut: dict[tuple[str, str], int] = {}
        self._drained: dict[str, int] = {}
        self._owner = node.mesh("operator", "olga")
        self._copies = count()

    async def run(self, faults: list[Fault]) -> None:
        """Do all of it; returns once every fault is over."""
        begin_s = self._node.clock.monotonic()
        async with asyncio.TaskGroup() as tasks:
            for fault in faults:
                tasks.create_task(self._one(fault, begin_s))
        await self.revive()

    def strike(self, area: str) -> None:
        """Kill a service now, in the middle of what it does, and start it again later."""
        self._tell(f"kill {area} at a write")
        self._node.services[area].strike_dead()
        dead = self._revive(area, self._chance.uniform(*DEAD_S))
        self._revivals.append(asyncio.get_running_loop().create_task(dead))

    async def revive(self) -> None:
        """Wait until all that was struck dead lives again."""
        for each in self._revivals:
            await each

    async def _revive(self, area: str, after_s: float) -> None:
        await asyncio.sleep(after_s)
        await self._node.services[area].kill()
        self._node.services[area].start()

    async def _one(self, fault: Fault, begin_s: float) -> None:
        await asyncio.sleep(begin_s + fault.begin_s - self._node.clock.monotonic())
        self._tell(fault.text())
        lasts_s = fault.end_s - fault.begin_s
        match fault.kind:
            case "cut":
                await self._cut_off(fault.whom, lasts_s)
            case "compact":
                self._node.keys.compact()
            case "set_back":
                await self._set_back(fault.whom, lasts_s)
            case "drain":
                await self._drain(fault.whom, lasts_s)
            case "mute":
                self._node.services[fault.whom].fall_silent()
            case _:
                await self._take_down(fault.whom, lasts_s, gracefully=fault.kind == "restart")

    async def _take_down(self, name: str, seconds: float, *, gracefully: bool) -> None:
        process = {**self._node.services, **self._node.sites}[name]
        self._down[name] = self._down.get(name, 0) + 1
        if self._down[name] == 1:
            await (process.stop() if gracefully else process.kill())
        await asyncio.sleep(seconds)
        self._down[name] -= 1
        if not self._down[name]:
            process.start()

    async def _drain(self, site: str, seconds: float) -> None:
        self._drained[site] = self._drained.get(site, 0) + 1
        await self._admit(site, Site.ADMISSION_DRAINING)
        await asyncio.sleep(seconds)
        self._drained[site] -= 1
        if not self._drained[site]:
            await self._admit(site, Site.ADMISSION_OPEN)

    async def _admit(self, site: str, admission: Site.Admission.ValueType) -> None:
        """As its owner says it, again until it is heard."""
        request = registry.SetSiteAdmissionRequest(name=f"sites/{site}", admission=admission)
        while True:
            try:
                await self._owner.registry.SetSiteAdmission(request)
                return
            except Refusal:
                await asyncio.sleep(ADMIT_AGAIN_S)

    async def _set_back(self, site: str, seconds: float) -> None:
        process = self._node.sites[site]
        if (kept := process.copy_of_journal(next(self._copies))) is None:
            return
        await asyncio.sleep(seconds)
        self._down[site] = self._down.get(site, 0) + 1
        await process.kill()
        process.set_journal_back(kept)
        self._down[site] -= 1
        if not self._down[site]:
            process.start()

    async def _cut_off(self, pair: str, seconds: float) -> None:
        one, other = pair.split("-")
        self._cut[one, other] = self._cut.get((one, other), 0) + 1
        self._node.network.cut(one, other)
        if other == ETCD:
            await asyncio.sleep(min(seconds, SILENT_AFTER_S))
            if seconds > SILENT_AFTER_S:
                self._node.services[one].fall_silent()
            seconds = max(0.0, seconds - SILENT_AFTER_S)
        await asyncio.sleep(seconds)
        self._cut[one, other] -= 1
        if not self._cut[one, other]:
            self._node.network.heal(one, other)
