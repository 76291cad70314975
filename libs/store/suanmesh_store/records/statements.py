"""What a transaction writes into the tables of records."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from suanmesh_store.bulk_rows import insert_rows, update_rows
from suanmesh_store.records import tables as t
from suanmesh_store.records.kinds import RecordKind
from suanmesh_store.records.ports import REMOVALS_MAX, too_old
from suanmesh_store.records.rows import Kept, Removal, Row
from suanmesh_store.records.transaction import Changes, Name, Stored

PRUNE_EVERY = 1_000
"""Removals of a kind after which those that are too many are forgotten."""
_PLACE = Row._fields[:2]
_CHANGEABLE = Row._fields[2:]


class Statements:
    """Writes what has changed; for the one thread that writes."""

    def __init__(self, kinds: Mapping[str, RecordKind[Any]]) -> None:
        """`kinds` by their collections tell which keys a record stood under before."""
        self._kinds = kinds
        self._removed: dict[str, int] = {}

    def write(self, c: Connection, stored: Stored, changes: Changes) -> bool:
        """Write all that has changed; gives whether anything has."""
        if (changes.sequence, changes.identity) == (stored.sequence, stored.identity):
            return False
        self._write_rows(c, stored, changes)
        self._write_keys(c, stored, changes)
        if changes.removals:
            insert_rows(c, t.removals, Removal._fields, changes.removals)
            self._forget_removals(c, changes.removals)
        if changes.requests:
            _write_answers(c, stored, changes)
        c.execute(_MOVE_ON, {"sequence": changes.sequence, **asdict(changes.identity)})
        return True

    def _write_rows(self, c: Connection, stored: Stored, changes: Changes) -> None:
        rows = changes.rows.items()
        new = [row for place, row in rows if row is not None and place not in stored.rows]
        changed = [(*row[2:], *row[:2]) for place, row in rows if row is not None and place in stored.rows]
        gone = [_place(place) for place, row in rows if row is None and place in stored.rows]
        insert_rows(c, t.records, Row._fields, new)
        update_rows(c, t.records, _CHANGEABLE, _PLACE, changed)
        if gone:
            c.execute(_REMOVE, gone)

    def _write_keys(self, c: Connection, stored: Stored, changes: Changes) -> None:
        gone: list[dict[str, Any]] = []
        new: list[tuple[str, str, bytes, str]] = []
        for (collection, name), row in changes.rows.items():
            before = self._keys_of(stored.rows.get((collection, name)))
            after = changes.keys[collection, name] if row else frozenset()
            gone += [{"b_collection": collection, "b_index": index, "b_key": key} for index, key in before - after]
            new += [(collection, index, key, name) for index, key in after - before]
        if gone:
            c.execute(_REMOVE_KEY, gone)
        insert_rows(c, t.keys, t.KEY_COLUMNS, new)

    def _keys_of(self, row: Row | None) -> frozenset[tuple[str, bytes]]:
        if row is None:
            return frozenset()
        kind = self._kinds[row.collection]
        return kind.keys_of(row.name, kind.message.FromString(row.payload))

    def _forget_removals(self, c: Connection, removals: Collection[Removal]) -> None:
        for removal in removals:
            self._removed[removal.collection] = self._removed.get(removal.collection, 0) + 1
        for collection, count in self._removed.items():
            if count >= PRUNE_EVERY:
                forget_removals(c, collection)
                self._removed[collection] = 0


def forget_removals(c: Connection, collection: str) -> None:
    """Forget removals beyond the newest REMOVALS_MAX of a collection."""
    d = t.removals.c
    beyond = select(d.sequence).where(d.collection == collection).order_by(d.sequence.desc()).offset(REMOVALS_MAX)
    last = c.execute(beyond.limit(1)).scalar()
    if last is None:
        return
    c.execute(delete(t.removals).where(d.collection == collection, d.sequence <= last))
    c.execute(delete(t.collections).where(t.collections.c.collection == collection))
    c.execute(insert(t.collections).values(collection=collection, forgotten=last))


def _write_answers(c: Connection, stored: Stored, changes: Changes) -> None:
    replaced = [{"b_principal": p, "b_request": r} for p, r in changes.requests if (p, r) in stored.requests]
    if replaced:
        c.execute(_REMOVE_ANSWER, replaced)
    insert_rows(
        c, t.requests, ("principal", "request_id", *Kept._fields), [(*r, *kept) for r, kept in changes.requests.items()]
    )
    c.execute(_FORGET_ANSWERS, {"before_us": too_old(changes.now_us)})


def _place(place: Name) -> dict[str, Any]:
    return {"b_collection": place[0], "b_name": place[1]}


_REMOVE = delete(t.records).where(
    t.records.c.collection == bindparam("b_collection"), t.records.c.name == bindparam("b_name")
)
_REMOVE_KEY = delete(t.keys).where(
    t.keys.c.collection == bindparam("b_collection"),
    t.keys.c.index_name == bindparam("b_index"),
    t.keys.c.key == bindparam("b_key"),
)
_REMOVE_ANSWER = delete(t.requests).where(
    t.requests.c.principal == bindparam("b_principal"), t.requests.c.request_id == bindparam("b_request")
)
_FORGET_ANSWERS = delete(t.requests).where(t.requests.c.create_us < bindparam("before_us"))
_MOVE_ON = update(t.state)
