"""Adapters of the ledger port: SQLite in a file, and PostgreSQL for many machines."""
