"""What an owner refuses: hours of a week in any form, kinds, parties, and shares that never go beyond the bound."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suanmesh_kernel.owner_limits import (
    DAY_MIN,
    WEEK_MIN,
    OwnerLimits,
    WeekWindow,
    WorkKind,
    kinds_of,
    minute_of_week,
    windows_of,
)
from suanmesh_kernel.quantities import Capacity, Device

HOURS_THAT_ARE_NONE = (
    "mon", "mon 8-9", "monday 8:00-9:00", "mon 8:00", "mon 25:00-26:00", "mon 8:60-9:00",
    "mon 8:00-9:00 CST", "mon 8:00-9:00 +8", "mon 8:00-9:00 +15:00", "mon 8:00-9:00 +08:00 x", "mon 24:00-9:00",
)  # fmt: skip
MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
windows = st.builds(
    lambda start, length: WeekWindow(start, start + length), st.integers(0, WEEK_MIN - 1), st.integers(1, WEEK_MIN)
)
moments = st.integers(0, 10 * WEEK_MIN * 60).map(lambda seconds: MONDAY + timedelta(seconds=seconds))


@given(st.lists(windows, min_size=1, max_size=4), moments)
def test_it_opens_when_it_says_and_not_before(hours: list[WeekWindow], now: datetime) -> None:
    """A job that waits for the hour named would wait again; one that could have run was kept away."""
    limits = OwnerLimits(hours=tuple(hours))
    opens = limits.opens(now)
    if opens is None:
        assert any((minute_of_week(now) - each.start_min) % WEEK_MIN < each.end_min - each.start_min for each in hours)
        return
    assert now < opens <= now + timedelta(days=7)
    assert limits.opens(opens) is None
    assert limits.opens(opens - timedelta(minutes=1)) is not None or opens - timedelta(minutes=1) < now


@pytest.mark.parametrize(
    ("text", "taken", "not_taken"),
    [
        ("mon-fri 18:00-08:00", ["mon 18:00", "tue 07:59", "sat 03:00"], ["mon 07:59", "fri 12:00", "sat 08:00"]),
        ("sat-mon 0:00-24:00", ["sat 00:00", "sun 23:59", "mon 12:00"], ["fri 23:59", "tue 00:00"]),
        ("sun 22:00-02:00", ["sun 23:00", "mon 01:59"], ["mon 02:00", "sun 21:59"]),
        ("wed 9:30-10:00, thu 0:00-1:00", ["wed 09:30", "thu 00:59"], ["wed 10:00", "thu 01:00"]),
        ("", ["mon 00:00"], []),
    ],
)  # fmt: skip
def test_hours_are_read_as_people_mean_them(text: str, taken: list[str], not_taken: list[str]) -> None:
    """A night that ends at midnight by mistake costs the owner's own users their morning, or others their night."""
    limits = OwnerLimits(hours=windows_of(text))
    assert [each for each in taken if limits.opens(at(each)) is not None] == []
    assert [each for each in not_taken if limits.opens(at(each)) is None] == []


@pytest.mark.parametrize("text", HOURS_THAT_ARE_NONE)
def test_hours_that_mean_nothing_are_refused(text: str) -> None:
    """An agent that starts with hours it did not understand is open at all of them."""
    with pytest.raises(ValueError, match=r"is not|past|before"):
        windows_of(text)


@given(
    st.sampled_from(["mon-fri 18:00-08:00", "sun 22:30-22:30", "sat-mon 0:00-24:00", "wed 9:15-17:45"]),
    st.integers(-14 * 60, 14 * 60),
    moments,
)
def test_hours_of_a_zone_are_the_same_hours_on_its_clocks(text: str, ahead_min: int, now: datetime) -> None:
    """Who means the nights of Shanghai and must reckon them in UTC, over the end of a week, opens on a working day."""
    zone = f"{'-' if ahead_min < 0 else '+'}{abs(ahead_min) // 60:02d}:{abs(ahead_min) % 60:02d}"
    local, there = OwnerLimits(hours=windows_of(text)), OwnerLimits(hours=windows_of(f"{text} {zone}"))
    on_its_clocks = now + timedelta(minutes=ahead_min)
    opens = local.opens(on_its_clocks)
    assert there.opens(now) == (opens and opens - timedelta(minutes=ahead_min))
    assert all(window.is_valid for window in there.hours)


def test_only_what_is_refused_is_refused() -> None:
    """A guest who may come is sent away, or one who may not is let in."""
    limits = OwnerLimits(frozenset({"parties/a"}), refused_kinds=frozenset({WorkKind.DATA}))
    plain, reading = kinds_of(tasks=1, devices=False, inputs=False), kinds_of(tasks=9, devices=True, inputs=True)
    assert not limits.objection("parties/a", plain)
    assert limits.objection("parties/b", plain).code == "PARTY_NOT_ALLOWED"
    assert limits.objection("parties/a", reading).facts == {"kind": "DATA"}
    assert not OwnerLimits().objection("parties/b", reading)


@given(st.integers(1, 1000), st.integers(1, 9), st.integers(0, 40), st.integers(0, 3), st.booleans())
def test_a_share_is_used_up_and_never_gone_beyond(milli: int, cores: int, held: int, cards: int, asks: bool) -> None:
    """One guest fills the site and the owner's bound is only a word; or a part that was promised stays empty."""
    whole, limits = Capacity(64_000, 1 << 30, devices=(Device("gpu", "x", 8),)), OwnerLimits(party_share_milli=milli)
    one = Capacity(cores * 1000, 0, devices=(Device("gpu", "", cards),) if asks and cards else ())
    taken = Capacity(held * 1000)
    room = limits.room(one, whole, taken)
    assert room is not None

    def within(tasks: int) -> bool:
        used = taken.plus(one.times(tasks))
        used_cards = sum(each.count for each in used.devices)
        return used.cpu_milli * 1000 <= 64_000 * milli and used_cards <= 8 * milli // 1000

    assert room == 0 or within(room)
    assert not within(room + 1)
    assert OwnerLimits().room(one, whole, taken) is None


def at(text: str) -> datetime:
    day, time = text.split()
    hour, minute = map(int, time.split(":"))
    days = ("mon", "tue", "wed", "thu", "fri", "sat", "sun").index(day)
    return MONDAY + timedelta(minutes=days * DAY_MIN + hour * 60 + minute)
