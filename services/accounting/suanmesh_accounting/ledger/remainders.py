"""What rounding has left over of each task and transfer, carried from one charge to the next of the same price."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sqlalchemy import Connection, bindparam, select, update

from suanmesh_accounting.domain.prices import Rate
from suanmesh_accounting.ledger import tables as t
from suanmesh_accounting.ledger.writing import Tracked, change_rows, insert_rows


class Remainders:
    """The remainders that a transaction has read and changed; a work is a task or a transfer of a hold."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._works: dict[str, dict[Rate, Tracked[int]]] = {}

    def load(self, works: Collection[str]) -> None:
        """Read those of some works, all at once."""
        unseen = {work for work in works if work not in self._works}
        for work in unseen:
            self._works[work] = {}
        if unseen:
            for row in self._connection.execute(select(t.remainders).where(t.remainders.c.work.in_(unseen))):
                self._works[row.work][row.meter, row.price_version] = Tracked(row.remainder, row.remainder)

    def of(self, work: str) -> Mapping[Rate, int]:
        """What is carried to the next line of each rate of a work."""
        if work not in self._works:
            self.load((work,))
        return {rate: found.now for rate, found in self._works[work].items()}

    def carry(self, work: str, rate: Rate, remainder: int) -> None:
        """Keep what rounding has left over; the works' remainders have been read."""
        found = self._works[work].get(rate)
        if found is not None:
            found.now = remainder
        elif remainder:
            self._works[work][rate] = Tracked(None, remainder)

    def flush(self) -> None:
        """Write all that has changed. Raises Stale."""
        new, changed = [], []
        for work, rates in sorted(self._works.items()):
            for (meter, version), found in sorted(rates.items()):
                if found.before is None:
                    row = {"work": work, "meter": meter, "price_version": version, "remainder": found.now}
                    new.append(row)
                elif found.now != found.before:
                    where = {"b_work": work, "b_meter": meter, "b_version": version, "b_before": found.before}
                    changed.append(where | {"remainder": found.now})
        insert_rows(self._connection, t.remainders, new)
        change_rows(self._connection, _CARRY, changed)


_CARRY = (
    update(t.remainders)
    .where(
        t.remainders.c.work == bindparam("b_work"),
        t.remainders.c.meter == bindparam("b_meter"),
        t.remainders.c.price_version == bindparam("b_version"),
        t.remainders.c.remainder == bindparam("b_before"),
    )
    .values(remainder=bindparam("remainder"))
)
