"""Builds the transport."""

from __future__ import annotations

from suanmesh.transport.v1 import transport_service_pb2
from suanmesh_chassis import Guard, House, Parts, Served, run
from suanmesh_store import open_mirror
from suanmesh_store.archive import Archive
from suanmesh_store.layout import DATASETS, PLACEMENTS, SITES, TRANSFERS
from suanmesh_transport.data_plane import MeshDataPlane
from suanmesh_transport.reader import FileReader, reading_budget
from suanmesh_transport.reconciler import Reconciler
from suanmesh_transport.repository import AREA, Kept, Repository
from suanmesh_transport.service import TransportService
from suanmesh_transport.settings import TransportSettings
from suanmesh_transport.tickets import TicketOffice


def main() -> None:
    """Run it."""
    run(AREA, TransportSettings, build)


async def build(house: House[TransportSettings]) -> Parts:
    """Join the parts."""
    store, settings = house.store, house.settings
    datasets, transfers = await open_mirror(store, DATASETS), await open_mirror(store, TRANSFERS)
    placements, sites = await open_mirror(store, PLACEMENTS), await open_mirror(store, SITES)
    office, reader = TicketOffice(house.signer, house.identity), FileReader(MeshDataPlane(house.mesh), reading_budget())
    archive = Archive(f"sqlite:///{house.data_dir / 'archive.sqlite'}")
    house.closing.push_async_callback(archive.close)
    kept = Kept(datasets, transfers, placements)
    lifetime_s, read_s, caps = settings.ticket_lifetime_s, settings.read_ticket_lifetime_s, settings.caps()
    repository = Repository(store, kept, archive, office, house.clock, ticket_lifetime_s=lifetime_s, caps=caps)
    service = TransportService(
        repository, transfers, office, reader, house.clock, house.rng, read_ticket_lifetime_s=read_s
    )
    reconciler = Reconciler(
        repository, transfers, placements, sites, resync_s=settings.resync_s, retention_s=settings.ended_retention_s,
        guard=Guard("settle transfer", house.clock),
    )  # fmt: skip
    return Parts(
        servicers=[Served(transport_service_pb2.DESCRIPTOR.services_by_name["TransportService"], service)],
        tasks=[mirror.run for mirror in (datasets, transfers, placements, sites)] + [reconciler.run],
        requests=store,
    )
