"""What rounding has left over of each hold, carried from one charge to the next of the same price."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sqlalchemy import Connection, bindparam, select, update

from suanmesh_accounting.domain.prices import Rate
from suanmesh_accounting.ledger import tables as t
from suanmesh_accounting.ledger.writing import change_rows, insert_rows


class Remainders:
    """The remainders that a transaction has read and changed; a work is all that a hold pays for."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._before: dict[str, dict[Rate, int]] = {}
        self._now: dict[str, dict[Rate, int]] = {}

    def load(self, works: Collection[str]) -> None:
        """Read those of some works, all at once."""
        unseen = {work for work in works if work not in self._now}
        for work in unseen:
            self._before[work], self._now[work] = {}, {}
        if unseen:
            for row in self._connection.execute(_OF_WORKS, {"works": list(unseen)}):
                rate = row.meter, row.price_version
                self._before[row.work][rate] = self._now[row.work][rate] = row.remainder

    def of(self, work: str) -> Mapping[Rate, int]:
        """What is carried to the next line of each rate of a work, now and after each line that is carried on."""
        if work not in self._now:
            self.load((work,))
        return self._now[work]

    def carry(self, work: str, rate: Rate, remainder: int) -> None:
        """Keep what rounding has left over; the works' remainders have been read."""
        if remainder or rate in self._now[work]:
            self._now[work][rate] = remainder

    def flush(self) -> None:
        """Write all that has changed. Raises Stale."""
        new, changed = [], []
        for work, rates in sorted(self._now.items()):
            before = self._before[work]
            for (meter, version), remainder in sorted(rates.items()):
                was = before.get((meter, version))
                if was is None:
                    row = {"work": work, "meter": meter, "price_version": version, "remainder": remainder}
                    new.append(row)
                elif remainder != was:
                    where = {"b_work": work, "b_meter": meter, "b_version": version, "b_before": was}
                    changed.append(where | {"remainder": remainder})
        insert_rows(self._connection, t.remainders, new)
        change_rows(self._connection, _CARRY, changed)


_OF_WORKS = select(t.remainders).where(t.remainders.c.work.in_(bindparam("works", expanding=True)))
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
