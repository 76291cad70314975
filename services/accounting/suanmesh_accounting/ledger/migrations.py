"""What made the tables of each version of the ledger out of those of the one before."""

from __future__ import annotations

from sqlalchemy import Connection, Inspector

from suanmesh_accounting.ledger import tables as t
from suanmesh_store.migrations import Step


def unnumbered(tables: Inspector) -> int:
    """Which version's tables are there where no number is kept; 0 for none."""
    if not tables.has_table("accounts"):
        return 0
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


STEPS: tuple[Step, ...] = (_as_it_was, _count_held, _carry_on)
