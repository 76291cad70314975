"""The usage records that a transaction has read and changed, and the batches they came in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from suanmesh_accounting.domain.commands import Measured, SignedBatch
from suanmesh_accounting.ledger import tables as t
from suanmesh_accounting.ledger.writing import change_rows
from suanmesh_store import bulk_rows

Number = tuple[str, str, int]
"""Site, epoch and sequence of a usage record."""


@dataclass(slots=True)
class Stored:
    """A usage record that is in the ledger; its id is 0 while it is new in this transaction."""

    id: int
    record: bytes
    ratable: bool
    lines: int


_New = tuple[Measured, Stored, SignedBatch, int]
"""A record that is new in this transaction, the batch it came in, and when."""


class UsageRows:
    """Usage as one transaction sees and changes it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stored: dict[Number, Stored] = {}
        self._new: list[_New] = []
        self._rated: list[Stored] = []

    def load(self, measured: Iterable[Measured]) -> None:
        """Read which of those records are stored: what is beyond the last of a meter is not, and need not be asked."""
        by_meter: dict[tuple[str, str], list[int]] = {}
        for record in measured:
            by_meter.setdefault((record.site, record.epoch), []).append(record.sequence)
        for (site, epoch), sequences in by_meter.items():
            meter = {"site": site, "epoch": epoch}
            last = self._connection.execute(_LAST, meter).scalar() or 0
            asked = [sequence for sequence in sequences if sequence <= last]
            for row in self._connection.execute(_STORED, meter | {"sequences": asked}) if asked else ():
                self._stored[site, epoch, row.sequence] = Stored(row.id, row.record, row.ratable, row.lines)

    def stored(self, measured: Measured) -> Stored | None:
        """What stands under the number of a record that was loaded; None where nothing does."""
        return self._stored.get(measured[:3])

    def keep(self, measured: Measured, batch: SignedBatch, record_us: int, *, ratable: bool, lines: int) -> None:
        """Store a record that is not stored."""
        stored = self._stored[measured[:3]] = Stored(0, measured.record, ratable, lines)
        self._new.append((measured, stored, batch, record_us))

    def rate(self, stored: Stored, lines: int) -> None:
        """Let a record leave quarantine."""
        stored.ratable, stored.lines = True, lines
        if stored.id:
            self._rated.append(stored)

    def flush(self) -> bool:
        """Write all that has changed; gives whether anything has. Raises Stale."""
        ids = self._batches()
        rows = [
            (
                *measured[:7],
                stored.ratable,
                stored.lines,
                measured.record,
                ids[id(batch)],
                measured.leaf_index,
                record_us,
            )
            for measured, stored, batch, record_us in self._new
        ]
        wrote = bulk_rows.insert_rows(self._connection, t.usage, _COLUMNS, rows)
        rated: list[dict[str, Any]] = [{"b_id": each.id, "lines": each.lines} for each in self._rated]
        return change_rows(self._connection, _RATE, rated) or wrote

    def _batches(self) -> dict[int, int]:
        """Write the batches that new records came in; the number of each by the identity of its value."""
        kept = Counter(id(batch) for _, _, batch, _ in self._new)
        batches = {id(batch): batch for _, _, batch, _ in self._new}
        ids = {}
        for place, batch in batches.items():
            row = {"signed": batch.signed, "leaves": batch.leaves, "kept": kept[place]}
            ids[place] = self._connection.execute(_BATCH, row).scalar_one()
        return ids


_COLUMNS = (
    "site", "epoch", "sequence", "placement", "transfer", "task", "final", "ratable", "lines", "record", "batch",
    "leaf_index", "record_us",
)  # fmt: skip
_OF_METER = t.usage.c.site == bindparam("site"), t.usage.c.epoch == bindparam("epoch")
_LAST = select(t.usage.c.sequence).where(*_OF_METER).order_by(t.usage.c.sequence.desc()).limit(1)
_STORED = select(t.usage.c.id, t.usage.c.sequence, t.usage.c.record, t.usage.c.ratable, t.usage.c.lines).where(
    *_OF_METER, t.usage.c.sequence.in_(bindparam("sequences", expanding=True))
)
_BATCH = insert(t.usage_batches).returning(t.usage_batches.c.id)
_RATE = (
    update(t.usage)
    .where(t.usage.c.id == bindparam("b_id"), t.in_quarantine)
    .values(ratable=True, lines=bindparam("lines"))
)
