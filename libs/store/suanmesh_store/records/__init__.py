"""What grows with use, in its owner's SQL: records with indexes, pages, feeds and answers kept with their effect."""

from __future__ import annotations

from suanmesh_store.records.kinds import Field, Index, Key, RecordKind
from suanmesh_store.records.leading import take_lead
from suanmesh_store.records.memory import MemoryDatabase, MemoryRecords
from suanmesh_store.records.mirror import RecordChange, RecordMirror, open_record_mirror
from suanmesh_store.records.opening import open_records
from suanmesh_store.records.ports import PAGE_MAX, Records
from suanmesh_store.records.sql import SqlRecords
from suanmesh_store.records.values import (
    ABSENT,
    Commit,
    Feed,
    Identity,
    Outcome,
    Put,
    Record,
    Remove,
    Write,
    Written,
    written,
)

__all__ = [
    "ABSENT",
    "PAGE_MAX",
    "Commit",
    "Feed",
    "Field",
    "Identity",
    "Index",
    "Key",
    "MemoryDatabase",
    "MemoryRecords",
    "Outcome",
    "Put",
    "Record",
    "RecordChange",
    "RecordKind",
    "RecordMirror",
    "Records",
    "Remove",
    "SqlRecords",
    "Write",
    "Written",
    "open_record_mirror",
    "open_records",
    "take_lead",
    "written",
]
