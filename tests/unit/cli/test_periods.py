"""Periods as people write them: what a day, a month and an age mean, and how long days are where clocks are changed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suanmesh_cli import periods
from suanmesh_cli.usage import Misuse

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")


def told(text: str, *, end: bool = False, zone: ZoneInfo | None = ZoneInfo("Asia/Shanghai")) -> str:  # noqa: B008
    found = periods.moment(text, NOW, zone, end=end)
    return found.ToJsonString() if found else ""


@pytest.mark.parametrize(
    ("text", "begins", "ends"),
    [
        ("2026-11-30", "2026-11-29T16:00:00Z", "2026-11-30T16:00:00Z"),
        ("20261130", "2026-11-29T16:00:00Z", "2026-11-30T16:00:00Z"),
        (" 2026-11-30 ", "2026-11-29T16:00:00Z", "2026-11-30T16:00:00Z"),
        ("2026-W49-1", "2026-11-29T16:00:00Z", "2026-11-30T16:00:00Z"),
        ("2026-02", "2026-01-31T16:00:00Z", "2026-02-28T16:00:00Z"),
        ("2028-02", "2028-01-31T16:00:00Z", "2028-02-29T16:00:00Z"),
        ("2026-12", "2026-11-30T16:00:00Z", "2026-12-31T16:00:00Z"),
        ("2026", "2025-12-31T16:00:00Z", "2026-12-31T16:00:00Z"),
        ("2026-11-30T18:00", "2026-11-30T10:00:00Z", "2026-11-30T10:00:00Z"),
        ("2026-11-30T18:00Z", "2026-11-30T18:00:00Z", "2026-11-30T18:00:00Z"),
        ("2026-11-30T18:00+08:00", "2026-11-30T10:00:00Z", "2026-11-30T10:00:00Z"),
        ("today", "2026-11-29T16:00:00Z", "2026-11-30T16:00:00Z"),
        ("Yesterday", "2026-11-28T16:00:00Z", "2026-11-29T16:00:00Z"),
        ("昨天", "2026-11-28T16:00:00Z", "2026-11-29T16:00:00Z"),
        ("7d", "2026-11-23T12:00:00Z", "2026-11-23T12:00:00Z"),
        ("2h30m", "2026-11-30T09:30:00Z", "2026-11-30T09:30:00Z"),
        ("90s", "2026-11-30T11:58:30Z", "2026-11-30T11:58:30Z"),
    ],
)
def test_a_time_is_what_people_mean_by_it(text: str, begins: str, ends: str) -> None:
    """A month whose last day is missing is paid for twice or never; so is a day that another notation cuts off."""
    assert (told(text), told(text, end=True)) == (begins, ends)


def test_a_day_is_as_long_as_its_clocks_make_it() -> None:
    """On the day clocks are put back an hour of charges would be in no day's bill."""
    day = [periods.moment("2026-10-25", NOW, BERLIN, end=end) for end in (False, True)]
    assert [each.ToJsonString() for each in day if each] == ["2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"]


@pytest.mark.parametrize(
    ("start", "end"),
    [("2026-12", "2026-11"), ("2026-11-30", "2026-11-29"), ("2026-12-01T00:00", "2026-11"), ("1d", "2d"), ("7d", "7d")],
)
def test_a_period_without_time_is_refused(start: str, end: str) -> None:
    """Months in the wrong order would come as a bill of nothing, which looks like a month without costs."""
    with pytest.raises(Misuse):
        periods.period(start, end, NOW, UTC)


@pytest.mark.parametrize("hours", [0, 1, 7, 13, 23])
def test_spans_begin_when_clocks_are_changed(hours: int) -> None:
    """A sum of a day that begins at the wrong hour is not that of the charges which are listed for it."""
    first = datetime(2026, 3, 1, hours, 17, 3, 5, tzinfo=UTC)
    found = [*periods.spans(first, datetime(2026, 11, 1, tzinfo=UTC), BERLIN)]
    assert found == [
        (first, 60),
        (datetime(2026, 3, 29, 1, tzinfo=UTC), 120),
        (datetime(2026, 10, 25, 1, tzinfo=UTC), 60),
    ]


@given(st.datetimes(datetime(2000, 1, 1), datetime(2040, 1, 1)), st.integers(0, 900), st.integers(0, 86_400 * 3))
def test_every_moment_has_the_offset_of_its_span(begin: datetime, days: int, more_s: int) -> None:
    """Whatever the period, a charge counts to the day on which its reader's clock had it."""
    start = begin.replace(tzinfo=UTC)
    end = start + timedelta(days=days, seconds=more_s)
    found = [*periods.spans(start, end, BERLIN)]
    for at in (start, end, start + (end - start) / 3, *(each for each, _ in found)):
        assert [offset for since, offset in found if since <= at][-1] == periods.offset_min(at, BERLIN)
