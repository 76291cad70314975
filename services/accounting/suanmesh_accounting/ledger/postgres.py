"""The ledger in PostgreSQL 15 or newer: for several processes, on as many machines as need be."""

from __future__ import annotations

from sqlalchemy import create_engine, make_url, text

from suanmesh_accounting.ledger.migrations import bring_up
from suanmesh_accounting.ledger.sql import READERS, SqlLedger

CONNECT_S = 5
"""How long a connection may take to be made, seconds."""
WAIT_S = 5
"""How long a transaction waits for those of others, seconds."""
QUERY_S = 30
"""How long one statement may take, seconds."""
_TABLES_LOCK = 0x5355_414E
"""Whoever makes the tables holds this advisory lock, so that two that start at once make them once."""


def open_postgres(url: str) -> SqlLedger:
    """The ledger in the database of a URL (`postgresql://...`); its tables are made where there are none.

    Every commit is on the server's disk before it is told, whatever the server's own default is.
    """
    engine = create_engine(
        make_url(url).set(drivername="postgresql+psycopg"),
        pool_size=READERS + 1,
        max_overflow=0,
        pool_pre_ping=True,
        connect_args={
            "connect_timeout": CONNECT_S,
            "application_name": "suanmesh-accounting",
            "options": f"-c synchronous_commit=on -c lock_timeout={WAIT_S}s -c statement_timeout={QUERY_S}s"
            f" -c idle_in_transaction_session_timeout={QUERY_S}s -c timezone=UTC",
        },
    )
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _TABLES_LOCK})
        bring_up(connection)
    return SqlLedger(engine, engine.execution_options(isolation_level="REPEATABLE READ"))
