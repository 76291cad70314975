"""What is taken is done in its time, what is not taken is told when to come again."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from suanmesh_scheduler.domain.admission import (
    DELAY_MAX_S,
    DELAY_MIN_S,
    TIME_SHARE,
    Bounds,
    Pace,
    Waiting,
    delay_s,
    turn_s,
    units_of,
)

PACES = st.builds(Pace, st.floats(0.0001, 0.5), st.integers(1, 8))
BATCHES = st.lists(st.tuples(st.integers(1, 100), st.floats(0.1, 30.0), st.booleans()), min_size=1, max_size=60)
"""Items, seconds until the deadline, whether it is the loud party's; all at once."""


@given(BATCHES, PACES, st.integers(50, 2000))
def test_what_is_taken_is_done_in_its_time(batches: list[tuple[int, float, bool]], pace: Pace, items_max: int) -> None:
    """A batch that is taken and then times out was work for nothing, and kept others from being done."""
    bounds = Bounds(items_max, items_max // 2)
    lanes, waiting = [0.0] * pace.lanes, {True: 0, False: 0}
    for items, time_left_s, loud in batches:
        units, every = units_of(items), sum(waiting.values())
        delay = delay_s(Waiting(every, waiting[loud]), units, time_left_s, pace, bounds)
        if delay:
            assert DELAY_MIN_S <= delay <= DELAY_MAX_S
            continue
        first = lanes.index(min(lanes))
        lanes[first] += units * pace.seconds
        waiting[loud] += units
        assert not every or lanes[first] <= TIME_SHARE * time_left_s + 1e-9
        assert not every or (every + units <= bounds.items_max and waiting[loud] <= bounds.items_of_party_max)


@given(st.integers(1, 100), PACES, st.floats(0.0, 30.0))
def test_an_idle_service_takes_whatever_comes(items: int, pace: Pace, time_left_s: float) -> None:
    """One slow batch must not make a service refuse everything from then on."""
    assert delay_s(Waiting(0, 0), units_of(items), time_left_s, pace, Bounds(1, 1)) == 0


@given(PACES, st.lists(st.floats(0.0, 10.0), min_size=1, max_size=50))
def test_the_pace_follows_what_is_measured(pace: Pace, took: list[float]) -> None:
    """A guess that is never put right would refuse what could be done, or take what could not."""
    low, high = min(pace.seconds, *(t / 10 for t in took)), max(pace.seconds, *(t / 10 for t in took))
    for each in took:
        pace = pace.after(10, each)
        assert low - 1e-9 <= pace.seconds <= high + 1e-9
    for _ in range(100):
        pace = pace.after(10, 1.0)
    assert abs(pace.seconds - 0.1) < 0.001


@given(PACES, st.integers(1, 105), st.floats(0.0, 30.0))
def test_work_that_is_late_already_slows_what_is_taken(pace: Pace, units: int, so_far_s: float) -> None:
    """Until the first slow batch ends, everybody else's would be taken as if it had been quick."""
    shown = pace.at_least(units, so_far_s)
    assert shown.seconds >= pace.seconds
    assert shown.duration_s(0, units) >= so_far_s * (1 - 1e-9)


@given(PACES, st.lists(st.integers(1, 105), min_size=2, max_size=40), st.floats(DELAY_MIN_S, 5.0))
def test_those_refused_together_do_not_come_back_together(pace: Pace, units: list[int], delay: float) -> None:
    """A hundred clients told the same second would be refused again in it, all but the first."""
    promised_s, turns = 0.0, []
    for each in units:
        at_s, promised_s = turn_s(delay, each, promised_s, pace)
        turns.append(at_s)
    assert all(delay <= turn <= DELAY_MAX_S for turn in turns)
    assert all(earlier < later or later == DELAY_MAX_S for earlier, later in pairwise(turns))
