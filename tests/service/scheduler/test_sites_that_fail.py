"""Sites that fail runs before they begin: the job keeps its attempts, a site that keeps failing is left alone."""

from __future__ import annotations

from typing import Any

import pytest

from suanmesh.registry.v1 import pool_pb2
from suanmesh.scheduler.v1 import job_pb2, placement_pb2, reason_pb2
from suanmesh.type.v1 import capacity_pb2
from suanmesh_kernel.reasons import StateReason
from suanmesh_scheduler.domain.breaker import BACKOFF_S, FAULTS_MAX, SETBACK_S
from suanmesh_sdk.obstacles import obstacle_words
from suanmesh_sdk.state_reasons import reason_from, reason_to, words

Job, Placement = job_pb2.Job, placement_pb2.Placement
FULL = "TASK_NOT_STARTED: task 0 could not be started at the site: No space left on device"


async def failed_at_near(world: Any, job_id: str) -> placement_pb2.Placement:
    """A job that goes to the cheapest site, and on to the next because that cannot begin it."""
    await world.submit(job_id, deny_sites=["sites/data"])
    name = f"jobs/{job_id}"
    first = await world.placed(name, site="near")
    await world.report(first, Placement.STATE_ACCEPTED)
    await world.report(first, Placement.STATE_REFUSED, reason=FULL)
    second = await world.placed(name, site="far")
    await world.report(second, Placement.STATE_ACCEPTED)
    return second


async def obstacles(world: Any, name: str) -> dict[str, Any]:
    return {c.site: c.obstacle for c in (await world.decision(name)).candidates}


async def test_a_site_that_cannot_begin_uses_up_no_attempt(scheduler: Any) -> None:
    """The cheapest site has a full disk: a job that may run once ended there, beside a healthy site that was idle."""
    second = await failed_at_near(scheduler, "j")
    job = await scheduler.job()
    assert (job.attempt, second.attempt, job.max_attempts) == (1, 1, 1)
    assert any("No space left" in words(step.reason) for step in job.history)


async def test_a_site_that_keeps_failing_is_left_alone_and_tried_again(scheduler: Any) -> None:
    """Every job of the mesh would pay its toll at the full disk, for as long as it is the cheapest."""
    for number in range(FAULTS_MAX):
        await failed_at_near(scheduler, f"f{number}")
    await scheduler.submit("next", deny_sites=["sites/data"], cpu_milli=500)
    await scheduler.report(await scheduler.placed("jobs/next", site="far"), Placement.STATE_ACCEPTED)
    why = (await obstacles(scheduler, "jobs/next"))["sites/near"]
    assert why.code == reason_pb2.OBSTACLE_CODE_SITE_FAILING
    assert "3 runs in a row" in obstacle_words(why)
    assert "No space left" in obstacle_words(why)
    assert "连续 3 次" in obstacle_words(why, "zh")

    scheduler.clock.advance(BACKOFF_S + 1)
    await scheduler.submit("probe", deny_sites=["sites/data"], cpu_milli=100)
    probe = await scheduler.placed("jobs/probe", site="near")
    await scheduler.submit("beside", deny_sites=["sites/data"], cpu_milli=100)
    assert (await scheduler.placed("jobs/beside")).site == "sites/far", "one is tried at a time"
    begun = placement_pb2.TaskResult(index=0)
    begun.start_time.FromDatetime(scheduler.clock.now())
    await scheduler.report(probe, Placement.STATE_ACCEPTED)
    await scheduler.report(probe, Placement.STATE_RUNNING, tasks=[begun])
    await scheduler.until_job(Job.STATE_RUNNING, "jobs/probe")
    await scheduler.submit("again", deny_sites=["sites/data"], cpu_milli=100)
    await scheduler.placed("jobs/again", site="near")


async def test_a_restarted_scheduler_still_leaves_it_alone(running: Any) -> None:
    """Each failover would send the next round of jobs into the full disk."""
    async with running() as world:
        for number in range(FAULTS_MAX):
            await failed_at_near(world, f"f{number}")
    async with running() as world:
        await world.submit("next", deny_sites=["sites/data"], cpu_milli=500)
        await world.placed("jobs/next", site="far")


async def test_a_job_no_site_begins_is_given_up_with_a_reason(scheduler: Any) -> None:
    """A job that uses up no attempt would be placed for ever, and hold money each time."""
    await scheduler.submit(allow_sites=["sites/near"], max_attempts=3)
    for _ in range(7):
        placement = await scheduler.placed(site="near")
        await scheduler.report(placement, Placement.STATE_REFUSED, reason="CAPACITY_TAKEN: 1 cpu_milli is missing")
        await scheduler.until_job(Job.STATE_PENDING, reason="NO_PLACE")
        scheduler.clock.advance(600)
    placement = await scheduler.placed(site="near")
    await scheduler.report(placement, Placement.STATE_REFUSED, reason="CAPACITY_TAKEN: 1 cpu_milli is missing")
    job = await scheduler.until_job(Job.STATE_FAILED)
    assert [reason.code for reason in reason_from(job.state_reason).chain] == ["GIVEN_UP", "CAPACITY_TAKEN"]
    assert job.state_reason.facts["placements"] == "8"
    assert job.attempt == 0


async def test_a_site_that_set_a_job_back_comes_after_all_others(scheduler: Any) -> None:
    """Once its wait is over, the cheapest would be tried first again, and again fail."""
    second = await failed_at_near(scheduler, "j")
    scheduler.clock.advance(SETBACK_S + 1)
    await scheduler.report(second, Placement.STATE_REFUSED, reason="CAPACITY_TAKEN: 1 cpu_milli is missing")
    await scheduler.until_job(Job.STATE_PENDING, reason="NO_PLACE")
    assert {o.code for o in (await obstacles(scheduler, "jobs/j")).values()} >= {
        reason_pb2.OBSTACLE_CODE_REFUSED_BY_SITE
    }


@pytest.mark.parametrize(
    "reason",
    [StateReason("DISK_FULL", {"free_bytes": "0"}), StateReason("JOURNAL_FAULT", {"detail": "disk I/O error"})],
)
async def test_a_site_that_says_it_is_in_trouble_is_sent_nothing(scheduler: Any, reason: StateReason) -> None:
    """The agent knows that its disk is full before anybody pays for finding out."""
    pool = "sites/near/pools/cpu"
    scheduler.peers.reports[pool] = pool_pb2.PoolState(name=pool, reason=reason_to(reason))
    await scheduler.submit(deny_sites=["sites/data"])
    await scheduler.placed(site="far")
    why = (await obstacles(scheduler, "jobs/j"))["sites/near"]
    assert why.code == reason_pb2.OBSTACLE_CODE_SITE_IN_TROUBLE
    assert (why.cause.code, why.cause.facts) == (reason.code, reason.facts)


async def test_scratch_that_is_not_on_the_disk_is_not_offered(scheduler: Any) -> None:
    """What others have written to the disk is taken, whatever the books say."""
    pool = "sites/near/pools/cpu"
    free = capacity_pb2.Capacity(scratch_bytes=1000)
    scheduler.peers.reports[pool] = pool_pb2.PoolState(name=pool, free=free)
    job = job_pb2.Job(account="accounts/a", max_duration_s=100, max_attempts=1)
    job.ask.cpu_milli, job.ask.memory_bytes, job.ask.scratch_bytes = 1000, 1 << 30, 2000
    job.package.variants.add(command=["true"])
    await scheduler.submit_raw(job)
    await scheduler.placed(site="far")
    why = (await obstacles(scheduler, "jobs/j"))["sites/near"]
    assert (why.code, why.needed, why.available) == (reason_pb2.OBSTACLE_CODE_SCRATCH, 2000, 1000)
