"""Sites that are away for longer than they may be: what they had run is taken when they come back, or told as lost."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from suanmesh.registry.v1 import site_pb2
from suanmesh.scheduler.v1 import job_pb2, placement_pb2
from suanmesh.scheduler.v1 import scheduler_service_pb2 as pb
from suanmesh.transport.v1 import transfer_pb2
from suanmesh_kernel.refusals import FailedPrecondition
from suanmesh_scheduler import reads
from suanmesh_sdk.state_reasons import reason_from
from suanmesh_sdk.status import refusal_of
from suanmesh_store.layout import PLACEMENTS, SITES, TRANSFERS

Job, Placement, Transfer = job_pb2.Job, placement_pb2.Placement, transfer_pb2.Transfer
Running = Callable[[], AbstractAsyncContextManager[Any]]
MADE = ["datasets/j-out", "datasets/j-log"]


async def lost(world: Any, *, max_attempts: int = 1, **constraints: object) -> placement_pb2.Placement:
    """A placement whose site is away; its job waits, where it has another attempt for another place."""
    await world.submit(deliver_to="data", max_attempts=max_attempts, **constraints)
    placement = await world.placed(site="near")
    await world.report(placement, Placement.STATE_ACCEPTED)
    begun = placement_pb2.TaskResult(index=0)
    begun.start_time.FromDatetime(world.clock.now())
    await world.report(placement, Placement.STATE_RUNNING, tasks=[begun])
    await world.until_job(Job.STATE_RUNNING)
    await world.lose("near")
    await world.until(PLACEMENTS, placement.name, lambda p: p.state == Placement.STATE_LOST)
    return placement


async def back(world: Any, site: str = "near") -> None:
    await world.change(SITES, f"sites/{site}", lambda s: setattr(s, "liveness", site_pb2.Site.LIVENESS_ALIVE))


def stem(placement: placement_pb2.Placement) -> str:
    return f"transfers/{placement.name.removeprefix('placements/')}-out-0"


@pytest.mark.parametrize("max_attempts", [1, 2])
async def test_what_a_site_has_run_is_taken_when_it_comes_back(scheduler: Any, max_attempts: int) -> None:
    """Half a minute without a network would cost a run that ended well, and that is charged."""
    placement = await lost(scheduler, max_attempts=max_attempts, allow_sites=["sites/near"])
    waits = Job.STATE_RUNNING if max_attempts == 1 else Job.STATE_PENDING
    await scheduler.until_told("jobs/j", lambda job: job.state == waits and bool(job.state_reason.code))
    scheduler.clock.advance(300)
    result = await scheduler.report(placement, Placement.STATE_DELIVERING, output_datasets=MADE)
    assert result.placement.state == Placement.STATE_DELIVERING
    await scheduler.until_job(Job.STATE_DELIVERING)
    await back(scheduler)
    await scheduler.arrived(stem(placement))
    job = await scheduler.until_job(Job.STATE_DONE)
    assert (job.placement, job.attempt, list(job.output_datasets)) == (placement.name, 1, MADE)
    await scheduler.nothing_held()


async def test_a_late_result_is_refused_once_the_job_runs_elsewhere(scheduler: Any) -> None:
    """Two runs of one job would both deliver, and the one that was paid for last be thrown away."""
    placement = await lost(scheduler, max_attempts=2)
    again = await scheduler.placed(site="far")
    refusal = refusal_of((await scheduler.report(placement, Placement.STATE_DELIVERING, output_datasets=MADE)).error)
    assert (refusal.reason, refusal.facts["replaced_by"]) == ("PLACEMENT_REPLACED", again.name)
    job = await scheduler.job()
    assert (job.placement, job.state) == (again.name, Job.STATE_PLACED)


async def test_a_late_result_of_a_cancelled_job_is_refused(scheduler: Any) -> None:
    """Whoever took it back would find it done."""
    placement = await lost(scheduler)
    await scheduler.cancel()
    await scheduler.until_job(Job.STATE_CANCELLED)
    refusal = refusal_of((await scheduler.report(placement, Placement.STATE_DELIVERING, output_datasets=MADE)).error)
    assert refusal.reason == "PLACEMENT_REPLACED"
    await scheduler.nothing_held()


@pytest.mark.parametrize(
    ("state", "reason"), [(Placement.STATE_FAILED, "EXIT_STATUS"), (Placement.STATE_LOST, "FENCED")]
)
async def test_a_site_that_comes_back_without_results_says_why(scheduler: Any, state: Any, reason: str) -> None:
    """A user would wait for ten minutes, and then read that the site is gone."""
    placement = await lost(scheduler)
    await scheduler.until_job(Job.STATE_RUNNING, reason="SITE_LOST")
    await scheduler.report(placement, state, reason=reason)
    job = await scheduler.until_job(Job.STATE_FAILED)
    assert reason_from(job.state_reason).code == reason
    await scheduler.nothing_held()


@pytest.mark.parametrize("state", [Placement.STATE_DELIVERING, Placement.STATE_DONE])
async def test_a_scheduler_that_dies_before_the_job_is_told_goes_on(running: Running, state: Any) -> None:
    """The result would be there, and the job run again beside it."""
    async with running() as world:
        placement = await lost(world, max_attempts=2, allow_sites=["sites/near"])
        await world.until_job(Job.STATE_PENDING, reason="NO_PLACE")

    def deliver(message: placement_pb2.Placement) -> None:
        message.state = state
        message.ClearField("state_reason")
        message.output_datasets.extend(MADE)
        if state == Placement.STATE_DELIVERING:
            message.ClearField("end_time")

    world.add_dataset("j-out", "near")
    await world.change(PLACEMENTS, placement.name, deliver)
    await back(world)
    async with running() as world:
        if state == Placement.STATE_DELIVERING:
            await world.arrived(stem(placement))
        job = await world.until_job(Job.STATE_DONE)
        assert (job.placement, list(job.output_datasets)) == (placement.name, MADE)
        await world.nothing_held()


async def test_an_agent_is_shown_what_would_be_taken_back(scheduler: Any) -> None:
    """It would stop what it had run and throw the results away, or keep for ever what nobody wants."""
    placement = await lost(scheduler, max_attempts=2, deny_sites=["sites/far"])

    async def shown() -> list[str]:
        watch = scheduler.agent("near").scheduler.WatchPlacements(pb.WatchPlacementsRequest(site="sites/near"))
        async for batch in watch:
            return [each.name for each in batch.placements]
        raise AssertionError("the stream ended")

    assert await shown() == [placement.name]
    await scheduler.add_site("other", price=4)
    scheduler.add_wire("other", "data")
    await scheduler.placed(site="other")
    assert await shown() == []


async def test_results_on_their_way_are_sent_again_when_their_site_is_back(scheduler: Any) -> None:
    """A run that ended well would be paid for twice."""
    placement = await scheduler.bring(Job.STATE_DELIVERING)
    await scheduler.until(TRANSFERS, stem(placement), lambda _: True)
    await scheduler.lose("near")

    def fail(message: transfer_pb2.Transfer) -> None:
        message.state, message.state_reason.code = Transfer.STATE_FAILED, "SOURCE_LOST"

    await scheduler.change(TRANSFERS, stem(placement), fail)
    await scheduler.until_job(Job.STATE_DELIVERING, reason="SITE_LOST")
    await back(scheduler)
    again = await scheduler.until(TRANSFERS, f"{stem(placement)}-2", lambda _: True)
    held = await scheduler.store.get(PLACEMENTS, placement.name)
    assert again.reservation == held.message.output_routes[0].reservation
    await scheduler.arrived(again.name)
    job = await scheduler.until_job(Job.STATE_DONE)
    assert job.attempt == 1
    await scheduler.nothing_held()


@pytest.mark.parametrize("max_attempts", [1, 2])
async def test_logs_say_that_the_site_is_away(scheduler: Any, max_attempts: int) -> None:
    """A user would look for a mistake in a job that had run for hours, told that no task of it has started."""
    await lost(scheduler, max_attempts=max_attempts, allow_sites=["sites/near"])
    with pytest.raises(FailedPrecondition) as refused:
        async for _ in scheduler.user.scheduler.ReadJobLogs(pb.ReadJobLogsRequest(name="jobs/j")):
            pass
    assert (refused.value.reason, refused.value.facts["site"]) == ("SITE_UNREACHABLE", "sites/near")


@pytest.mark.parametrize("follow", [False, True])
async def test_logs_do_not_wait_for_a_site_that_has_frozen(
    scheduler: Any, follow: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connection stands: whoever reads the log would wait, and be told at most that something is still running."""
    monkeypatch.setattr(reads, "ANSWER_S_MAX", 0.05)
    await scheduler.submit(allow_sites=["sites/near"])
    await scheduler.placed()
    scheduler.peers.silent.add("sites/near")
    if follow:
        suspect = site_pb2.Site.LIVENESS_SUSPECT
        await scheduler.change(SITES, "sites/near", lambda site: setattr(site, "liveness", suspect))
    with pytest.raises(FailedPrecondition) as refused:
        async for _ in scheduler.user.scheduler.ReadJobLogs(pb.ReadJobLogsRequest(name="jobs/j", follow=follow)):
            pass
    assert refused.value.reason == "SITE_UNREACHABLE"


def test_whoever_bounds_his_wait_hears_before_it_ends() -> None:
    """An answer that comes when nobody listens any more is none."""
    assert reads.answer_within_s(5.0) == 4.0
    assert reads.answer_within_s(float("inf")) == reads.ANSWER_S_MAX
