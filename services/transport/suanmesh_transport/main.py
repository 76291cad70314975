"""Builds the transport."""

from __future__ import annotations

from suanmesh.transport.v1 import transport_service_pb2
from suanmesh_chassis import FailureBackoff, Parts, Served, ServiceContext, run
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


async def build(context: ServiceContext[TransportSettings]) -> Parts:
    """Join what any instance has, and what its leader has besides."""
    settings, kept = context.settings, await open_kept(context.store)
    office = TicketOffice(context.signer, context.identity)
    archive = Archive(f"sqlite:///{context.data_dir / 'archive.sqlite'}")
    context.closing.push_async_callback(archive.close)
    lifetime_s, read_s, caps = settings.ticket_lifetime_s, settings.read_ticket_lifetime_s, settings.caps()
    reads = Repository(context.store, kept, archive, office, context.clock, ticket_lifetime_s=lifetime_s, caps=caps)

    async def term(led: ServiceContext[TransportSettings]) -> Parts:
        repository, reader = reads.over(led.store), FileReader(MeshDataPlane(led.mesh), reading_budget())
        service = TransportService(
            repository, kept.transfers, office, reader, led.clock, led.rng, read_ticket_lifetime_s=read_s
        )
        reconciler = Reconciler(
            repository, kept.transfers, kept.placements, kept.sites, resync_s=settings.resync_s,
            retention_s=settings.ended_retention_s, backoff=FailureBackoff("settle transfer", led.clock),
        )  # fmt: skip
        return Parts([Served(SERVICE, service)], [reconciler.run], led.store)

    return Parts([Served(SERVICE, TransportReads(reads, kept.transfers))], [kept.run], term=term)
