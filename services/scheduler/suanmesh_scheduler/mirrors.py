"""Every collection the scheduler reads without a call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from suanmesh.registry.v1 import pool_pb2, site_pb2
from suanmesh.scheduler.v1 import job_pb2, placement_pb2
from suanmesh.transport.v1 import transfer_pb2
from suanmesh_scheduler import wire
from suanmesh_scheduler.domain.states import JOB_ENDS
from suanmesh_store import Mirror, Store, Tally, open_mirror
from suanmesh_store.layout import JOBS, PLACEMENTS, POOLS, SITES, TRANSFERS


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

    @property
    def runs(self) -> list[Callable[[], Awaitable[None]]]:
        """Tasks that follow what changes."""
        mirrors = (self.jobs, self.placements, self.pools, self.sites, self.transfers)
        return [mirror.run for mirror in mirrors]


async def open_mirrors(store: Store) -> Mirrors:
    """All of them, loaded."""
    jobs = await open_mirror(store, JOBS)
    return Mirrors(
        jobs=jobs,
        placements=await open_mirror(store, PLACEMENTS),
        pools=await open_mirror(store, POOLS),
        sites=await open_mirror(store, SITES),
        transfers=await open_mirror(store, TRANSFERS),
        live_jobs_of=jobs.counted_by(lambda job: "" if wire.job_state(job) in JOB_ENDS else job.party),
    )
