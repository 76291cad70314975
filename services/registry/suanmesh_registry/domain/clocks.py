"""Whether the clock of a site is right, by when it says that it made its reports."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from suanmesh_kernel.reasons import NO_REASON, StateReason

ALLOWED_S = 30.0
"""As much as assertions bear; a report is on its way for some of it."""
ROUNDED_S = 10
"""What is told to people is rounded, so that it is the same from one report to the next."""


def ahead_s(observed: Iterable[datetime], now: datetime) -> float:
    """How far a site's clock is ahead of the one that shows `now`, below zero behind it; 0 where it can be borne.

    `observed` are the times in a report that has just come; 0 where it has none.
    """
    ahead = max(((each - now).total_seconds() for each in observed), default=0.0)
    return ahead if abs(ahead) > ALLOWED_S else 0.0


def reason_of(ahead: float) -> StateReason:
    """What is wrong with a clock that is so far ahead; none where it is right."""
    if not ahead:
        return NO_REASON
    rounded = round(abs(ahead) / ROUNDED_S) * ROUNDED_S
    return StateReason("SITE_CLOCK_WRONG", {"clock_s": str(rounded if ahead > 0 else -rounded)})
