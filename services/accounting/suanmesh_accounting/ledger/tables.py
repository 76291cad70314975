"""The ledger's tables, alike in SQLite and in PostgreSQL.

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

from suanmesh_store.migrations import version_table

metadata = MetaData()

Text = String().with_variant(String(collation="C"), "postgresql")
"""Ordered by its bytes, as SQLite does it, and not by the language of whoever installed the server."""
Serial = BigInteger().with_variant(Integer, "sqlite")
"""64 bits in both: SQLite numbers rows by a type of that name only."""

accounts = Table(
    "accounts",
    metadata,
    Column("name", Text, primary_key=True),
    Column("party", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("balance_micros", BigInteger, nullable=False),
    Column("held_micros", BigInteger, nullable=False),
    Column("create_us", BigInteger, nullable=False),
    Column("close_us", BigInteger, nullable=False),  # 0 while it is open
    Column("budget_micros", BigInteger, nullable=False),  # of each month; -1 for none
    Column("budget_hard", Boolean, nullable=False),
    Column("month", Integer, nullable=False),  # that `month_spent_micros` is of, as 202611; 0 before the first charge
    Column("month_spent_micros", BigInteger, nullable=False),
    Index("accounts_by_party", "party", "kind", "currency"),
)

party_budgets = Table(
    "party_budgets",
    metadata,
    Column("party", Text, primary_key=True),
    Column("currency", Text, primary_key=True),
    Column("amount_micros", BigInteger, nullable=False),  # of each month, over all accounts; -1 for none any more
    Column("hard", Boolean, nullable=False),
    Column("turn", BigInteger, nullable=False),  # one more whenever it was set, or has let holds through
)

postings = Table(
    "postings",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("entry", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("amount_micros", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("post_us", BigInteger, nullable=False),
    Index("postings_by_account", "account"),
)

price_books = Table(
    "price_books",
    metadata,
    Column("name", Text, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("document", LargeBinary, nullable=False),
)

holds = Table(
    "holds",
    metadata,
    Column("name", Text, primary_key=True),
    Column("account", Text, nullable=False),
    Column("placement", Text, nullable=False),
    Column("position", Integer, nullable=False),
    Column("job", Text, nullable=False),
    Column("site", Text, nullable=False),
    Column("amount_micros", BigInteger, nullable=False),
    Column("charged_micros", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("committed", Boolean, nullable=False),
    Column("ask", LargeBinary, nullable=False),
    Column("price_version", Integer, nullable=False),
    Column("trace_id", Text, nullable=False),
    Column("create_us", BigInteger, nullable=False),
    UniqueConstraint("placement", "position"),
    Index("holds_by_state", "state"),
    Index("holds_by_account", "account", "state"),
    Index("holds_by_job", "job"),
)

usage_batches = Table(
    "usage_batches",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("signed", LargeBinary, nullable=False),
    Column("leaves", LargeBinary, nullable=False),  # hashes of all records that were signed, also of those not kept
    Column("kept", Integer, nullable=False),  # how many rows of `usage` came in it
)

usage = Table(
    "usage",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("site", Text, nullable=False),
    Column("epoch", Text, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("placement", Text, nullable=False),
    Column("task", Integer, nullable=False),
    Column("transfer", Text, nullable=False),
    Column("final", Boolean, nullable=False),
    Column("ratable", Boolean, nullable=False),
    Column("lines", Integer, nullable=False),  # charges made of it
    Column("record", LargeBinary, nullable=False),
    Column("batch", BigInteger, nullable=False),
    Column("leaf_index", Integer, nullable=False),
    Column("record_us", BigInteger, nullable=False),
    UniqueConstraint("site", "epoch", "sequence"),
    Index("usage_by_placement", "placement"),
)
in_quarantine = usage.c.ratable.is_(False)
Index("usage_in_quarantine", usage.c.site, sqlite_where=in_quarantine, postgresql_where=in_quarantine)

remainders = Table(
    "remainders",
    metadata,
    Column("work", Text, primary_key=True),  # one text, since SQLite finds pairs of a list by reading all rows
    Column("meter", Integer, primary_key=True),
    Column("price_version", Text, primary_key=True),
    Column("remainder", BigInteger, nullable=False),
)

charges = Table(
    "charges",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("account", Text, nullable=False),
    Column("job", Text, nullable=False),
    Column("site", Text, nullable=False),  # that measured
    Column("meter", Integer, nullable=False),
    Column("amount_micros", BigInteger, nullable=False),
    Column("waived_micros", BigInteger, nullable=False),
    Column("create_us", BigInteger, nullable=False),
    Column("dataset", Text, nullable=False),  # that was moved
    Column("document", LargeBinary, nullable=False),
    Index("charges_by_time", "account", "create_us"),
    Index("charges_by_job", "account", "job", "create_us"),
)

requests = Table(
    "requests",
    metadata,
    Column("principal", Text, primary_key=True),
    Column("method", Text, primary_key=True),
    Column("request_id", Text, primary_key=True),
    Column("record", LargeBinary, nullable=False),
    Column("create_us", BigInteger, nullable=False),
    Index("requests_by_age", "create_us"),
)

identity = Table(
    "identity",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("node", Text, nullable=False),
    Column("ledger", Text, nullable=False),
    Column("node_id", Text, nullable=False),
    Column("generation", Text, nullable=False),
    Column("number", BigInteger, nullable=False),
)
"""One row."""

schema = version_table(metadata)
"""One row: which version's tables these are."""
