"""Whose turn it is among the jobs that wait for a place."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from suanmesh_scheduler.domain.waiting_queue import WaitingQueue


@given(st.lists(st.integers(0, 30).map(str), unique=True), st.integers(1, 7))
def test_everybody_has_a_turn_before_anybody_has_two(names: list[str], most: int) -> None:
    """A job that fits would starve behind jobs that never will."""
    queue = WaitingQueue()
    for name in names:
        queue.stand(name, waits=True)
    told: list[str] = []
    while len(told) < len(names):
        turn = queue.next(most)
        assert len(turn) == min(most, len(names))
        told += turn
    assert told[: len(names)] == names


def test_who_has_a_place_leaves_and_who_changed_keeps_the_turn() -> None:
    """Changing a job would send it to the end, or one that runs be decided again."""
    queue = WaitingQueue()
    for name, waits in (("a", True), ("b", True), ("c", True), ("a", True), ("b", False), ("x", False)):
        queue.stand(name, waits=waits)
    assert queue.next(9) == ["a", "c"]
