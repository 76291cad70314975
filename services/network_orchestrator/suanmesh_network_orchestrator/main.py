"""Builds the network orchestrator."""

from __future__ import annotations

from datetime import timedelta

from suanmesh.network_orchestrator.v1 import network_orchestrator_service_pb2
from suanmesh_chassis import FailureBackoff, Parts, Served, ServiceContext, run
from suanmesh_chassis.records import lead_with, records_of
from suanmesh_network_orchestrator.domain.probes import Probes
from suanmesh_network_orchestrator.reconciler import Reconciler, grouped
from suanmesh_network_orchestrator.repository import AREA, KINDS, Repository
from suanmesh_network_orchestrator.service import NetworkOrchestratorService, NetworkReads
from suanmesh_network_orchestrator.settings import NetworkOrchestratorSettings
from suanmesh_store import Store, open_mirror
from suanmesh_store.archive import Archive
from suanmesh_store.layout import BOOKINGS, LINKS, PLACEMENTS, RESERVATIONS, TRANSFERS

SERVICE = network_orchestrator_service_pb2.DESCRIPTOR.services_by_name["NetworkOrchestratorService"]


def main() -> None:
    """Run it."""
    run(AREA, NetworkOrchestratorSettings, build)


async def build(context: ServiceContext[NetworkOrchestratorSettings]) -> Parts:
    """Join what any instance has, and what its leader has besides."""
    store, settings = context.store, context.settings
    links, bookings, kept = [await open_mirror(store, kind) for kind in (LINKS, BOOKINGS, RESERVATIONS)]
    by_placement = grouped(kept)
    placements, transfers = await open_mirror(store, PLACEMENTS), await open_mirror(store, TRANSFERS)
    records = records_of(context, settings.database, KINDS)
    probes = Probes(timedelta(seconds=settings.probe_lifetime_s))

    def over(store: Store, archive: Archive) -> Repository:
        return Repository(store, links, bookings, kept, archive, probes, context.clock)

    async def term(led: ServiceContext[NetworkOrchestratorSettings]) -> Parts:
        _, archive, marks = await lead_with(records, led, KINDS, instead=settings.lead_with)
        repository = over(led.store, archive)
        reconciler = Reconciler(
            led.store, repository, kept, by_placement, placements, transfers, resync_s=settings.resync_s,
            retention_s=settings.released_retention_s, backoff=FailureBackoff("settle reservation", led.clock),
        )  # fmt: skip
        served = [Served(SERVICE, NetworkOrchestratorService(repository, led.clock))]
        return Parts(served, [reconciler.run, marks.run], readings=[repository.readings])

    served = Served(SERVICE, NetworkReads(over(store, Archive(records))))
    runs = [mirror.run for mirror in (links, bookings, kept, placements, transfers)]
    return Parts([served], runs, components=records.components, term=term)
