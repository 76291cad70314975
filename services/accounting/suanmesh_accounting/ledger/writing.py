"""Writes many rows at once, as no other writer could have changed them meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, Table, Update

from suanmesh_store import bulk_rows
from suanmesh_store.group_commit import Stale

T = TypeVar("T")


@dataclass(slots=True)
class Tracked(Generic[T]):
    """A row as it was read, None where it is new, and as it is to be."""

    before: T | None
    now: T


def insert_rows(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> bool:
    """Write rows that have the same columns; gives whether there are any."""
    columns = tuple(rows[0]) if rows else ()
    values = list(map(itemgetter(*columns), rows)) if rows else []
    return bulk_rows.insert_rows(connection, table, columns, values)


def change_rows(connection: Connection, statement: Update, rows: Sequence[dict[str, Any]]) -> bool:
    """Change one row for each of the parameters; gives whether there are any.

    Raises Stale where one is not as the statement expects it: another writer was there.
    """
    if rows and connection.execute(statement, rows).rowcount != len(rows):
        raise Stale
    return bool(rows)
