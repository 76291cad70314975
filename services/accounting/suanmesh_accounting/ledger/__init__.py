"""Adapters of the ledger port: SQLite in a file, and PostgreSQL for several processes."""

from suanmesh_accounting.ledger.opening import open_ledger

__all__ = ["open_ledger"]
