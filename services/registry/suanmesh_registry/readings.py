"""What Prometheus is shown of sites: whether they are heard, what they offer, what of it is free."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from suanmesh.registry.v1 import pool_pb2, site_pb2
from suanmesh.type.v1 import capacity_pb2
from suanmesh_kernel.names import last, parent
from suanmesh_registry.catalogue import Catalogue
from suanmesh_registry.mirrors import Mirrors
from suanmesh_telemetry import names
from suanmesh_telemetry.readings import Reading

_LIVENESS = {
    value: name.removeprefix("LIVENESS_")
    for name, value in site_pb2.Site.Liveness.items()
    if value != site_pb2.Site.LIVENESS_UNSPECIFIED
}
_MILLI = 1000


class SiteReadings:
    """Of all sites that have not left; what agents report only the leader knows."""

    def __init__(self, mirrors: Mirrors, catalogue: Catalogue, ahead_s: Callable[[str], float]) -> None:
        """`ahead_s` tells of a site how far its clock is ahead."""
        self._ahead_s = ahead_s
        self._mirrors = mirrors
        self._catalogue = catalogue

    def __call__(self) -> Iterator[Reading]:
        """As of now."""
        heard: Counter[str] = Counter()
        there = set()
        for held in self._mirrors.sites.scan():
            if held.message.admission == site_pb2.Site.ADMISSION_REMOVED:
                continue
            there.add(held.name)
            heard[_LIVENESS.get(held.message.liveness, "")] += 1
            alive = held.message.liveness == site_pb2.Site.LIVENESS_ALIVE
            yield Reading(names.SITE_UP, alive, (last(held.name),))
            yield Reading(names.SITE_CLOCK_AHEAD, self._ahead_s(held.name), (last(held.name),))
        for liveness in _LIVENESS.values():
            yield Reading(names.SITES, heard[liveness], (liveness,))
        yield from self._capacities(there)

    def _capacities(self, there: set[str]) -> Iterator[Reading]:
        offered: dict[str, Counter[str]] = {site: Counter() for site in there}
        free: dict[str, Counter[str]] = {site: Counter() for site in there}
        for held in self._mirrors.pools.scan():
            if (site := parent(held.name)) in there:
                for host in held.message.hosts:
                    _add(offered[site], host.capacity if host.HasField("capacity") else held.message.host_capacity)
                state = self._catalogue.state(held.name)
                _add(free[site], (state or pool_pb2.PoolState()).free)
        for site in there:
            label = (last(site),)
            yield Reading(names.SITE_CPU, offered[site]["cpu_milli"] / _MILLI, label)
            yield Reading(names.SITE_CPU_FREE, free[site]["cpu_milli"] / _MILLI, label)
            yield Reading(names.SITE_MEMORY, offered[site]["memory_bytes"], label)
            yield Reading(names.SITE_MEMORY_FREE, free[site]["memory_bytes"], label)


def _add(sums: Counter[str], capacity: capacity_pb2.Capacity) -> None:
    sums["cpu_milli"] += capacity.cpu_milli
    sums["memory_bytes"] += capacity.memory_bytes
