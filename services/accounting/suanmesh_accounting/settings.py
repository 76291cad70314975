"""Settings of accounting."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AccountingSettings:
    """Filled from `SUANMESH_ACCOUNTING_<FIELD>`."""

    database: str = ""
    """SQLAlchemy URL of the ledger; empty for `ledger.sqlite` in the data folder."""
    resync_s: float = 2.0
    """How often holds are compared with placements even when nothing was heard, in seconds."""
    late_usage_s: float = 30.0
    """How long after a placement's end its hold waits for missing final usage, in seconds."""
    quote_valid_s: int = 60
    """How long a quote stands, in seconds."""
