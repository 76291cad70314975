"""The mirrors of a transport, one set a process."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from suanmesh.registry.v1.site_pb2 import Site
from suanmesh.scheduler.v1.placement_pb2 import Placement
from suanmesh.transport.v1 import transfer_pb2
from suanmesh_store import Groups, Held, Mirror, Store, open_mirror
from suanmesh_store.layout import PLACEMENTS, SITES, TRANSFERS
from suanmesh_transport.readings import TransferCounts


@dataclass(frozen=True, slots=True)
class Kept:
    """Mirrors of what is looked through. Open them with `open_kept`, start `run` as a task."""

    transfers: Mirror[transfer_pb2.Transfer]
    placements: Mirror[Placement]
    sites: Mirror[Site]
    copies: Groups[transfer_pb2.Transfer]
    """Active transfers by dataset; a projection."""
    by_placement: Groups[transfer_pb2.Transfer]
    """All of them by the placement they serve; a projection."""
    counts: TransferCounts

    async def run(self) -> None:
        """Follow all changes until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for mirror in (self.transfers, self.placements, self.sites):
                tasks.create_task(mirror.run())


async def open_kept(store: Store) -> Kept:
    """Mirrors that are loaded; their `run` is still to be started."""
    transfers = await open_mirror(store, TRANSFERS)
    transfers.project(copies := Groups(under_way))
    transfers.project(by_placement := Groups(served))
    return Kept(
        transfers,
        await open_mirror(store, PLACEMENTS),
        await open_mirror(store, SITES),
        copies,
        by_placement,
        TransferCounts(transfers),
    )


def under_way(held: Held[transfer_pb2.Transfer]) -> str:
    """The dataset that an active transfer copies; none where it is not active."""
    return held.message.dataset if held.message.state == transfer_pb2.Transfer.STATE_ACTIVE else ""


def served(held: Held[transfer_pb2.Transfer]) -> str:
    """The placement that a transfer serves; none where a user asked for it."""
    return held.message.placement
