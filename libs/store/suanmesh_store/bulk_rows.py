"""Writes many rows at once, over the driver itself: mapping each of their values costs as much as deciding on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Table


def insert_rows(connection: Connection, table: Table, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> bool:
    """Write rows as they are: they hold nothing that a driver would have to be told of. Gives whether there are any."""
    if rows:
        dialect = connection.dialect
        mark = "?" if dialect.paramstyle == "qmark" else "%s"
        names = ", ".join(map(dialect.identifier_preparer.quote, columns))
        values = ", ".join([mark] * len(columns))
        connection.exec_driver_sql(f"INSERT INTO {table.name} ({names}) VALUES ({values})", list(rows))
    return bool(rows)
