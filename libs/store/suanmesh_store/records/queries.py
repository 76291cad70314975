"""What is read from the tables of records."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import fields
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, func, select

from suanmesh_store.records import tables as t
from suanmesh_store.records.rows import Kept, Removal, Row
from suanmesh_store.records.transaction import EncodedWrite, Name, Request, Stored, request_of
from suanmesh_store.records.values import Identity

AT_ONCE = 500
"""Names that one statement asks for."""
_ROW = [t.records.c[field] for field in Row._fields]


class Changed(NamedTuple):
    """What a feed is made of; `rows` is None where removals are forgotten that would belong to it."""

    sequence: int
    rows: Sequence[Row] | None
    removals: Sequence[Removal]


def locked_indexes(c: Connection) -> str:
    """Take the lock of whoever writes; which indexes the tables have."""
    return str(c.execute(_LOCKED_INDEXES).scalar_one())


def stored(c: Connection, writes: Iterable[EncodedWrite]) -> Stored:
    """What the writes of a transaction meet."""
    places = {change.place for write in writes for change in write.changes}
    asked = {request_of(write.remember) for write in writes if write.remember is not None}
    rows: dict[Name, Row] = {}
    for collection in sorted({collection for collection, _ in places}):
        names = [name for of, name in places if of == collection]
        rows |= {(collection, row.name): row for row in rows_of(c, collection, names)}
    return Stored(identity(c), newest(c), rows, answers(c, asked))


def identity(c: Connection) -> Identity:
    """Which store this is."""
    return Identity(*c.execute(_IDENTITY).one())


def newest(c: Connection) -> int:
    """The sequence of the last change."""
    return int(c.execute(_NEWEST).scalar_one())


def rows_of(c: Connection, collection: str, names: Collection[str]) -> list[Row]:
    """Records by their names."""
    found: list[Row] = []
    for some in _parts(sorted(names)):
        found += [Row(*row) for row in c.execute(_ROWS_OF, {"collection": collection, "names": some})]
    return found


def rows_by_name(c: Connection, collection: str, after: str, limit: int, *, descending: bool) -> list[Row]:
    """Records in the order of their names, behind one."""
    name = t.records.c.name
    query = select(*_ROW).where(t.records.c.collection == collection)
    if after:
        query = query.where(name < after if descending else name > after)
    return [Row(*row) for row in c.execute(query.order_by(name.desc() if descending else name).limit(limit))]


def rows_between(
    c: Connection, collection: str, index: str, low: bytes, high: bytes, limit: int, *, descending: bool
) -> list[Row]:
    """Records in the order of an index, between two encoded keys."""
    k = t.keys.c
    joined = t.keys.join(t.records, (t.records.c.collection == k.collection) & (t.records.c.name == k.name))
    query = select(*_ROW).select_from(joined).where(
        k.collection == collection, k.index_name == index, k.key >= low, k.key < high
    )  # fmt: skip
    return [Row(*row) for row in c.execute(query.order_by(k.key.desc() if descending else k.key).limit(limit))]


def count(c: Connection, collection: str, index: str, low: bytes, high: bytes, most: int) -> int:
    """How many keys of an index lie between two, at most so many."""
    k = t.keys.c
    found = select(k.name).where(k.collection == collection, k.index_name == index, k.key >= low, k.key < high)
    return int(c.execute(select(func.count()).select_from(found.limit(most).subquery())).scalar_one())


def changed(c: Connection, collection: str, after: int, limit: int) -> Changed:
    """What has changed after a sequence, one more than `limit` where there is more."""
    sequence = newest(c)
    forgotten = c.execute(select(t.collections.c.forgotten).where(t.collections.c.collection == collection)).scalar()
    if not (forgotten or 0) <= after <= sequence:
        return Changed(sequence, None, ())
    r, d = t.records.c, t.removals.c
    rows = select(*_ROW).where(r.collection == collection, r.sequence > after).order_by(r.sequence)
    gone = select(d.collection, d.name, d.sequence).where(d.collection == collection, d.sequence > after)
    return Changed(
        sequence,
        [Row(*row) for row in c.execute(rows.limit(limit + 1))],
        [Removal(*row) for row in c.execute(gone.order_by(d.sequence).limit(limit + 1))],
    )


def answers(c: Connection, requests: Iterable[Request]) -> dict[Request, Kept]:
    """What is kept of the answers to requests."""
    by_principal: dict[str, list[str]] = {}
    for principal, request_id in requests:
        by_principal.setdefault(principal, []).append(request_id)
    found: dict[Request, Kept] = {}
    for principal, ids in by_principal.items():
        for some in _parts(sorted(ids)):
            rows = c.execute(_ANSWERS, {"principal": principal, "ids": some})
            found |= {(principal, row[0]): Kept(*row[1:]) for row in rows}
    return found


def _parts(names: Sequence[str]) -> Iterable[Sequence[str]]:
    return (names[start : start + AT_ONCE] for start in range(0, len(names), AT_ONCE))


_LOCKED_INDEXES = select(t.state.c.indexes).with_for_update()
_IDENTITY = select(*(t.state.c[each.name] for each in fields(Identity)))
_NEWEST = select(t.state.c.sequence)
_ROWS_OF = select(*_ROW).where(
    t.records.c.collection == bindparam("collection"), t.records.c.name.in_(bindparam("names", expanding=True))
)
_ANSWERS = select(t.requests.c.request_id, *(t.requests.c[field] for field in Kept._fields)).where(
    t.requests.c.principal == bindparam("principal"),
    t.requests.c.request_id.in_(bindparam("ids", expanding=True)),
)
