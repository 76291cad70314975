"""No party submits or cancels more in a time than it may, and whoever keeps to what it is told is let in."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suanmesh_scheduler.domain.rates import AHEAD_S_MAX, PROMISES_MAX, Bucket, Rate, full, take

RATES = st.builds(Rate, st.floats(0.5, 1000.0), st.integers(1, 2000))
CALLS = st.lists(st.tuples(st.floats(0.0, 20.0), st.integers(1, 100), st.integers(0, 3)), max_size=60)
"""Seconds since the call before, how many are asked for, and by which request."""


@given(RATES, CALLS)
def test_in_any_time_no_more_than_burst_and_rate(rate: Rate, calls: list[tuple[float, int, int]]) -> None:
    """A script that submits and cancels in a circle would fill etcd for everybody."""
    now, bucket, taken = 0.0, full(rate, 0.0), []
    for pause_s, count, claim in calls:
        now += pause_s
        bucket, delay_s = take(bucket, "ann", str(claim), count, rate, now)
        assert 0 <= bucket.tokens <= rate.burst
        if not delay_s:
            taken.append((now, min(count, rate.burst)))
    for i, (since, _) in enumerate(taken):
        for k in range(i, len(taken)):
            within = sum(count for _, count in taken[i : k + 1])
            assert within <= rate.burst + rate.per_s * (taken[k][0] - since) + 1e-3


@pytest.mark.parametrize("name", [str, lambda claim: f"again {claim}"], ids=["the same request", "a new one"])
@given(rate=RATES, calls=st.lists(st.tuples(st.floats(0.01, 5.0), st.integers(1, 100)), max_size=40))
def test_whoever_waits_as_told_is_let_in(
    name: Callable[[int], str], rate: Rate, calls: list[tuple[float, int]]
) -> None:
    """A delay that is too short, or tokens that another takes first, send an honest program in circles."""
    now, bucket, due = 0.0, full(rate, 0.0), list[tuple[float, int, int]]()
    for claim, (pause_s, count) in enumerate(calls):
        now += pause_s
        bucket = _come_back(bucket, rate, due, now, name)
        bucket, delay_s = take(bucket, "ann", str(claim), count, rate, now)
        if 0 < delay_s <= AHEAD_S_MAX:
            heappush(due, (now + delay_s, claim, count))
    _come_back(bucket, rate, due, float("inf"), name)


def _come_back(
    bucket: Bucket, rate: Rate, due: list[tuple[float, int, int]], now: float, name: Callable[[int], str]
) -> Bucket:
    """Everybody whose time has come is let in."""
    while due and due[0][0] <= now:
        at, claim, count = heappop(due)
        bucket, delay_s = take(bucket, "ann", name(claim), count, rate, at)
        assert delay_s == 0
    return bucket


def test_promises_are_bounded_and_lapse() -> None:
    """Requests that are never repeated would keep their party out for ever, or fill memory."""
    rate, bucket = Rate(10.0, 100), full(Rate(10.0, 100), 0.0)
    for claim in range(PROMISES_MAX * 2):
        bucket, delay_s = take(bucket, "ann", str(claim), 100, rate, 0.0)
    assert len(bucket.promises) <= PROMISES_MAX
    assert delay_s <= AHEAD_S_MAX + 20
    bucket, delay_s = take(bucket, "ann", "late", 100, rate, 1000.0)
    assert delay_s == 0
    assert bucket.promises == ()
