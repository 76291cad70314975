"""Opens a ledger: in a file, or in PostgreSQL 15 or newer for several processes on as many machines as need be."""

from __future__ import annotations

from suanmesh_accounting.ledger.migrations import STEPS, unnumbered
from suanmesh_accounting.ledger.sql import WHAT, SqlLedger
from suanmesh_accounting.ledger.tables import metadata
from suanmesh_store.databases import BETWEEN_S, open_engines
from suanmesh_store.migrations import bring_up


def open_ledger(url: str) -> SqlLedger:
    """The ledger at `sqlite:///{path}` or `postgresql://{user}@{host}/{database}`; made where there is none.

    Raises StoreCorrupt where it is damaged or of a newer version, ValueError for another URL.
    """
    engines = open_engines(url, WHAT, application="suanmesh-accounting", between_s=BETWEEN_S)
    with engines.making_tables() as connection:
        bring_up(connection, WHAT, metadata, STEPS, unnumbered)
    return SqlLedger(engines)
