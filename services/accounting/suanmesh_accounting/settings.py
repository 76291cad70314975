"""Settings of accounting."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from suanmesh_accounting.domain.pace import Pace
from suanmesh_accounting.domain.quarantine import Room


@dataclass(frozen=True, slots=True)
class AccountingSettings:
    """Filled from `SUANMESH_ACCOUNTING_<FIELD>`."""

    database: str = ""
    """Where the ledger lies: `sqlite:///{path}` or `postgresql://{user}@{host}/{database}`; empty: the data folder."""
    lead_with: str = ""
    """The ledger to lead with though another one led the node before; what the other holds is lost."""
    resync_s: float = 2.0
    """How often holds are compared with placements even when nothing was heard, in seconds."""
    housekeeping_s: float = 20.0
    """How often answers and records in quarantine that have had their time are dropped, in seconds."""
    late_usage_s: float = 30.0
    """How long after a placement's end its hold waits for missing final usage, in seconds."""
    quote_valid_s: int = 60
    """How long a quote stands, in seconds."""
    quarantine_records_max: int = 1000
    """Usage records that no hold pays for which are kept of one site."""
    quarantine_bytes_max: int = 1024 * 1024
    """Bytes they may have together."""
    quarantine_age_s: int = 7 * 86_400
    """How long such a record is kept, in seconds."""

    usage_records_per_s: float = 400.0
    """Usage records a site may send in the long run, a second: twice what a thousand tasks send every five seconds."""
    usage_burst: int = 50_000
    """Usage records a site may send at once, after it was cut off."""

    def pace(self) -> Pace:
        """How fast a site may send usage."""
        return Pace(self.usage_records_per_s, self.usage_burst)

    def room(self) -> Room:
        """What the quarantine of one site may hold."""
        return Room(self.quarantine_records_max, self.quarantine_bytes_max, timedelta(seconds=self.quarantine_age_s))
