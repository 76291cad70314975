"""`suan job show` of an array: how many of its tasks stand where."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from click.testing import Result

from suanmesh.scheduler.v1.job_pb2 import Job
from suanmesh.scheduler.v1.placement_pb2 import Placement, TaskResult

Run = Callable[..., Awaitable[Result]]


async def test_a_job_says_how_far_its_tasks_have_come(oracle: Any, run: Run) -> None:
    """RUNNING is all that ten thousand tasks said for hours; listing them to count them takes ten pages."""
    array = Job(name="jobs/x", state=Job.STATE_RUNNING, placement="placements/p")
    array.task.count = 10_000
    placement = Placement(name="placements/p")
    placement.task_counts.add(state=TaskResult.STATE_RUNNING, tasks=60)
    placement.task_counts.add(state=TaskResult.STATE_DONE, tasks=4120)
    oracle.answers |= {"GetJob": array, "GetPlacement": placement}
    shown = (await run("job", "show", "x")).stdout
    assert "60 RUNNING, 4120 DONE of 10000" in shown
    array.task.count = 1
    assert "DONE of" not in (await run("job", "show", "x")).stdout
    assert {method for method, _ in oracle.asked} == {"GetJob", "GetPlacement"}
    oracle.asked.clear()
    array.task.count = 10_000
    assert (await run("job", "show", "x", "-o", "json")).exit_code == 0
    assert [method for method, _ in oracle.asked] == ["GetJob"], "the data of a job is the job's alone"
