"""Every collection the scheduler reads without a call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from suanmesh.registry.v1 import pool_pb2, site_pb2
from suanmesh.scheduler.v1 import job_pb2, placement_pb2
from suanmesh.transport.v1 import transfer_pb2
from suanmesh_store import Mirror, Store, open_mirror
from suanmesh_store.layout import JOBS, PLACEMENTS, POOLS, SITES, TRANSFERS


@dataclass(frozen=True, slots=True)
class Mirrors:
    """Loaded mirrors; `runs` keeps them so."""

    jobs: Mirror[job_pb2.Job]
    placements: Mirror[placement_pb2.Placement]
    pools: Mirror[pool_pb2.Pool]
    sites: Mirror[site_pb2.Site]
    transfers: Mirror[transfer_pb2.Transfer]

    @property
    def runs(self) -> list[Callable[[], Awaitable[None]]]:
        """Tasks that follow what changes."""
        mirrors = (self.jobs, self.placements, self.pools, self.sites, self.transfers)
        return [mirror.run for mirror in mirrors]


async def open_mirrors(store: Store) -> Mirrors:
    """All of them, loaded."""
    return Mirrors(
        jobs=await open_mirror(store, JOBS),
        placements=await open_mirror(store, PLACEMENTS),
        pools=await open_mirror(store, POOLS),
        sites=await open_mirror(store, SITES),
        transfers=await open_mirror(store, TRANSFERS),
    )
