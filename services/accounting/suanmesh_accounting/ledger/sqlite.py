"""The ledger in a file: SQLite with a write-ahead log, durable at every commit."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect

from suanmesh_accounting.ledger import tables as t
from suanmesh_accounting.ledger.sql import WHAT, SqlLedger
from suanmesh_store.soundness import must_be_sound_at

BUSY_MS = 5_000
"""How long a transaction waits for that of another process, in milliseconds."""


def open_sqlite(url: str) -> SqlLedger:
    """The ledger in the file of a SQLAlchemy URL; made where there is none. Raises StoreCorrupt where it is damaged."""
    must_be_sound_at(url, WHAT)
    writing, reading = _engine(url, "BEGIN IMMEDIATE"), _engine(url, "BEGIN")
    with writing.begin() as connection:
        t.metadata.create_all(connection)
        _count_held(connection)
    return SqlLedger(writing, reading)


def _engine(url: str, begin: str) -> Engine:
    engine = create_engine(url)
    event.listen(engine, "connect", _made_durable)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    return engine


def _made_durable(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # else Python begins transactions late and ends them at a savepoint
    for pragma in ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={BUSY_MS}"):
        connection.execute(f"PRAGMA {pragma}")


def _count_held(connection: Connection) -> None:
    """Bring a ledger that was made before accounts knew what is held of them up to this version."""
    if "held_micros" in {column["name"] for column in inspect(connection).get_columns("accounts")}:
        return
    connection.exec_driver_sql("ALTER TABLE accounts ADD COLUMN held_micros BIGINT NOT NULL DEFAULT 0")
    connection.exec_driver_sql(
        "UPDATE accounts SET held_micros = COALESCE((SELECT SUM(amount_micros - charged_micros) FROM holds"
        " WHERE account = accounts.name AND state IN ('HELD', 'COMMITTED') AND amount_micros > charged_micros), 0)"
    )
    connection.exec_driver_sql("CREATE INDEX IF NOT EXISTS accounts_by_party ON accounts (party, kind, currency)")
