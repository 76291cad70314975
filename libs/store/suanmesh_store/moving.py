"""Moves what a store holds from a file into PostgreSQL: all of it or nothing, while nothing writes it."""

from __future__ import annotations

from sqlalchemy import Connection, Table, func, inspect, select

from suanmesh_store.bulk_rows import insert_rows
from suanmesh_store.databases import Engines
from suanmesh_store.migrations import ROWS_MAX

POSTGRES = "postgresql"


class NotEmpty(Exception):
    """There is a store already where one was to be moved; says where."""


def require_empty(connection: Connection, table: Table, what: str) -> None:
    """Raise NotEmpty where a store of this kind is there already."""
    if inspect(connection).has_table(table.name):
        raise NotEmpty(f"the database holds {what} already: name an empty one")


def move_rows(source: Engines, connection: Connection, tables: list[Table]) -> None:
    """Write all rows of `source`, which has the same tables, as of one moment, and number further ones after them."""
    with source.reading.begin() as reading:
        for table in tables:
            names = [column.name for column in table.columns]
            for rows in reading.execute(select(table)).partitions(ROWS_MAX):
                insert_rows(connection, table, names, [tuple(row) for row in rows])
            _number_on(connection, table)


def _number_on(connection: Connection, table: Table) -> None:
    """Have the database number rows of a table after those that it was given."""
    column = table.autoincrement_column
    if column is None or connection.dialect.name != POSTGRES:
        return
    sequence = connection.execute(select(func.pg_get_serial_sequence(table.name, column.name))).scalar_one()
    newest = connection.execute(select(func.max(column))).scalar_one()
    if sequence is not None and newest is not None:
        connection.execute(select(func.setval(sequence, newest)))
