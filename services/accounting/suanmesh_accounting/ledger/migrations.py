"""Brings the tables of an older ledger up to those of this version, each step once, all of it or nothing."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, insert, inspect, select

from suanmesh_accounting.ledger import tables as t
from suanmesh_store.soundness import StoreCorrupt


def bring_up(connection: Connection) -> None:
    """Make the tables, or change those that are there; whoever calls it lets nobody else do so meanwhile.

    Raises StoreCorrupt where a newer version has written the ledger.
    """
    version = _version(connection)
    if version > len(_STEPS):
        raise StoreCorrupt(
            f"the ledger has tables of version {version}, this program knows none beyond {len(_STEPS)}: run what "
            "wrote it, or bring back a copy from before"
        )
    if version == 0:
        t.metadata.create_all(connection)
    for step in _STEPS[version:] if version else ():
        step(connection)
    t.schema.create(connection, checkfirst=True)
    connection.execute(t.schema.delete())
    connection.execute(insert(t.schema).values(version=len(_STEPS)))


def _version(connection: Connection) -> int:
    """Which version's tables are there; 0 for none."""
    tables = inspect(connection)
    if not tables.has_table("accounts"):
        return 0
    if tables.has_table("schema_version"):
        return int(connection.execute(select(t.schema.c.version)).scalar_one())
    return 2 if "held_micros" in {column["name"] for column in tables.get_columns("accounts")} else 1


def _as_it_was(_: Connection) -> None:
    """Version 1: accounts, postings, price books, holds, usage, charges, answers to requests."""


def _count_held(connection: Connection) -> None:
    """Version 2: accounts know what is held of them."""
    connection.exec_driver_sql("ALTER TABLE accounts ADD COLUMN held_micros BIGINT NOT NULL DEFAULT 0")
    connection.exec_driver_sql(
        "UPDATE accounts SET held_micros = COALESCE((SELECT SUM(amount_micros - charged_micros) FROM holds"
        " WHERE account = accounts.name AND state IN ('HELD', 'COMMITTED') AND amount_micros > charged_micros), 0)"
    )
    connection.exec_driver_sql("CREATE INDEX accounts_by_party ON accounts (party, kind, currency)")


def _carry_on(connection: Connection) -> None:
    """Version 3: what rounding leaves over is carried on, and the ledger has a name."""
    t.remainders.create(connection, checkfirst=True)
    t.identity.create(connection, checkfirst=True)


_STEPS: tuple[Callable[[Connection], None], ...] = (_as_it_was, _count_held, _carry_on)
"""What made each version out of the one before; a step that has been released is never changed."""
