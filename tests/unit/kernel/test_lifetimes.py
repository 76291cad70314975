"""When certificates renew: not so early that they are never used, not so late that a fault leaves no time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from suanmesh_kernel.lifetimes import RETRY_S_MAX, renew_at, retry_after_s

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
lives = st.floats(30, 90 * 86_400).map(lambda seconds: timedelta(seconds=seconds))
chances = st.floats(0, 1)


@given(lives, chances)
def test_what_has_a_third_of_its_life_left_has_begun_to_renew(life: timedelta, chance: float) -> None:
    """Whoever runs a node counts on a third of a life to mend what keeps certificates from being renewed."""
    due = renew_at(BEGIN, BEGIN + life, chance)

    assert life / 2 < due - BEGIN <= life * 2 / 3 + timedelta(microseconds=1)


@given(lives, chances, chances)
def test_what_began_together_does_not_renew_together(life: timedelta, one: float, other: float) -> None:
    """A thousand agents that joined in one minute must not all ask the registry in one."""
    apart = abs(renew_at(BEGIN, BEGIN + life, one) - renew_at(BEGIN, BEGIN + life, other))

    assert abs(apart - life * abs(one - other) / 10) <= timedelta(microseconds=2)


@given(lives, chances)
def test_a_renewal_that_fails_is_tried_ten_times(life: timedelta, chance: float) -> None:
    """One restart of the registry at the wrong moment must not cost an agent its site."""
    end = BEGIN + life
    left = end - renew_at(BEGIN, end, chance)

    pause = retry_after_s(BEGIN, end)

    assert pause <= RETRY_S_MAX
    assert timedelta(seconds=pause) * 10 <= left + timedelta(seconds=1)
