"""The permission to run: how long a site goes on without hearing the mesh, and when the mesh may count it out.

A site's agent may run tasks until `run_for_s` after it *sent* the last report that the registry acknowledged, by its
own clock; what runs then is stopped, by whoever holds it, within `STOP_S_MAX`. The registry gives that permission only
while the site's lease stands, and counts a site as lost `lost_after_s` after it saw the lease gone, by its own clock.
So whatever becomes of messages and processes, with clocks that run wrong by at most `CLOCK_RATE_MAX`:

    sent <= lease gone
    sent + (run_for_s + STOP_S_MAX) / (1 - CLOCK_RATE_MAX) <= lease gone + lost_after_s / (1 + CLOCK_RATE_MAX)

and nothing of a lost site runs when its work is placed elsewhere. The clocks count on while a machine sleeps.
"""

from __future__ import annotations

from dataclasses import dataclass

CLOCK_RATE_MAX = 0.01
"""By how much a clock may run fast or slow; the kernel slews by at most 0.0005."""
STOP_S_MAX = 5.0
"""From the end of a permission until the last process of every task is dead: a grace, and what a busy host adds."""
RUN_FOR_S_MIN = 3.0
"""A shorter permission ends with every hiccup; reports come every second."""
LOST_AFTER_S_MIN = (RUN_FOR_S_MIN + STOP_S_MAX) * (1 + CLOCK_RATE_MAX) / (1 - CLOCK_RATE_MAX)
"""A registry that waits for less could give no permission worth having."""


def run_for_s(lost_after_s: float) -> float:
    """How long an agent may run on where a site is lost after `lost_after_s` without a lease."""
    return lost_after_s * (1 - CLOCK_RATE_MAX) / (1 + CLOCK_RATE_MAX) - STOP_S_MAX


@dataclass(frozen=True, slots=True)
class Permission:
    """A permission as its holder sees it; moments are those of its monotonic clock."""

    until: float = float("-inf")
    """When it ends."""
    epoch: int = 0
    """Grows with every permission that follows a time without one; what was agreed before that is to be asked anew."""

    def holds(self, now: float) -> bool:
        """Whether something may run."""
        return now < self.until

    def renewed(self, sent: float, run_for_s: float, now: float) -> Permission:
        """The permission once a report sent at `sent` is acknowledged; an answer that comes too late gives none."""
        until = sent + run_for_s
        if until <= max(now, self.until):
            return self
        return Permission(until, self.epoch if self.holds(now) else self.epoch + 1)
