"""The records of a service: where its setting says, else in its data folder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from suanmesh_chassis.parts import ServiceContext
from suanmesh_store.archive import Archive, move_from_file
from suanmesh_store.marks import MarkKeeper
from suanmesh_store.records import RecordKind, Records, SqlRecords, open_records, take_lead

FILE = "records.sqlite"
ARCHIVE_BEFORE = "archive.sqlite"
"""Where earlier versions kept what had ended."""


def records_of(context: ServiceContext[Any], database: str, kinds: Sequence[RecordKind[Any]]) -> SqlRecords:
    """The records at the URL `database`, closed with the process. Raises StoreCorrupt, ValueError for another URL."""
    url = database or f"sqlite:///{context.data_dir / FILE}"
    records = open_records(url, context.area, kinds, context.clock, context.rng)
    context.closing.push_async_callback(records.close)
    return records


class Led(NamedTuple):
    """What a term has of its records."""

    fence: int
    """Of its writes."""
    archive: Archive
    marks: MarkKeeper
    """To be run for as long as the term lasts."""


async def lead_with(
    records: Records, led: ServiceContext[Any], kinds: Sequence[RecordKind[Any]], *, instead: str
) -> Led:
    """Begin a term with records.

    `instead` are records to lead with whatever led before. Raises StoreRefused where these must not lead.
    """
    fence, marks = await take_lead(records, led.store, led.clock, node=led.node, lead_with=instead)
    archive = Archive(records, fence)
    await move_from_file(led.data_dir / ARCHIVE_BEFORE, archive, kinds)
    return Led(fence, archive, marks)
