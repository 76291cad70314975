"""Builds the transport."""

from __future__ import annotations

from functools import partial

from suanmesh_chassis import Parts, Served, ServiceContext, run
from suanmesh_store.archive import Archive
from suanmesh_store.records import open_records
from suanmesh_transport.assembly import SERVICE, Reading, lead
from suanmesh_transport.dataset_records import DATASETS, DatasetRecords
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
    archive = Archive(f"sqlite:///{context.data_dir / 'archive.sqlite'}")
    context.closing.push_async_callback(archive.close)
    url = settings.database or f"sqlite:///{context.data_dir / 'records.sqlite'}"
    records = open_records(url, AREA, [DATASETS], context.clock, context.rng)
    context.closing.push_async_callback(records.close)
    reads = Repository(
        context.store, kept, DatasetRecords(records, kept.copies), archive, office, context.clock,
        ticket_lifetime_s=settings.ticket_lifetime_s, caps=settings.caps(),
    )  # fmt: skip
    served = Served(SERVICE, TransportReads(reads, kept.transfers))
    term = partial(lead, Reading(reads, records, kept, office))
    return Parts([served], [kept.run], components=records.components, term=term)
