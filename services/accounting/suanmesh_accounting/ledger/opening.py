"""Which database a ledger lies in."""

from __future__ import annotations

from suanmesh_accounting.ledger.postgres import open_postgres
from suanmesh_accounting.ledger.sql import SqlLedger
from suanmesh_accounting.ledger.sqlite import open_sqlite


def open_ledger(url: str) -> SqlLedger:
    """The ledger at `sqlite:///{path}` or `postgresql://{user}@{host}/{database}`. Raises StoreCorrupt, ValueError."""
    scheme = url.partition(":")[0].partition("+")[0]
    if scheme == "sqlite":
        return open_sqlite(url)
    if scheme == "postgresql":
        return open_postgres(url)
    raise ValueError(f"a ledger lies at sqlite:///... or at postgresql://..., not at {scheme}://...")
