"""A job that waits is told whether that can help, and does not wait for what cannot come any more."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Any

import pytest

from suanmesh.registry.v1 import site_pb2
from suanmesh.scheduler.v1 import job_pb2, placement_pb2
from suanmesh.scheduler.v1.reason_pb2 import ObstacleCode
from suanmesh_kernel.refusals import FailedPrecondition
from suanmesh_scheduler.domain.breaker import SETBACK_S
from suanmesh_scheduler.jobs import Jobs
from suanmesh_sdk.status import refusal_of
from suanmesh_store.layout import PLACEMENTS, SITES

Job, Placement = job_pb2.Job, placement_pb2.Placement
Running = Callable[..., AbstractAsyncContextManager[Any]]
JobOf = Callable[..., job_pb2.Job]


async def test_a_deadline_that_passes_ends_a_job_that_waits(scheduler: Any, job_of: JobOf) -> None:
    """Who waits for the end of a job that may not begin any more waits for ever."""
    late = scheduler.clock.now() + timedelta(seconds=500)
    await scheduler.submit("busy", cpu_milli=4000, allow_sites=["sites/near"])
    await scheduler.placed("jobs/busy")
    await scheduler.submit("late", cpu_milli=4000, allow_sites=["sites/near"], deadline=late)
    await scheduler.until_job(Job.STATE_PENDING, "jobs/late", "NO_PLACE")
    scheduler.clock.advance(501)
    job = await scheduler.until_job(Job.STATE_FAILED, "jobs/late", "DEADLINE_MISSED")
    assert job.HasField("end_time")

    soon = scheduler.clock.now() + timedelta(seconds=99)  # a task may run for 100 s
    for deadline, says in ((late, "has passed"), (soon, "is in 99 s, and max_duration_s lets a task run 100 s")):
        refusal = refusal_of((await scheduler.submit_raw(job_of(deadline=deadline), "later")).results[0].error)
        assert (refusal.reason, refusal.facts["field"]) == ("FIELD_INVALID", "constraints.deadline")
        assert says in refusal.message


async def test_a_deadline_that_passes_stops_a_job_that_runs(scheduler: Any) -> None:
    """A result that nobody waits for any more would hold its site, and be paid for, until the task ends by itself."""
    late = scheduler.clock.now() + timedelta(seconds=500)
    await scheduler.submit(deadline=late)
    placement = await scheduler.placed()
    await scheduler.report(placement, Placement.STATE_ACCEPTED)
    await scheduler.report(placement, Placement.STATE_RUNNING)
    await scheduler.until_job(Job.STATE_RUNNING)
    scheduler.clock.advance(501)
    await scheduler.until(PLACEMENTS, placement.name, lambda p: p.stop_requested)
    await scheduler.report(placement, Placement.STATE_CANCELLED, reason="CANCELLED: stopped")
    job = await scheduler.until_job(Job.STATE_FAILED, reason="DEADLINE_MISSED")
    assert job.state_reason.facts["while"] == "RUNNING"
    assert job.attempt == 1
    await scheduler.nothing_held()


async def test_a_job_beyond_the_budget_of_the_month_waits_for_the_next_one(scheduler: Any) -> None:
    """It would be told that it never fits, or run on money that was meant for another month."""
    budget = scheduler.peers.accounts["accounts/a"].budget
    budget.amount_micros, budget.month, budget.spent_micros = 4_000_000, 202601, 4_000_000
    await scheduler.submit(allow_sites=["sites/near"])
    waits = await scheduler.until_job(Job.STATE_PENDING, "jobs/j", "NO_PLACE")
    assert not waits.state_reason.causes
    counted = {each.code for each in (await scheduler.decision()).obstacle_counts}
    assert ObstacleCode.OBSTACLE_CODE_MONTH_BUDGET in counted
    scheduler.clock.advance(31 * 86_400)
    await scheduler.placed()


async def test_a_job_beyond_the_budget_of_its_party_waits_for_the_next_month(scheduler: Any) -> None:
    """A party that spreads its work over accounts would spend in each of them what was meant for all."""
    budget = scheduler.peers.accounts["accounts/a"].party_budget
    budget.amount_micros, budget.month, budget.spent_micros, budget.held_micros = 4_000_000, 202601, 3_000_000, 10**6
    await scheduler.submit(allow_sites=["sites/near"])
    waits = await scheduler.until_job(Job.STATE_PENDING, "jobs/j", "NO_PLACE")
    assert not waits.state_reason.causes
    counted = {each.code for each in (await scheduler.decision()).obstacle_counts}
    assert ObstacleCode.OBSTACLE_CODE_PARTY_BUDGET in counted
    budget.held_micros = 0
    scheduler.clock.advance(31 * 86_400)
    await scheduler.placed()


async def test_what_can_never_run_says_so(scheduler: Any) -> None:
    """A user would wait for room that no host has, beside one who waits for room that will be free in an hour."""
    await scheduler.submit("busy", cpu_milli=4000, allow_sites=["sites/near"])
    await scheduler.placed("jobs/busy")
    await scheduler.submit("next", cpu_milli=3000, allow_sites=["sites/near"])
    await scheduler.submit("huge", cpu_milli=9000)
    waits = await scheduler.until_job(Job.STATE_PENDING, "jobs/next", "NO_PLACE")
    never = await scheduler.until_job(Job.STATE_PENDING, "jobs/huge", "NEVER_FITS")
    assert not waits.state_reason.causes
    assert (await scheduler.decision("jobs/next")).reason == waits.state_reason
    assert (await scheduler.decision("jobs/huge")).reason == never.state_reason


async def test_the_room_of_one_job_is_given_to_as_many_as_it_holds(running: Running) -> None:
    """Where one large job has ended there is room for many small ones, which nothing else would call."""
    async with running(resync_s=3600.0) as world:
        await world.submit("large", cpu_milli=4000, allow_sites=["sites/near"])
        large = await world.placed("jobs/large")
        names = [f"small-{number}" for number in range(8)]
        for name in names:
            await world.submit(name, cpu_milli=500, allow_sites=["sites/near"])
            await world.until_job(Job.STATE_PENDING, f"jobs/{name}", "NO_PLACE")
        await world.report(large, Placement.STATE_FAILED, "TASK_FAILED: it was not large")
        for name in names:
            await world.placed(f"jobs/{name}")


async def test_a_site_that_comes_back_is_tried_again(scheduler: Any) -> None:
    """The only site of a job would stay barred for good because its agent was away for a minute."""
    await scheduler.submit(allow_sites=["sites/near"])
    first = await scheduler.placed()
    await scheduler.lose("near")
    await scheduler.until_job(Job.STATE_PENDING, reason="NO_PLACE")
    await scheduler.change(SITES, "sites/near", lambda s: setattr(s, "liveness", site_pb2.Site.LIVENESS_ALIVE))
    scheduler.clock.advance(SETBACK_S + 1)
    assert (await scheduler.placed()).name != first.name


async def test_a_cancellation_that_comes_as_the_job_ends_is_refused(
    scheduler: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who was told that a job is being cancelled would find it failed: one of both answers is wrong."""
    await scheduler.submit()
    await scheduler.placed()
    get = Jobs.get
    overtaken: list[str] = []

    async def overtaking(self: Jobs, name: str) -> Any:
        """The job ends right after it was read for the cancellation."""
        found = await get(self, name)
        if not overtaken:
            overtaken.append(name)
            await scheduler.change_job(name, lambda job: setattr(job, "state", Job.STATE_FAILED))
        return found

    monkeypatch.setattr(Jobs, "get", overtaking)
    with pytest.raises(FailedPrecondition) as refusal:
        await scheduler.cancel()
    assert refusal.value.reason == "JOB_ENDED"
    assert not (await scheduler.job()).cancel_requested
