"""Opens records in SQL: tables of this version, with every index that the kinds declare."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from suanmesh_kernel.clock import Clock, Rng
from suanmesh_kernel.identifiers import sortable_id
from suanmesh_store.bulk_rows import insert_rows
from suanmesh_store.databases import BETWEEN_S, open_engines
from suanmesh_store.migrations import bring_up
from suanmesh_store.records import queries
from suanmesh_store.records import tables as t
from suanmesh_store.records.kinds import Index, RecordKind, digest_of
from suanmesh_store.records.sql import WHAT, SqlRecords

BUILD_AT_ONCE = 1_000
"""Records that an index is made of at a time."""


def open_records(url: str, area: str, kinds: Sequence[RecordKind[Any]], clock: Clock, rng: Rng) -> SqlRecords:
    """Records of an area, at `sqlite:///{path}` or `postgresql://{user}@{host}/{database}`; made where there are none.

    Services that share a database of PostgreSQL have a schema each. Raises StoreCorrupt, ValueError for another URL.
    """
    engines = open_engines(url, WHAT, application=f"suanmesh-{area}", schema=f"suanmesh_{area}", between_s=BETWEEN_S)
    with engines.making_tables() as connection:
        bring_up(connection, WHAT, t.metadata, t.STEPS, lambda _: 0)
        if connection.execute(select(t.state.c.id)).first() is None:
            store = sortable_id(clock.now(), rng)
            fresh = {"node": "", "fence": 0, "sequence": 0, "node_id": "", "generation": "", "number": 0}
            connection.execute(insert(t.state).values(id=1, store=store, indexes="", **fresh))
        if queries.locked_indexes(connection) != (digest := digest_of(kinds)):
            _make_indexes(connection, kinds)
            connection.execute(update(t.state).values(indexes=digest))
    return SqlRecords(engines, kinds, clock, rng)


def _make_indexes(connection: Connection, kinds: Sequence[RecordKind[Any]]) -> None:
    """Make the indexes that are not there in their version, and drop those that nobody declares."""
    i = t.indexes.c
    declared = {(kind.collection, index.name): (kind, index) for kind in kinds for index in kind.indexes}
    made = {(row[0], row[1]): row[2] for row in connection.execute(select(i.collection, i.index_name, i.version))}
    for place in made.keys() | declared.keys():
        if place in declared and made.get(place) == declared[place][1].version:
            continue
        collection, name = place
        connection.execute(delete(t.keys).where(t.keys.c.collection == collection, t.keys.c.index_name == name))
        connection.execute(delete(t.indexes).where(i.collection == collection, i.index_name == name))
        if place in declared:
            kind, index = declared[place]
            _make_index(connection, kind, index)
            connection.execute(insert(t.indexes).values(collection=collection, index_name=name, version=index.version))


def _make_index(connection: Connection, kind: RecordKind[Any], index: Index[Any]) -> None:
    alone = RecordKind(kind.collection, kind.message, (index,))
    after = ""
    while rows := queries.rows_by_name(connection, kind.collection, after, BUILD_AT_ONCE, descending=False):
        found = [
            (kind.collection, name, key, row.name)
            for row in rows
            for name, key in alone.keys_of(row.name, kind.message.FromString(row.payload))
        ]
        insert_rows(connection, t.keys, t.KEY_COLUMNS, found)
        after = rows[-1].name
