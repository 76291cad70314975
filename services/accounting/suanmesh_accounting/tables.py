"""The ledger's tables: plain SQL types, so that SQLite serves embedded and PostgreSQL at scale.

Amounts are 64-bit integers in 10^-6 of a currency; times are microseconds since 1970 in UTC.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
)

metadata = MetaData()

accounts = Table(
    "accounts",
    metadata,
    Column("name", String, primary_key=True),
    Column("party", String, nullable=False),
    Column("currency", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("balance_micros", BigInteger, nullable=False),
    Column("create_us", BigInteger, nullable=False),
)

postings = Table(
    "postings",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("entry", String, nullable=False),
    Column("account", String, nullable=False),
    Column("amount_micros", BigInteger, nullable=False),
    Column("currency", String, nullable=False),
    Column("charge", String, nullable=False),
    Column("post_us", BigInteger, nullable=False),
    Index("postings_by_account", "account"),
)

price_books = Table(
    "price_books",
    metadata,
    Column("name", String, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("document", LargeBinary, nullable=False),
)

holds = Table(
    "holds",
    metadata,
    Column("name", String, primary_key=True),
    Column("account", String, nullable=False),
    Column("placement", String, nullable=False),
    Column("position", Integer, nullable=False),
    Column("job", String, nullable=False),
    Column("site", String, nullable=False),
    Column("amount_micros", BigInteger, nullable=False),
    Column("charged_micros", BigInteger, nullable=False),
    Column("state", String, nullable=False),
    Column("committed", Boolean, nullable=False),
    Column("ask", LargeBinary, nullable=False),
    Column("price_version", Integer, nullable=False),
    Column("trace_id", String, nullable=False),
    Column("create_us", BigInteger, nullable=False),
    UniqueConstraint("placement", "position"),
    Index("holds_by_state", "state"),
    Index("holds_by_account", "account", "state"),
)

usage = Table(
    "usage",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("site", String, nullable=False),
    Column("epoch", String, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("placement", String, nullable=False),
    Column("job", String, nullable=False),
    Column("party", String, nullable=False),
    Column("task", Integer, nullable=False),
    Column("transfer", String, nullable=False),
    Column("final", Boolean, nullable=False),
    Column("ratable", Boolean, nullable=False),
    Column("signed", LargeBinary, nullable=False),
    Column("record_us", BigInteger, nullable=False),
    UniqueConstraint("site", "epoch", "sequence"),
    Index("usage_by_placement", "placement"),
    Index("usage_by_quarantine", "ratable", "site"),
    Index("usage_by_job", "job"),
)

charges = Table(
    "charges",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("name", String, nullable=False, unique=True),
    Column("account", String, nullable=False),
    Column("job", String, nullable=False),
    Column("usage", String, nullable=False),
    Column("amount_micros", BigInteger, nullable=False),
    Column("create_us", BigInteger, nullable=False),
    Column("document", LargeBinary, nullable=False),
    Index("charges_by_account", "account"),
    Index("charges_by_usage", "usage"),
)

requests = Table(
    "requests",
    metadata,
    Column("principal", String, primary_key=True),
    Column("method", String, primary_key=True),
    Column("request_id", String, primary_key=True),
    Column("record", LargeBinary, nullable=False),
    Column("create_us", BigInteger, nullable=False),
    Index("requests_by_age", "create_us"),
)
