"""The ledger in a file: SQLite with a write-ahead log, durable at every commit."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, create_engine, event

from suanmesh_accounting.ledger.migrations import bring_up
from suanmesh_accounting.ledger.sql import WHAT, SqlLedger
from suanmesh_store.soundness import must_be_sound_at

BUSY_MS = 5_000
"""How long a transaction waits for that of another process, in milliseconds."""


def open_sqlite(url: str) -> SqlLedger:
    """The ledger in the file of a SQLAlchemy URL; made where there is none. Raises StoreCorrupt where it is damaged."""
    must_be_sound_at(url, WHAT)
    writing, reading = _engine(url, "BEGIN IMMEDIATE"), _engine(url, "BEGIN")
    with writing.begin() as connection:
        bring_up(connection)
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
