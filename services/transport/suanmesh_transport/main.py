"""Builds the transport."""

from __future__ import annotations

from suanmesh.transport.v1 import transport_service_pb2
from suanmesh_chassis import Guard, House, Parts, Served, run
from suanmesh_store.archive import Archive
from suanmesh_transport.data_plane import MeshDataPlane
from suanmesh_transport.mirrors import open_kept
from suanmesh_transport.reader import FileReader, reading_budget
from suanmesh_transport.reconciler import Reconciler
from suanmesh_transport.repository import AREA, Repository
from suanmesh_transport.service import TransportReads, TransportService
from suanmesh_transport.settings import TransportSettings
from suanmesh_transport.tickets import TicketOffice

SERVICE = transport_service_pb2.DESCRIPTOR.services_by_name["TransportService"]


def main() -> None:
    """Run it."""
    run(AREA, TransportSettings, build)


async def build(house: House[TransportSettings]) -> Parts:
    """Join what any instance has, and what its leader has besides."""
    settings, kept = house.settings, await open_kept(house.store)
    office = TicketOffice(house.signer, house.identity)
    archive = Archive(f"sqlite:///{house.data_dir / 'archive.sqlite'}")
    house.closing.push_async_callback(archive.close)
    lifetime_s, read_s, caps = settings.ticket_lifetime_s, settings.read_ticket_lifetime_s, settings.caps()
    reads = Repository(house.store, kept, archive, office, house.clock, ticket_lifetime_s=lifetime_s, caps=caps)

    async def term(led: House[TransportSettings]) -> Parts:
        repository, reader = reads.over(led.store), FileReader(MeshDataPlane(led.mesh), reading_budget())
        service = TransportService(
            repository, kept.transfers, office, reader, led.clock, led.rng, read_ticket_lifetime_s=read_s
        )
        reconciler = Reconciler(
            repository, kept.transfers, kept.placements, kept.sites, resync_s=settings.resync_s,
            retention_s=settings.ended_retention_s, guard=Guard("settle transfer", led.clock),
        )  # fmt: skip
        return Parts([Served(SERVICE, service)], [reconciler.run], led.store)

    return Parts([Served(SERVICE, TransportReads(reads, kept.transfers))], [kept.run], term=term)
