"""How many jobs are decided at once while calls want the event loop."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from suanmesh_scheduler.domain.concurrency import LAG_S_MAX, REST_S_MAX, ConcurrencyLimit
from suanmesh_scheduler.domain.line import PartyLine

LAGS = st.floats(0.0, 100.0)
BUSY_S = 2 * LAG_S_MAX


def after(lags: list[float], most: int = 16) -> ConcurrencyLimit:
    limit = ConcurrencyLimit(most, most)
    for lag_s in lags:
        limit = limit.after(lag_s)
    return limit


@given(st.lists(LAGS), st.integers(1, 64))
def test_some_job_is_decided_soon_however_busy_the_loop_is(lags: list[float], most: int) -> None:
    """A flood of calls would keep every job from being placed."""
    limit = after(lags, most)
    assert 1 <= limit.allowed <= most
    assert 0 <= limit.rest_s <= REST_S_MAX


def test_a_lagging_loop_is_left_to_calls() -> None:
    """Whoever only asks for a job would wait behind the decisions of ten thousand others."""
    limit = after([BUSY_S] * 5)
    assert (limit.allowed, limit.rest_s > 0) == (1, True)


@given(st.lists(LAGS))
def test_an_idle_loop_decides_as_many_as_it_may(lags: list[float]) -> None:
    """One busy second would slow down every later decision."""
    assert after([*lags, *[0.0] * 16]) == ConcurrencyLimit(16, 16)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 20).map(str))))
def test_each_party_has_its_turn_and_each_job_is_decided_once(waiting: list[tuple[str, str]]) -> None:
    """One job of a party would wait behind the ten thousand of another, or one be lost."""
    line = PartyLine()
    for party, name in waiting:
        line.add(party, f"{party}{name}")
    expected = list(dict.fromkeys(f"{party}{name}" for party, name in waiting))
    assert len(line) == len(expected)

    taken = []
    while line:
        parties = {name[0] for name in expected} - {name[0] for name in taken if not _left(name[0], expected, taken)}
        turns = [line.take() for _ in parties]
        assert {name[0] for name in turns} == parties
        taken += turns

    for party in "abc":
        assert _of(party, taken) == _of(party, expected)


def _of(party: str, names: list[str]) -> list[str]:
    return [name for name in names if name.startswith(party)]


def _left(party: str, expected: list[str], taken: list[str]) -> bool:
    return len(_of(party, taken)) < len(_of(party, expected))
