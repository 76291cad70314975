"""What the leader of the transport has besides what any instance has."""

from __future__ import annotations

from dataclasses import dataclass

from suanmesh.transport.v1 import transport_service_pb2
from suanmesh_chassis import FailureBackoff, Parts, Served, ServiceContext
from suanmesh_chassis.records import lead_with
from suanmesh_store.records import Records
from suanmesh_transport.data_plane import MeshDataPlane
from suanmesh_transport.dataset_records import KINDS, DatasetRecords, move_from_etcd
from suanmesh_transport.distances import MeshDistances
from suanmesh_transport.jobs import MeshJobs
from suanmesh_transport.mirrors import Kept
from suanmesh_transport.reader import FileReader, reading_budget
from suanmesh_transport.reconciler import Reconciler
from suanmesh_transport.repository import Repository
from suanmesh_transport.service import TransportService
from suanmesh_transport.settings import TransportSettings
from suanmesh_transport.tickets import TicketOffice
from suanmesh_transport.uploading import Uploading

SERVICE = transport_service_pb2.DESCRIPTOR.services_by_name["TransportService"]


@dataclass(frozen=True, slots=True)
class Reading:
    """What any instance has."""

    repository: Repository
    records: Records
    kept: Kept
    office: TicketOffice


async def lead(reading: Reading, led: ServiceContext[TransportSettings]) -> Parts:
    """Take the lead with the records, and join what writes. Raises StoreRefused where they must not lead."""
    settings, kept, records = led.settings, reading.kept, reading.records
    fence, _, marks = await lead_with(records, led, KINDS, instead=settings.lead_with)
    await move_from_etcd(led.store, records, fence)
    repository = reading.repository.over(led.store, fence)
    reader = FileReader(MeshDataPlane(led.mesh), reading_budget())
    datasets = DatasetRecords(records, kept.copies)
    uploading = Uploading(led.store, kept, datasets, MeshDistances(led.mesh), settings.caps())
    service = TransportService(
        repository, uploading, kept.transfers, reading.office, reader, MeshJobs(led.mesh), led.clock, led.rng,
        read_ticket_lifetime_s=settings.read_ticket_lifetime_s,
        upload_ticket_lifetime_s=settings.ticket_lifetime_s,
    )  # fmt: skip
    reconciler = Reconciler(
        repository, kept.transfers, kept.by_placement, kept.placements, kept.sites, resync_s=settings.resync_s,
        retention_s=settings.ended_retention_s, backoff=FailureBackoff("settle transfer", led.clock),
    )  # fmt: skip
    return Parts([Served(SERVICE, service)], [reconciler.run, marks.run], repository, readings=[kept.counts.readings])
