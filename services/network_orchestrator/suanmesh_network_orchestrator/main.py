"""Builds the network orchestrator."""

from __future__ import annotations

from datetime import timedelta

from suanmesh.network_orchestrator.v1 import network_orchestrator_service_pb2
from suanmesh_chassis import Guard, House, Parts, Served, run
from suanmesh_network_orchestrator.domain.probes import Probes
from suanmesh_network_orchestrator.reconciler import Reconciler
from suanmesh_network_orchestrator.repository import AREA, Repository
from suanmesh_network_orchestrator.service import NetworkOrchestratorService
from suanmesh_network_orchestrator.settings import NetworkOrchestratorSettings
from suanmesh_store import open_mirror
from suanmesh_store.archive import Archive
from suanmesh_store.layout import BOOKINGS, LINKS, PLACEMENTS, RESERVATIONS, TRANSFERS


def main() -> None:
    """Run it."""
    run(AREA, NetworkOrchestratorSettings, build)


async def build(house: House[NetworkOrchestratorSettings]) -> Parts:
    """Join the parts."""
    store, settings = house.store, house.settings
    links, bookings, kept = [await open_mirror(store, kind) for kind in (LINKS, BOOKINGS, RESERVATIONS)]
    placements, transfers = await open_mirror(store, PLACEMENTS), await open_mirror(store, TRANSFERS)
    archive = Archive(f"sqlite:///{house.data_dir / 'archive.sqlite'}")
    house.closing.push_async_callback(archive.close)
    probes = Probes(timedelta(seconds=settings.probe_lifetime_s))
    repository = Repository(store, links, bookings, kept, archive, probes, house.clock)
    reconciler = Reconciler(
        store, repository, kept, placements, transfers,
        resync_s=settings.resync_s, retention_s=settings.released_retention_s,
        guard=Guard("settle reservation", house.clock),
    )  # fmt: skip
    descriptor = network_orchestrator_service_pb2.DESCRIPTOR.services_by_name["NetworkOrchestratorService"]
    return Parts(
        servicers=[Served(descriptor, NetworkOrchestratorService(repository, house.clock))],
        tasks=[mirror.run for mirror in (links, bookings, kept, placements, transfers)] + [reconciler.run],
    )
