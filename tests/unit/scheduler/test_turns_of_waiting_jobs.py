"""Whose turn it is among the jobs that wait for a place."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from suanmesh.scheduler.v1.job_pb2 import Ask, Job
from suanmesh_scheduler.domain.waiting_queue import Precedence, WaitingQueue, in_precedence
from suanmesh_scheduler.wire import likeness, precedence_of
from suanmesh_scheduler.wire import queue_of as queue_of_job


def queue_of(*names: str) -> WaitingQueue:
    """All of equal priority, each of a party of its own."""
    queue = WaitingQueue()
    for name in names:
        queue.stand(Precedence.of(0, 0, name), f"parties/{name}")
    return queue


@given(st.lists(st.integers(0, 30).map(str), unique=True), st.integers(1, 7))
def test_everybody_has_a_turn_before_anybody_has_two(names: list[str], most: int) -> None:
    """A job that fits would starve behind jobs that never will."""
    queue = queue_of(*names)
    told: list[str] = []
    while len(told) < len(names):
        turn = queue.next(most)
        assert len(turn) == min(most, len(names))
        told += turn
    assert told[: len(names)] == names


def test_who_has_a_place_leaves_and_who_changed_keeps_the_turn() -> None:
    """Changing a job would send it to the end, or one that runs be decided again."""
    queue = queue_of("a", "b", "c", "a")
    queue.leave("b")
    queue.leave("x")
    assert queue.next(9) == ["a", "c"]
    assert not queue.stand(Precedence.of(0, 0, "a"), "parties/a")
    assert queue.stand(Precedence.of(0, 0, "b"), "parties/b")


def test_the_first_of_a_party_comes_with_every_turn_of_its_party() -> None:
    """Room that becomes free would go to whichever job of the party happens to be looked at."""
    queue = WaitingQueue()
    for name, party, priority in (("low", "p", 0), ("other", "q", 0), ("high", "p", 9), ("late", "p", 9)):
        queue.stand(Precedence.of(priority, len(name), name), party)
    assert queue.next(1) == ["low", "high"]
    assert queue.next(1) == ["other"]
    queue.leave("high")
    assert queue.next(3) == ["late", "low", "other"]


jobs = st.lists(st.tuples(st.sampled_from("pqr"), st.integers(-3, 3), st.integers(0, 5)), max_size=20)


@given(jobs)
def test_priority_orders_a_partys_jobs_and_nobody_elses(drawn: list[tuple[str, int, int]]) -> None:
    """A party could get in front of others by calling all its jobs urgent."""
    items = [(party, Precedence.of(priority, made, f"j{n}")) for n, (party, priority, made) in enumerate(drawn)]
    ordered = in_precedence(items, lambda item: item[0], lambda item: item[1])
    assert [party for party, _ in ordered] == [party for party, _ in items]
    for party in "pqr":
        mine = [precedence for owner, precedence in ordered if owner == party]
        assert mine == sorted(precedence for owner, precedence in items if owner == party)
        assert [-p.below for p in mine] == sorted((-p.below for p in mine), reverse=True)


def test_priority_counts_within_a_queue_of_a_party() -> None:
    """A group that calls all its jobs urgent would keep the other groups of its party waiting."""
    said = [("day", 0), ("night", 9), ("day", 5), ("night", 0)]
    waiting = [Job(name=f"jobs/{n}", party="parties/p", queue=q, priority=p) for n, (q, p) in enumerate(said)]
    ordered = in_precedence(waiting, queue_of_job, precedence_of)
    assert [job.name for job in ordered] == ["jobs/2", "jobs/1", "jobs/0", "jobs/3"]


def test_only_who_needs_the_same_is_passed_over() -> None:
    """Behind a large job that nothing fits, a small one would wait although there is room for it."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    large = Job(name="jobs/a", account="accounts/a", ask=Ask(cpu_milli=4000), max_duration_s=60)
    other, small, moving, again = Job(), Job(), Job(), Job()
    for job in (other, small, moving, again):
        job.CopyFrom(large)
    other.name, small.ask.cpu_milli, again.attempt = "jobs/b", 500, 1
    moving.inputs.add(dataset="datasets/d")
    assert likeness(other, now) == likeness(large, now)
    assert likeness(large, now) not in {likeness(job, now) for job in (small, moving, again)}
