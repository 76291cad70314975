"""Results on their way to where they are wanted, behind the real wrapper."""

from __future__ import annotations

from typing import Any

from suanmesh.scheduler.v1 import job_pb2, placement_pb2
from suanmesh.transport.v1 import transfer_pb2
from suanmesh_kernel.refusals import FailedPrecondition, InvalidArgument, ResourceExhausted
from suanmesh_sdk.state_reasons import words
from suanmesh_sdk.status import refusal_of
from suanmesh_store.layout import TRANSFERS

Job, Placement, Transfer = job_pb2.Job, placement_pb2.Placement, transfer_pb2.Transfer


FULL = ResourceExhausted("BANDWIDTH_EXHAUSTED", "links/data-near has 0 bit/s left", link="links/data-near")


async def test_results_wait_for_a_way_home(scheduler: Any) -> None:
    """Results sent over a full link would take what others have reserved; given up they would be paid for in vain."""
    placement = await scheduler.bring(Job.STATE_RUNNING)
    scheduler.peers.refusals["hold_paths"] = [FULL] * 3
    await scheduler.deliver(placement)
    await scheduler.until_job(Job.STATE_DELIVERING, reason="links/data-near has 0 bit/s left")
    stem = placement.name.removeprefix("placements/")
    out = await scheduler.until(TRANSFERS, f"transfers/{stem}-out-0", lambda _: True)

    assert scheduler.peers.refusals["hold_paths"] == []
    assert out.reservation == f"reservations/{stem}-32"
    await scheduler.finish(placement, Job.STATE_DELIVERING)
    await scheduler.nothing_held()


async def test_a_defect_on_the_way_home_is_told_until_it_has_passed(scheduler: Any) -> None:
    """Results that go on must not look stuck, nor a job that met a defect stay so by the very telling of it."""
    placement = await scheduler.bring(Job.STATE_RUNNING)
    scheduler.peers.refusals["hold_paths"] = [ZeroDivisionError("a defect")]
    await scheduler.deliver(placement)
    await scheduler.until_job(Job.STATE_DELIVERING, reason="DEFECT")
    scheduler.clock.advance(5)
    await scheduler.until_told("jobs/j", lambda job: job.state == Job.STATE_DELIVERING and not job.state_reason.code)
    job = await scheduler.finish(placement, Job.STATE_DELIVERING)
    assert [step.state for step in job.history].count(Job.STATE_DELIVERING) == 1


async def test_results_do_not_wait_for_ever(scheduler: Any) -> None:
    """A way that never has room would keep the job's place and its money for good."""
    placement = await scheduler.bring(Job.STATE_RUNNING)
    scheduler.peers.refusals["hold_paths"] = [FULL] * 1_000_000
    await scheduler.deliver(placement)
    await scheduler.until_job(Job.STATE_DELIVERING, reason="WAITS_FOR_PATH")
    scheduler.clock.advance(86_401)
    await scheduler.until_job(Job.STATE_FAILED, reason="BANDWIDTH_EXHAUSTED")
    await scheduler.nothing_held()


async def test_a_site_cannot_send_off_what_the_job_has_not_made(scheduler: Any) -> None:
    """It would move, and have paid for, any dataset it can name, be it another party's."""
    placement = await scheduler.bring(Job.STATE_RUNNING)
    scheduler.add_dataset("secret", "near")
    result = await scheduler.report(
        placement, Placement.STATE_DELIVERING, output_datasets=["datasets/secret", "datasets/j-log"]
    )
    refusal = refusal_of(result.error)
    assert (refusal.reason, refusal.facts["field"]) == ("FIELD_INVALID", "output_datasets[0]")
    assert (await scheduler.job()).state == Job.STATE_RUNNING


async def test_results_that_no_link_leads_home_end_the_job(scheduler: Any) -> None:
    """A topology that changed meanwhile must not keep a job and its money for ever."""
    placement = await scheduler.bring(Job.STATE_RUNNING)
    scheduler.peers.refusals["hold_paths"] = [FailedPrecondition("NO_PATH", "no links lead from sites/near")]
    await scheduler.report(placement, Placement.STATE_DELIVERING, output_datasets=["datasets/j-out", "datasets/j-log"])
    job = await scheduler.until_job(Job.STATE_FAILED, reason="DELIVERY_FAILED")
    assert "NO_PATH" in words(job.state_reason)
    await scheduler.nothing_held()


async def test_a_way_home_whose_lease_lapsed_is_held_anew(scheduler: Any) -> None:
    """A hiccup of etcd between the hold and its commit must cost a moment, not the results."""
    placement = await scheduler.bring(Job.STATE_RUNNING)
    scheduler.peers.refusals["hold_paths"] = [FailedPrecondition("HOLD_LAPSED", "the lease has lapsed")]
    await scheduler.deliver(placement)
    await scheduler.finish(placement, Job.STATE_DELIVERING)
    await scheduler.nothing_held()


async def test_a_delivery_that_cannot_be_asked_for_ends_the_job(scheduler: Any) -> None:
    """Results wanted at a site there is none of would keep the job, its place and its money for ever."""
    placement = await scheduler.bring(Job.STATE_RUNNING)
    unknown = InvalidArgument("FIELD_INVALID", "target: there is no site sites/nowhere", field="target")
    scheduler.peers.refusals["create_transfers"] = [unknown]
    made = ["datasets/j-out", "datasets/j-log"]
    await scheduler.report(placement, Placement.STATE_DELIVERING, output_datasets=made)
    job = await scheduler.until_job(Job.STATE_FAILED)
    assert "sites/nowhere" in words(job.state_reason)
    await scheduler.nothing_held()


async def test_results_that_cannot_arrive_end_the_job_without_another_run(scheduler: Any) -> None:
    """It would stay DELIVERING for ever, or be run and paid for again and again for a site that is gone."""
    placement = await scheduler.bring(Job.STATE_DELIVERING)
    await scheduler.change_job("jobs/j", lambda j: setattr(j, "max_attempts", 3))
    stem = placement.name.removeprefix("placements/")

    def lose(message: transfer_pb2.Transfer) -> None:
        message.state, message.state_reason.code = Transfer.STATE_FAILED, "TARGET_LOST"

    await scheduler.until(TRANSFERS, f"transfers/{stem}-out-0", lambda _: True)
    await scheduler.change(TRANSFERS, f"transfers/{stem}-out-0", lose)
    job = await scheduler.until_job(Job.STATE_FAILED, reason="DELIVERY_FAILED")
    assert "TARGET_LOST" in words(job.state_reason)
    assert (job.attempt, list(job.output_datasets)) == (1, ["datasets/j-out", "datasets/j-log"])
    await scheduler.nothing_held()


async def test_what_some_tasks_have_made_arrives_before_the_job_fails_for_the_others(scheduler: Any) -> None:
    """The results of a sweep would stay behind, or a job with failed tasks would pass for done."""
    placement = await scheduler.bring(Job.STATE_RUNNING)
    made = ["datasets/j-out", "datasets/j-log"]
    await scheduler.report(placement, Placement.STATE_DELIVERING, "EXIT_STATUS", output_datasets=made)
    await scheduler.until_job(Job.STATE_DELIVERING)
    await scheduler.arrived(f"transfers/{placement.name.removeprefix('placements/')}-out-0")
    job = await scheduler.until_job(Job.STATE_FAILED, reason="EXIT_STATUS")
    assert list(job.output_datasets) == made
    await scheduler.nothing_held()


async def test_what_becomes_of_the_other_tasks_is_told_to_the_site(scheduler: Any, job_of: Any) -> None:
    """The agent would stop tasks that were to keep going; those of a gang cannot."""
    job = job_of()
    job.task.count, job.task.on_failure = 2, job_pb2.TaskSpec.ON_FAILURE_KEEP_GOING
    await scheduler.submit_raw(job)
    assert (await scheduler.placed()).work.on_failure == job_pb2.TaskSpec.ON_FAILURE_KEEP_GOING
    job.task.gang = True
    refusal = refusal_of((await scheduler.submit_raw(job, "k")).results[0].error)
    assert (refusal.reason, refusal.facts["field"]) == ("FIELD_INVALID", "task.on_failure")
