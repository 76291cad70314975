"""Lists of jobs: what a filter keeps, and whose turn is first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from suanmesh.scheduler.v1 import job_pb2, placement_pb2
from suanmesh.scheduler.v1 import scheduler_service_pb2 as pb
from suanmesh_kernel.refusals import InvalidArgument
from suanmesh_scheduler import reads

Job = job_pb2.Job
Placement = placement_pb2.Placement
JobOf = Callable[..., job_pb2.Job]


async def listed(world: Any, text: str, page_size: int = 2) -> list[str]:
    names, token = [], ""
    while True:
        request = pb.ListJobsRequest(filter=text, page_size=page_size, page_token=token)
        answer = await world.user.scheduler.ListJobs(request)
        names += [job.name for job in answer.jobs]
        token = answer.next_page_token
        if not token:
            return names


@pytest.fixture
async def labelled(scheduler: Any, job_of: JobOf) -> Any:
    """Jobs a to f that nothing takes; those at even places are of the team `even`, the first two have ended."""
    for number, name in enumerate("abcdef"):
        job = job_of(cpu_milli=900_000)
        job.labels["team"] = "odd" if number % 2 else "even"
        job.priority = number
        await scheduler.submit_raw(job, name)
        scheduler.clock.advance(1)
    for name in "ab":
        await scheduler.cancel(f"jobs/{name}")
        await scheduler.until_job(Job.STATE_CANCELLED, f"jobs/{name}")
    return scheduler


async def test_a_filter_keeps_jobs_wherever_they_lie(labelled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list that lost what has ended, or showed it twice, would be reconciled with the bill in vain."""
    assert await listed(labelled, 'labels.team = "even"') == ["jobs/e", "jobs/c", "jobs/a"]
    assert await listed(labelled, 'labels.team = "even" AND state = "CANCELLED"') == ["jobs/a"]
    assert await listed(labelled, "priority >= 4 OR priority < 1") == ["jobs/f", "jobs/e", "jobs/a"]
    assert await listed(labelled, "labels.none:*") == []
    monkeypatch.setattr(reads, "FILTERED_STEP", 1)
    monkeypatch.setattr(reads, "FILTERED_MAX", 2)
    assert await listed(labelled, 'labels.team = "even"', page_size=9) == ["jobs/e", "jobs/c", "jobs/a"]
    short = await labelled.user.scheduler.ListJobs(pb.ListJobsRequest(filter="priority = 0"))
    assert (list(short.jobs), bool(short.next_page_token)) == ([], True)


async def test_a_filter_that_is_wrong_says_where(labelled: Any) -> None:
    """A misspelt field would list nothing, and be believed."""
    with pytest.raises(InvalidArgument) as refused:
        await listed(labelled, "labels.team = even AND stat = FAILED")
    assert (refused.value.reason, refused.value.facts["column"]) == ("FILTER_INVALID", "24")


async def test_the_urgent_job_of_a_party_goes_first(scheduler: Any, job_of: JobOf) -> None:
    """The job that everybody waits for would start after a hundred that nobody does."""
    await scheduler.submit("busy", cpu_milli=4000, allow_sites=["sites/near"])
    busy = await scheduler.placed("jobs/busy")
    for name, priority in (("usual", 0), ("later", -5), ("urgent", 7)):
        job = job_of(cpu_milli=4000 - priority, allow_sites=["sites/near"])
        job.priority = priority
        await scheduler.submit_raw(job, name)
        await scheduler.until_job(Job.STATE_PENDING, f"jobs/{name}", "NO_PLACE")
    await scheduler.report(busy, Placement.STATE_FAILED, "EXIT_STATUS")
    await scheduler.report(await scheduler.placed("jobs/urgent"), Placement.STATE_FAILED, "EXIT_STATUS")
    await scheduler.placed("jobs/usual")
    assert not (await scheduler.job("jobs/later")).placement
