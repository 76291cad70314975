"""Writes many rows at once, over the driver itself: mapping each of their values costs as much as deciding on them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Table


def insert_rows(connection: Connection, table: Table, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> bool:
    """Write rows as they are: they hold nothing that a driver would have to be told of. Gives whether there are any."""
    if rows:
        mark = "?" if connection.dialect.paramstyle == "qmark" else "%s"
        connection.exec_driver_sql(_statement(table.name, tuple(columns), mark), list(rows))
    return bool(rows)


@lru_cache
def _statement(table: str, columns: tuple[str, ...], mark: str) -> str:
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join([mark] * len(columns))})"
