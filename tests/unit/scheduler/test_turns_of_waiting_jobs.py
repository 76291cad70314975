"""Whose turn it is among the jobs that wait for a place."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from suanmesh_scheduler.domain.line import Line


@given(st.lists(st.integers(0, 30).map(str), unique=True), st.integers(1, 7))
def test_everybody_has_a_turn_before_anybody_has_two(names: list[str], most: int) -> None:
    """A job that fits would starve behind jobs that never will."""
    line = Line()
    for name in names:
        line.stand(name, waits=True)
    told: list[str] = []
    while len(told) < len(names):
        turn = line.next(most)
        assert len(turn) == min(most, len(names))
        told += turn
    assert told[: len(names)] == names


def test_who_has_a_place_leaves_and_who_changed_keeps_the_turn() -> None:
    """Changing a job would send it to the end, or one that runs be decided again."""
    line = Line()
    for name, waits in (("a", True), ("b", True), ("c", True), ("a", True), ("b", False), ("x", False)):
        line.stand(name, waits=waits)
    assert line.next(9) == ["a", "c"]
