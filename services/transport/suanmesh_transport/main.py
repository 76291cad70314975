"""Builds the transport."""

from __future__ import annotations

from functools import partial

from suanmesh_chassis import Parts, Served, ServiceContext, run
from suanmesh_chassis.records import records_of
from suanmesh_store.archive import Archive
from suanmesh_transport.assembly import SERVICE, Reading, lead
from suanmesh_transport.dataset_records import KINDS, DatasetRecords
from suanmesh_transport.mirrors import open_kept
from suanmesh_transport.repository import AREA, Repository
from suanmesh_transport.service import TransportReads
from suanmesh_transport.settings import TransportSettings
from suanmesh_transport.tickets import TicketOffice


def main() -> None:
    """Run it."""
    run(AREA, TransportSettings, build)


async def build(context: ServiceContext[TransportSettings]) -> Parts:
    """Join what any instance has, and what its leader has besides."""
    settings, kept = context.settings, await open_kept(context.store)
    office = TicketOffice(context.signer, context.identity)
    records = records_of(context, settings.database, KINDS)
    reads = Repository(
        context.store, kept, DatasetRecords(records, kept.copies), Archive(records), office, context.clock,
        ticket_lifetime_s=settings.ticket_lifetime_s, caps=settings.caps(),
    )  # fmt: skip
    served = Served(SERVICE, TransportReads(reads, kept.transfers))
    term = partial(lead, Reading(reads, records, kept, office))
    return Parts([served], [kept.run], components=records.components, term=term)
