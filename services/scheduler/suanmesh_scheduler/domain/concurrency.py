"""How many jobs may be decided at once: as many as leave the event loop to calls, and always one."""

from __future__ import annotations

from dataclasses import dataclass, replace

LAG_S_MAX = 0.05
"""A call takes its turn in the event loop about a dozen times; each later turn than this makes it wait for long."""
REST_S_MAX = 0.1
"""Longest pause before the next decision: jobs are decided, slowly, however busy the loop is."""


@dataclass(frozen=True, slots=True)
class ConcurrencyLimit:
    """Adaptive: halved while the event loop lags, raised by one while it does not."""

    most: int
    allowed: int
    """Decisions at once, 1 to `most`."""
    rest_s: float = 0.0
    """Pause before each decision, where even one at a time is too much."""

    def after(self, lag_s: float) -> ConcurrencyLimit:
        """The limit once the event loop has run a timer `lag_s` late."""
        if lag_s <= LAG_S_MAX:
            return replace(self, allowed=min(self.most, self.allowed + 1), rest_s=0.0)
        rest_s = min(REST_S_MAX, lag_s) if self.allowed == 1 else 0.0
        return replace(self, allowed=max(1, self.allowed // 2), rest_s=rest_s)
