"""A site sends usage at its pace: a burst at once, a steady flow after it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suanmesh_accounting.domain.pace import Allowance, Pace, spent
from suanmesh_kernel.refusals import ResourceExhausted

PACE = Pace(records_per_s=10, burst=100)


def test_a_burst_goes_through_and_one_more_waits() -> None:
    """An agent that was cut off comes back with much at once; one that floods is told when to come again."""
    allowance = spent("sites/a", None, 100, 0.0, PACE)
    with pytest.raises(ResourceExhausted, match="USAGE_TOO_FAST") as refused:
        spent("sites/a", allowance, 5, 0.1, PACE)
    assert refused.value.retry_delay_s == pytest.approx(0.4)
    assert spent("sites/a", allowance, 5, 0.5, PACE) == Allowance(0.0, 0.5)


@given(st.lists(st.tuples(st.floats(0, 100), st.integers(1, 120)), max_size=30))
def test_no_order_of_calls_gets_more_than_burst_and_pace(calls: list[tuple[float, int]]) -> None:
    """A pattern that gets round the pace would grow the ledger as fast as a flood."""
    now, taken, allowance = 0.0, 0, None
    for pause, records in calls:
        now += pause
        try:
            allowance = spent("sites/a", allowance, records, now, PACE)
        except ResourceExhausted:
            continue
        taken += records
    assert taken <= PACE.burst + now * PACE.records_per_s + 1e-6
