"""The tables of records in SQL."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Connection, Index, Integer, LargeBinary, MetaData, String, Table

from suanmesh_store.migrations import Step, version_table

metadata = MetaData()


def _text() -> String:
    """Text in the order of its bytes, as SQLite and memory have it, whatever the server's own collation is."""
    return String().with_variant(String(collation="C"), "postgresql")


records = Table(
    "records",
    metadata,
    Column("collection", _text(), primary_key=True),
    Column("name", _text(), primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("uid", String, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("principal", String, nullable=False),
    Column("request_id", String, nullable=False),
    Column("traceparent", String, nullable=False),
    Column("update_us", BigInteger, nullable=False),
    Column("writer_fence", BigInteger, nullable=False),
    Index("records_by_sequence", "collection", "sequence"),
)
"""Columns as in `Row`."""

keys = Table(
    "record_keys",
    metadata,
    Column("collection", _text(), primary_key=True),
    Column("index_name", _text(), primary_key=True),
    Column("key", LargeBinary, primary_key=True),
    Column("name", _text(), nullable=False),
    sqlite_with_rowid=False,
)
"""What each index finds: encoded keys, which end with the name."""

KEY_COLUMNS = ("collection", "index_name", "key", "name")

removals = Table(
    "record_removals",
    metadata,
    Column("collection", _text(), primary_key=True),
    Column("sequence", BigInteger, primary_key=True),
    Column("name", _text(), nullable=False),
)

collections = Table(
    "record_collections",
    metadata,
    Column("collection", _text(), primary_key=True),
    Column("forgotten", BigInteger, nullable=False),
)
"""The sequence of the last removal that is forgotten."""

requests = Table(
    "record_requests",
    metadata,
    Column("principal", String, primary_key=True),
    Column("request_id", String, primary_key=True),
    Column("record", LargeBinary, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("create_us", BigInteger, nullable=False),
    Index("record_requests_by_age", "create_us"),
)
"""Answers, to be given again."""

indexes = Table(
    "record_indexes",
    metadata,
    Column("collection", _text(), primary_key=True),
    Column("index_name", _text(), primary_key=True),
    Column("version", Integer, nullable=False),
)
"""Those that are complete."""

state = Table(
    "record_state",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("store", String, nullable=False),
    Column("node", String, nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("indexes", String, nullable=False),
    Column("node_id", String, nullable=False),
    Column("generation", String, nullable=False),
    Column("number", BigInteger, nullable=False),
)
"""One row. Whoever writes holds its lock, so that sequences are committed in their order."""

schema = version_table(metadata)


def _as_it_was(_: Connection) -> None:
    """Version 1."""


def _belong(connection: Connection) -> None:
    """Version 2: a store knows the node it belongs to by more than its name."""
    connection.exec_driver_sql("ALTER TABLE record_state ADD COLUMN node_id VARCHAR NOT NULL DEFAULT ''")
    connection.exec_driver_sql("ALTER TABLE record_state ADD COLUMN generation VARCHAR NOT NULL DEFAULT ''")
    connection.exec_driver_sql("ALTER TABLE record_state ADD COLUMN number BIGINT NOT NULL DEFAULT 0")


STEPS: tuple[Step, ...] = (_as_it_was, _belong)
