"""No party submits or cancels more in a time than it may, and whoever keeps to what it is told is let in."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from suanmesh_scheduler.domain.rates import Rate, full, take

RATES = st.builds(Rate, st.floats(0.5, 1000.0), st.integers(1, 2000))
CALLS = st.lists(st.tuples(st.floats(0.0, 20.0), st.integers(1, 100)), max_size=60)
"""Seconds since the call before, and how many are asked for."""


@given(RATES, CALLS)
def test_in_any_time_no_more_than_burst_and_rate(rate: Rate, calls: list[tuple[float, int]]) -> None:
    """A script that submits and cancels in a circle would fill etcd for everybody."""
    now, bucket, taken = 0.0, full(rate, 0.0), []
    for pause_s, count in calls:
        now += pause_s
        bucket, delay_s = take(bucket, count, rate, now)
        assert 0 <= bucket.tokens <= rate.burst
        if not delay_s:
            taken.append((now, min(count, rate.burst)))
    for i, (since, _) in enumerate(taken):
        for k in range(i, len(taken)):
            within = sum(count for _, count in taken[i : k + 1])
            assert within <= rate.burst + rate.per_s * (taken[k][0] - since) + 1e-3


@given(RATES, CALLS, st.integers(1, 100))
def test_whoever_waits_as_told_is_let_in(rate: Rate, calls: list[tuple[float, int]], count: int) -> None:
    """A delay that is too short sends an honest program in circles."""
    now, bucket = 0.0, full(rate, 0.0)
    for pause_s, each in calls:
        now += pause_s
        bucket, _ = take(bucket, each, rate, now)
    bucket, delay_s = take(bucket, count, rate, now)
    assert delay_s <= rate.burst / rate.per_s + 1e-6
    if delay_s:
        assert take(bucket, count, rate, now + delay_s + 1e-6)[1] == 0
