"""Which tasks are run again, when, and what is paid for all runs of one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suanmesh_agent.domain.retrying import BACKOFF_S_MAX, Retrying, Runs
from suanmesh_agent.domain.tasks import TaskLook, TaskState, Usage

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def ended(status: int, failure: str = "") -> TaskLook:
    return TaskLook(TaskState.ENDED, exit_status=status, failure=failure)


@pytest.mark.parametrize(
    ("look", "again"),
    [
        (ended(0), False),
        (ended(75), True),
        (ended(1), False),
        (ended(137, "OUT_OF_MEMORY"), False),
        (ended(127, "COMMAND_NOT_FOUND"), False),
        (ended(143, "CANCELLED"), False),
        (ended(75, "FENCED"), False),
        (TaskLook(TaskState.RUNNING), False),
        (TaskLook(TaskState.LOST), False),
    ],
)
def test_only_what_another_run_may_mend_is_run_again(look: TaskLook, again: bool) -> None:
    """A program that is not there, or that somebody stopped, is paid for in vain a second time."""
    chosen = Retrying(times=1, exit_statuses=frozenset({75}))
    assert (chosen.pause_s(look, 0) is not None) == again
    assert chosen.pause_s(look, 1) is None


def test_without_named_statuses_any_failure_is() -> None:
    """Who wants another try says so without a table of statuses."""
    anything = Retrying(times=1)
    assert [anything.pause_s(look, 0) for look in (ended(1), ended(137, "OUT_OF_MEMORY"))] == [0.0, 0.0]
    assert anything.pause_s(ended(126, "COMMAND_NOT_EXECUTABLE"), 0) is None


@given(st.integers(0, 3600), st.integers(0, 9))
def test_pauses_grow_within_their_bound(backoff_s: int, retry: int) -> None:
    """A service that is down is not called back by a thousand tasks that knock all the time."""
    pause_s = Retrying(times=10, backoff_s=backoff_s).pause_s(ended(1), retry)
    assert pause_s == min(BACKOFF_S_MAX, backoff_s * 2**retry)


@given(st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**9)), min_size=1, max_size=11))
def test_all_runs_of_a_task_are_metered_as_one(used: list[tuple[int, int]]) -> None:
    """A meter that went back with every new run would give away all but the longest."""
    looks = [
        TaskLook(TaskState.ENDED, Usage(cpu, elapsed), exit_status=1, start_time=NOW + timedelta(hours=hour))
        for hour, (cpu, elapsed) in enumerate(used)
    ]
    runs = Runs.of([*looks, TaskLook(TaskState.ABSENT)])
    look = runs.metered(again=False)
    assert look.usage == Usage(sum(cpu for cpu, _ in used), sum(elapsed for _, elapsed in used))
    assert (look.start_time, runs.retries, look.over) == (NOW, len(used) - 1, True)
    assert not runs.metered(again=True).over
