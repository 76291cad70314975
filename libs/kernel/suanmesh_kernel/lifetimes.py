"""When what is good for a time is to be renewed: late enough to be worth it, early enough to be tried again."""

from __future__ import annotations

from datetime import datetime, timedelta

from suanmesh_kernel.key_windows import RENEW_PART

SPREAD_PART = 1 / 10
"""The part of its life by which one is renewed earlier than another, lest all that began together ask together."""
RETRY_PART = 1 / 30
RETRY_S_MIN = 1.0
RETRY_S_MAX = 600.0


def renew_at(begin: datetime, end: datetime, chance: float) -> datetime:
    """When what is good from `begin` to `end` is to be renewed: at two thirds of its life, or up to a tenth before.

    `chance`, from 0 to 1, says how much before.
    """
    return begin + (end - begin) * (RENEW_PART - SPREAD_PART * chance)


def retry_after_s(begin: datetime, end: datetime) -> float:
    """How long after a renewal that failed the next is tried, seconds: ten times at least before the end."""
    return min(max((end - begin) / timedelta(seconds=1) * RETRY_PART, RETRY_S_MIN), RETRY_S_MAX)
