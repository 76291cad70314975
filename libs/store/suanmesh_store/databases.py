"""Engines of SQL databases, set up so that a commit is on the disk before anybody is told: SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url, text

from suanmesh_store.soundness import require_sound_at
from suanmesh_store.sqlite_files import HARD, make_private

READERS = 2
"""Queries of one process that a database answers at the same time."""
CONNECT_S = 5
"""How long a connection to PostgreSQL may take to be made, seconds."""
WAIT_S = 5
"""How long a transaction of PostgreSQL waits for those of others, seconds."""
QUERY_S = 30
"""How long one statement of PostgreSQL may take, and a transaction of a tool go on without one, seconds."""
BETWEEN_S = 3
"""How long a transaction of a service may go on without a statement, seconds: who froze within one has what others wait
for, and they wait for WAIT_S."""
SILENT_S = 6
"""How long PostgreSQL may leave unanswered what was sent to it, and pings, until its connection counts as broken."""
_PINGS = {
    "keepalives_idle": SILENT_S // 2,
    "keepalives_interval": 1,
    "keepalives_count": SILENT_S // 2,
    "tcp_user_timeout": SILENT_S * 1000,
}
_TABLES_LOCK = 0x5355_414E
"""Whoever makes tables holds this advisory lock, so that two that start at once make them once."""


@dataclass(frozen=True, slots=True)
class Engines:
    """Transactions of `writing` see all that was committed when they read; those of `reading` one moment."""

    writing: Engine
    reading: Engine

    @contextmanager
    def making_tables(self) -> Iterator[Connection]:
        """A transaction that makes tables, while nobody else does; where that fails every connection is closed."""
        try:
            with self.writing.begin() as connection:
                if connection.dialect.name == "postgresql":
                    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _TABLES_LOCK})
                yield connection
        except BaseException:
            self.dispose()
            raise

    def dispose(self) -> None:
        """Close every connection."""
        self.writing.dispose()
        self.reading.dispose()


def open_engines(url: str, what: str, *, application: str, schema: str = "", between_s: int = QUERY_S) -> Engines:
    """Engines for `sqlite:///{path}` or `postgresql://{user}@{host}/{database}`; `what` names it to people.

    Several services may share a database of PostgreSQL, each in a `schema` of its own; it ends their transactions
    where one goes on for `between_s` without a statement. Raises StoreCorrupt where a file is damaged, ValueError for
    another URL.
    """
    scheme = url.partition(":")[0].partition("+")[0]
    if scheme == "sqlite":
        require_sound_at(url, what)
        make_private(Path(make_url(url).database or ""))
        return Engines(_sqlite(url, "BEGIN IMMEDIATE"), _sqlite(url, "BEGIN"))
    if scheme == "postgresql":
        return _postgres(url, application, schema, between_s)
    raise ValueError(f"{what} lies at sqlite:///... or at postgresql://..., not at {scheme}://...")


def _sqlite(url: str, begin: str) -> Engine:
    engine = create_engine(url)
    event.listen(engine, "connect", _made_durable)
    event.listen(engine, "begin", lambda connection: _begin(connection, begin))
    return engine


def _begin(connection: Connection, statement: str) -> None:
    driver: Any = connection.connection.driver_connection  # by SQLAlchemy it would take as long as a query
    driver.execute(statement)


def _made_durable(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # else Python begins transactions late and ends them at a savepoint
    for pragma in HARD:
        connection.execute(f"PRAGMA {pragma}")


def _postgres(url: str, application: str, schema: str, between_s: int) -> Engines:
    """Every commit is on the server's disk before it is told, whatever the server's own default is."""
    driven = make_url(url).set(drivername="postgresql+psycopg")
    options = (
        f"-c synchronous_commit=on -c lock_timeout={WAIT_S}s -c statement_timeout={QUERY_S}s"
        f" -c idle_in_transaction_session_timeout={between_s}s -c timezone=UTC"
    )
    arguments = {"connect_timeout": CONNECT_S, "application_name": application, "options": options, **_PINGS}
    if schema:
        _make_schema(create_engine(driven, connect_args=arguments), schema)
        arguments["options"] = f"{options} -c search_path={schema}"
    engine = create_engine(driven, pool_size=READERS + 1, max_overflow=0, pool_pre_ping=True, connect_args=arguments)
    return Engines(engine, engine.execution_options(isolation_level="REPEATABLE READ"))


def _make_schema(engine: Engine, schema: str) -> None:
    with Engines(engine, engine).making_tables() as connection:
        connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {schema}")
    engine.dispose()
