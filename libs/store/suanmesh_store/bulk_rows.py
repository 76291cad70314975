"""Writes many rows at once, over the driver itself: mapping each of their values costs as much as deciding on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.exc import DBAPIError

COPIED_MIN = 20
"""Fewer rows than this are as fast as statements, which take one exchange and not three."""


def insert_rows(connection: Connection, table: Table, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> bool:
    """Write rows as they are: they hold nothing that a driver would have to be told of. Gives whether there are any."""
    if rows:
        names = ", ".join(_quoted(connection, columns))
        if connection.dialect.name == "postgresql" and len(rows) >= COPIED_MIN:
            _copy(connection, f"COPY {table.name} ({names}) FROM STDIN", rows)
        else:
            marks = ", ".join([_mark(connection)] * len(columns))
            connection.exec_driver_sql(f"INSERT INTO {table.name} ({names}) VALUES ({marks})", list(rows))
    return bool(rows)


def _copy(connection: Connection, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """PostgreSQL takes a stream of rows for far less than as many statements. Raises what a statement would raise."""
    errors: type[Exception] = connection.dialect.loaded_dbapi.Error
    driver: Any = connection.connection.driver_connection
    try:
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)
    except errors as error:
        raise DBAPIError.instance(statement, None, error, errors, dialect=connection.dialect) from error


def update_rows(
    connection: Connection, table: Table, columns: Sequence[str], found_by: Sequence[str],
    rows: Sequence[tuple[Any, ...]],
) -> None:  # fmt: skip
    """Set columns of the rows that are found by others; each of `rows` has the values of both, in this order."""
    if rows:
        mark = _mark(connection)
        values = ", ".join(f"{name} = {mark}" for name in _quoted(connection, columns))
        where = " AND ".join(f"{name} = {mark}" for name in _quoted(connection, found_by))
        connection.exec_driver_sql(f"UPDATE {table.name} SET {values} WHERE {where}", list(rows))


def _mark(connection: Connection) -> str:
    return "?" if connection.dialect.paramstyle == "qmark" else "%s"


def _quoted(connection: Connection, columns: Sequence[str]) -> list[str]:
    return list(map(connection.dialect.identifier_preparer.quote, columns))
