"""How often certificates may be renewed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from suanmesh_registry.domain.renewal_rate import BURST, CALLERS_MAX, PER_S, RenewalRates

SLACK = 1e-3
pauses = st.lists(st.floats(0, 60), min_size=1, max_size=120)


@given(pauses)
def test_nobody_has_more_than_a_burst_and_the_pace_and_who_waits_as_told_is_served(waits: list[float]) -> None:
    """Whoever renews in a loop must not win by it, and whoever keeps to what he is told must not be put off again."""
    rates, now = RenewalRates(), 0.0
    for served, wait in enumerate(waits, 1):
        now += wait
        delay_s = rates.take("ann", now)
        if delay_s:
            now += delay_s
            assert rates.take("ann", now) == 0.0
        assert served <= BURST + now * PER_S + SLACK


def test_callers_do_not_hinder_each_other_and_are_not_remembered_for_ever() -> None:
    """A node of many users must not fill its memory with those who were there once."""
    rates = RenewalRates()
    assert all(rates.take(f"user-{number}", 0.0) == 0.0 for number in range(3 * CALLERS_MAX))
    assert [rates.take("ann", 0.0) for _ in range(BURST)] == [0.0] * BURST
    assert rates.take("ann", 0.0) > 0.0
