"""Calendar months in UTC, as numbers that can be compared: 202611 is November 2026."""

from __future__ import annotations

from datetime import UTC, datetime


def month_of(moment: datetime) -> int:
    """The month that a moment lies in."""
    at = moment.astimezone(UTC)
    return at.year * 100 + at.month


def begin_of(month: int) -> datetime:
    """Its first moment."""
    return datetime(month // 100, month % 100, 1, tzinfo=UTC)


def next_month(month: int) -> int:
    """The one after it."""
    year, number = divmod(month, 100)
    return month + 1 if number < 12 else (year + 1) * 100 + 1
