"""What is stored, a row each."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from suanmesh.type.v1.document_pb2 import RequestRecord
from suanmesh_store.layout import M
from suanmesh_store.records.kinds import RecordKind
from suanmesh_store.records.values import Record
from suanmesh_store.values import Answered


class Row(NamedTuple):
    """A record."""

    collection: str
    name: str
    sequence: int
    uid: str
    version: int
    payload: bytes
    principal: str
    request_id: str
    traceparent: str
    update_us: int
    writer_fence: int

    @property
    def etag(self) -> str:
        """As `Record.etag`."""
        return f"{self.uid}-{self.version}"


class Removal(NamedTuple):
    """A mark that a record is gone."""

    collection: str
    name: str
    sequence: int


class Kept(NamedTuple):
    """The answer kept for a request."""

    record: bytes
    sequence: int
    create_us: int

    @property
    def answered(self) -> Answered:
        """As callers are given it."""
        return Answered(RequestRecord.FromString(self.record), self.sequence)


def read_record(kind: RecordKind[M], row: Row) -> Record[M]:
    """The record of a row."""
    moment = datetime.fromtimestamp(row.update_us // 1_000_000, UTC).replace(microsecond=row.update_us % 1_000_000)
    return record_of(row, kind.message.FromString(row.payload), moment)


def record_of(row: Row, message: M, update_time: datetime) -> Record[M]:
    """The record of a row whose message and moment are at hand."""
    return Record(
        row.name, message, row.uid, row.version, row.sequence, row.principal, row.request_id, row.traceparent,
        update_time,
    )  # fmt: skip
