"""What was found wrong in a run, each with the moment at which it was."""

from __future__ import annotations

from dataclasses import dataclass, field

from suanmesh_kernel.clock import Clock

SHOWN_MAX = 50


@dataclass
class Findings:
    """Violations, and how much was looked at."""

    clock: Clock
    violations: list[str] = field(default_factory=list)
    events: int = 0
    """Revisions of the keyspace and transactions of the ledger that were looked at."""

    def add(self, violation: str) -> None:
        """Note one, and when it was."""
        if len(self.violations) < SHOWN_MAX:
            self.violations.append(f"{self.clock.monotonic():.3f} s, event {self.events}: {violation}")
