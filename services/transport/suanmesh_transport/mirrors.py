"""The mirrors of a transport, one set a process."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from suanmesh.registry.v1.site_pb2 import Site
from suanmesh.scheduler.v1.placement_pb2 import Placement
from suanmesh.transport.v1 import dataset_pb2, transfer_pb2
from suanmesh_store import Mirror, Store, open_mirror
from suanmesh_store.layout import DATASETS, PLACEMENTS, SITES, TRANSFERS


@dataclass(frozen=True, slots=True)
class Kept:
    """Mirrors of what is looked through. Open them with `open_kept`, start `run` as a task."""

    datasets: Mirror[dataset_pb2.Dataset]
    transfers: Mirror[transfer_pb2.Transfer]
    placements: Mirror[Placement]
    sites: Mirror[Site]

    async def run(self) -> None:
        """Follow all changes until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for mirror in (self.datasets, self.transfers, self.placements, self.sites):
                tasks.create_task(mirror.run())


async def open_kept(store: Store) -> Kept:
    """Mirrors that are loaded; their `run` is still to be started."""
    datasets, transfers = await open_mirror(store, DATASETS), await open_mirror(store, TRANSFERS)
    return Kept(datasets, transfers, await open_mirror(store, PLACEMENTS), await open_mirror(store, SITES))
