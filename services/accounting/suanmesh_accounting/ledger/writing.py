"""Writes many rows at once, as no other writer could have changed them meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, Dialect, Table, Update, insert

from suanmesh_accounting.ledger.group_commit import Stale

T = TypeVar("T")

INSERTIONS_MAX = 64
"""Statements kept ready."""


@dataclass(slots=True)
class Tracked(Generic[T]):
    """A row as it was read, None where it is new, and as it is to be."""

    before: T | None
    now: T


def insert_rows(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> bool:
    """Write rows as they are: they hold nothing that a driver would have to be told of. Gives whether there are any."""
    if rows:
        statement, places = _insertion(connection.dialect, table, tuple(rows[0]))
        values = list(rows) if places is None else list(map(itemgetter(*places), rows))
        connection.exec_driver_sql(statement, values)
    return bool(rows)


@lru_cache(INSERTIONS_MAX)
def _insertion(dialect: Dialect, table: Table, columns: tuple[str, ...]) -> tuple[str, Sequence[str] | None]:
    """The statement, and which columns its parameters are in order; None where they go by name."""
    statement = insert(table).inline().compile(dialect=dialect, column_keys=list(columns))
    return str(statement), statement.positiontup


def change_rows(connection: Connection, statement: Update, rows: Sequence[dict[str, Any]]) -> bool:
    """Change one row for each of the parameters; gives whether there are any.

    Raises Stale where one is not as the statement expects it: another writer was there.
    """
    if rows and connection.execute(statement, rows).rowcount != len(rows):
        raise Stale
    return bool(rows)
