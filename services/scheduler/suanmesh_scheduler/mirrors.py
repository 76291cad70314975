"""Every collection the scheduler reads without a call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from suanmesh.registry.v1 import pool_pb2, site_pb2
from suanmesh.scheduler.v1 import job_pb2, placement_pb2
from suanmesh.transport.v1 import transfer_pb2
from suanmesh_scheduler import wire
from suanmesh_scheduler.domain.bookings import Booked
from suanmesh_scheduler.domain.states import JOB_ENDS
from suanmesh_store import Changed, Mirror, Store, Tally, open_mirror
from suanmesh_store.layout import JOBS, PLACEMENTS, POOLS, SITES, TRANSFERS


class Bookings:
    """What live placements hold, by pool; a projection of their mirror."""

    def __init__(self) -> None:
        self._of_placement: dict[str, list[Booked]] = {}
        self._of_pool: dict[str, dict[str, Booked]] = {}
        self._versions: Counter[str] = Counter()

    def apply(self, changes: Sequence[Changed[placement_pb2.Placement]]) -> None:
        """Take in what changed; a placement that has ended holds nothing."""
        for change in changes:
            for booked in self._of_placement.pop(change.name, ()):
                self._of_pool[booked.pool].pop(change.name, None)
                self._versions[booked.pool] += 1
            live = wire.booked_from([change.held.message]) if change.held is not None else []
            if live:
                self._of_placement[change.name] = live
            for booked in live:
                self._of_pool.setdefault(booked.pool, {})[change.name] = booked
                self._versions[booked.pool] += 1

    def of(self, pool: str) -> list[Booked]:
        """What is booked on a pool."""
        return list(self._of_pool.get(pool, {}).values())

    def version(self, pool: str) -> int:
        """Another number for every change of what is booked on it."""
        return self._versions[pool]


@dataclass(frozen=True, slots=True)
class Mirrors:
    """Loaded mirrors; `runs` keeps them so."""

    jobs: Mirror[job_pb2.Job]
    placements: Mirror[placement_pb2.Placement]
    pools: Mirror[pool_pb2.Pool]
    sites: Mirror[site_pb2.Site]
    transfers: Mirror[transfer_pb2.Transfer]
    live_jobs_of: Tally[job_pb2.Job]
    """How many jobs of a party have not ended."""
    bookings: Bookings
    """What live placements hold."""

    @property
    def runs(self) -> list[Callable[[], Awaitable[None]]]:
        """Tasks that follow what changes."""
        mirrors = (self.jobs, self.placements, self.pools, self.sites, self.transfers)
        return [mirror.run for mirror in mirrors]


async def open_mirrors(store: Store) -> Mirrors:
    """All of them, loaded."""
    jobs, placements = await open_mirror(store, JOBS), await open_mirror(store, PLACEMENTS)
    placements.project(bookings := Bookings())
    return Mirrors(
        jobs=jobs,
        placements=placements,
        pools=await open_mirror(store, POOLS),
        sites=await open_mirror(store, SITES),
        transfers=await open_mirror(store, TRANSFERS),
        live_jobs_of=jobs.counted_by(lambda job: "" if wire.job_state(job) in JOB_ENDS else job.party),
        bookings=bookings,
    )
