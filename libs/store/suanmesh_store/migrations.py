"""Brings the tables of an older database up to those of this version, each step once, all of it or nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import BigInteger, Column, Connection, Inspector, MetaData, Row, Table, insert, inspect, select, text

from suanmesh_store.agreement import too_new

Step = Callable[[Connection], None]
"""What makes a version out of the one before; one that has been released is never changed."""
ROWS_MAX = 1000
"""Rows in memory at a time."""


def version_table(metadata: MetaData) -> Table:
    """Where a database keeps which version its tables are of."""
    return Table("schema_version", metadata, Column("version", BigInteger, primary_key=True))


def bring_up(
    connection: Connection, what: str, metadata: MetaData, steps: Sequence[Step], unnumbered: Callable[[Inspector], int]
) -> None:
    """Make the tables, or change those that are there; whoever calls it lets nobody else do so meanwhile.

    The newest version is the number of `steps`, of which the first stands for the tables as they first were;
    `unnumbered` tells the version of a database that keeps none, 0 for an empty one. Raises
    StoreRefused (`STORE_TOO_NEW`) where a newer version has written it.
    """
    numbers = metadata.tables["schema_version"]
    tables = inspect(connection)
    if tables.has_table(numbers.name):
        version = int(connection.execute(select(numbers.c.version)).scalar_one())
    else:
        version = unnumbered(tables)
    if version > len(steps):
        raise too_new(what, what, version, len(steps))
    if version == 0:
        metadata.create_all(connection)
    for step in steps[version:] if version else ():
        step(connection)
    numbers.create(connection, checkfirst=True)
    connection.execute(numbers.delete())
    connection.execute(insert(numbers).values(version=len(steps)))


def made_anew(
    connection: Connection,
    table: Table,
    indexes: Sequence[str],
    changed: Callable[[Connection, Row[Any]], dict[str, Any]],
) -> None:
    """Make a table as it is to be, with each of its rows changed, in their order, and under new numbers.

    `indexes` are those that the table has had: their names are needed again.
    """
    before, number = f"{table.name}_before", 0
    for index in indexes:
        connection.exec_driver_sql(f"DROP INDEX {index}")
    connection.exec_driver_sql(f"ALTER TABLE {table.name} RENAME TO {before}")
    table.create(connection)
    some = text(f"SELECT * FROM {before} WHERE id > :number ORDER BY id LIMIT {ROWS_MAX}")
    while rows := connection.execute(some, {"number": number}).all():
        connection.execute(insert(table), [changed(connection, row) for row in rows])
        number = rows[-1].id
    connection.exec_driver_sql(f"DROP TABLE {before}")
