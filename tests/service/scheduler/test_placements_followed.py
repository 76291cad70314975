"""From a committed placement to the job's end, whatever agents, sites and users do meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from google.rpc import code_pb2

from suanmesh.registry.v1 import site_pb2
from suanmesh.scheduler.v1 import job_pb2, placement_pb2, reason_pb2
from suanmesh.scheduler.v1 import scheduler_service_pb2 as pb
from suanmesh.transport.v1 import transfer_pb2
from suanmesh_chassis.identity import agent_id, user_id
from suanmesh_kernel.reasons import StateReason
from suanmesh_kernel.refusals import FailedPrecondition, NotFound, Refusal
from suanmesh_scheduler.settings import SchedulerSettings
from suanmesh_sdk.state_reasons import reason_from
from suanmesh_store.layout import PLACEMENTS, SITES, TRANSFERS

Job, Placement, Transfer = job_pb2.Job, placement_pb2.Placement, transfer_pb2.Transfer
Running = Callable[[], AbstractAsyncContextManager[Any]]
STATES = (Job.STATE_PLACED, Job.STATE_STAGING, Job.STATE_RUNNING, Job.STATE_DELIVERING)
NAMES = [Job.State.Name(state) for state in STATES]


async def test_a_job_runs_through_to_delivered_results(scheduler: Any) -> None:
    """The main chain: a step forgotten leaves a user waiting for results that are there."""
    placement = await scheduler.bring(Job.STATE_DELIVERING)
    job = await scheduler.finish(placement, Job.STATE_DELIVERING)
    stem = placement.name.removeprefix("placements/")
    moved = {held.name: held.message for held in (await scheduler.store.snapshot(TRANSFERS)).held}
    assert list(job.output_datasets) == ["datasets/j-out", "datasets/j-log"]
    assert [step.state for step in job.history] == [Job.STATE_PENDING, *STATES, Job.STATE_DONE]
    assert moved[f"transfers/{stem}-in-0"].rate_bps == placement.routes[0].rate_bps
    out = moved[f"transfers/{stem}-out-0"]
    way = (await scheduler.user.scheduler.GetPlacement(pb.GetPlacementRequest(name=placement.name))).output_routes[0]
    assert (out.source, out.target) == ("sites/near", "sites/data")
    assert (out.reservation, out.rate_bps) == (way.reservation, way.rate_bps)
    assert way.rate_bps > 0
    await scheduler.nothing_held()


async def test_a_refusal_sends_it_to_the_next_site(scheduler: Any) -> None:
    """One full disk would stop a job that another site would have run."""
    await scheduler.submit(inputs=["in"])
    first = await scheduler.placed()
    await scheduler.report(first, Placement.STATE_REFUSED, reason="DISK_FULL: no room for the inputs")
    second = await scheduler.placed(site="far")
    job = await scheduler.job()
    obstacles = {c.site: c.obstacle.code for c in (await scheduler.decision()).candidates}
    assert list(job.refused_by) == ["sites/near"]
    assert (job.attempt, second.attempt) == (1, 1), "a refusal uses up no attempt"
    assert obstacles["sites/near"] == reason_pb2.OBSTACLE_CODE_REFUSED_BY_SITE
    assert await scheduler.peers.standing("accounts/a") == 300


async def test_an_agent_that_does_not_answer_loses_the_job_to_the_next(scheduler: Any) -> None:
    """A hung agent would hold the job, its path and its money for ever."""
    await scheduler.submit()
    await scheduler.placed()
    scheduler.clock.advance(31)
    await scheduler.placed(site="far")


@pytest.mark.parametrize("state", STATES[:-1], ids=NAMES[:-1])
async def test_a_lost_site_s_job_goes_elsewhere_while_attempts_remain(scheduler: Any, state: int) -> None:
    """A power cut at one site would end what another could have finished."""
    placement = await scheduler.bring(state)
    await scheduler.change_job("jobs/j", lambda j: setattr(j, "max_attempts", 2))
    await scheduler.lose("near")
    again = await scheduler.placed(site="far")
    job = await scheduler.until_told("jobs/j", lambda j: j.placement == again.name)
    begun = state == Job.STATE_RUNNING
    assert (job.attempt, list(job.refused_by)) == (2 if begun else 1, ["sites/near"])
    lost = await scheduler.store.get(PLACEMENTS, placement.name)
    assert (lost.message.state, lost.message.replaced_by) == (Placement.STATE_LOST, again.name)
    assert await scheduler.peers.standing("links/data-near") == 0


@pytest.mark.parametrize("state", STATES[2:], ids=NAMES[2:])
async def test_a_lost_site_fails_the_job_when_no_attempt_remains(scheduler: Any, state: int) -> None:
    """A user would wait for ever for a site that is gone."""
    await scheduler.bring(state)
    await scheduler.lose("near")
    await scheduler.until_job(state, reason="SITE_LOST")
    scheduler.clock.advance(SchedulerSettings().return_s_max + 1)
    await scheduler.until_job(Job.STATE_FAILED, reason="SITE_LOST")
    await scheduler.nothing_held()


@pytest.mark.parametrize("state", [Job.STATE_PENDING, *STATES], ids=["STATE_PENDING", *NAMES])
async def test_cancelling_ends_it_in_every_state(scheduler: Any, state: int) -> None:
    """What cannot be stopped goes on costing."""
    if state == Job.STATE_PENDING:
        scheduler.peers.datasets["datasets/in"].ClearField("replicas")
    placement = await scheduler.bring(state)
    await scheduler.cancel()
    if state in (Job.STATE_STAGING, Job.STATE_RUNNING):
        await scheduler.until(PLACEMENTS, placement.name, lambda p: p.stop_requested)
        await scheduler.report(placement, Placement.STATE_CANCELLED, reason="CANCELLED: stopped")
    await scheduler.until_job(Job.STATE_CANCELLED)
    assert (await scheduler.cancel()).state == Job.STATE_CANCELLED, "cancelling a cancelled job changes nothing"
    await scheduler.nothing_held()


@pytest.mark.parametrize("state", STATES, ids=NAMES)
async def test_cancelling_on_a_site_that_is_lost_ends_it(scheduler: Any, state: int) -> None:
    """Nobody is left who could report the stop: the job would be cancelled for ever and never ended."""
    await scheduler.bring(state)
    await scheduler.cancel()
    await scheduler.lose("near")
    await scheduler.until_job(Job.STATE_CANCELLED)
    await scheduler.nothing_held()


async def test_a_job_cancelled_while_it_ran_says_so(scheduler: Any) -> None:
    """Whoever finds it in the list a week later asks what had happened to it."""
    placement = await scheduler.bring(Job.STATE_RUNNING)
    await scheduler.cancel()
    made = ["datasets/j-out", "datasets/j-log"]
    await scheduler.report(placement, Placement.STATE_CANCELLED, output_datasets=made)
    job = await scheduler.until_job(Job.STATE_CANCELLED)
    assert reason_from(job.state_reason) == StateReason("CANCELLED", {"while": "RUNNING"})
    assert list(job.output_datasets) == made, "what its tasks had made by then is to be found"


async def test_a_cancelled_job_whose_task_fails_is_cancelled(scheduler: Any) -> None:
    """A stopped task that exits badly would be tried again although nobody wants it."""
    placement = await scheduler.bring(Job.STATE_RUNNING)
    await scheduler.change_job("jobs/j", lambda j: setattr(j, "max_attempts", 3))
    await scheduler.cancel()
    await scheduler.report(placement, Placement.STATE_FAILED, reason="EXIT_STATUS: 143")
    await scheduler.until_job(Job.STATE_CANCELLED)


async def test_an_ended_job_cannot_be_cancelled(scheduler: Any) -> None:
    """A job that was billed as done must not turn into one that was not."""
    placement = await scheduler.bring(Job.STATE_DELIVERING)
    await scheduler.finish(placement, Job.STATE_DELIVERING)
    with pytest.raises(FailedPrecondition) as refused:
        await scheduler.cancel()
    assert refused.value.reason == "JOB_ENDED"


@pytest.mark.parametrize("state", STATES, ids=NAMES)
async def test_a_restarted_scheduler_goes_on_from_every_state(running: Running, state: int) -> None:
    """A scheduler that forgets what it was doing strands every job of the node."""
    async with running() as world:
        placement = await world.bring(state)
    async with running() as world:
        await world.finish(placement, state)
        await world.nothing_held()


async def test_a_restarted_scheduler_decides_what_waited(running: Running) -> None:
    """A job submitted just before a crash would never be looked at again."""
    async with running() as world:
        await world.submit(cpu_milli=6000)
        await world.until_job(Job.STATE_PENDING, reason="NO_PLACE")
    await world.add_site("big", price=1, cpu_milli=8000)
    async with running() as world:
        assert (await world.placed()).site == "sites/big"


async def test_a_lost_site_is_seen_after_a_restart(running: Running) -> None:
    """Sites fail while the scheduler is down as well."""
    async with running() as world:
        await world.bring(Job.STATE_RUNNING)
    await world.lose("near")
    async with running() as world:
        await world.until_job(Job.STATE_RUNNING, reason="SITE_LOST")


async def test_a_failed_transfer_sends_the_job_elsewhere_and_uses_up_no_attempt(scheduler: Any) -> None:
    """The task would wait for bytes that never come; and a full disk at the cheapest site would burn every attempt."""
    placement = await scheduler.bring(Job.STATE_STAGING)
    transfer = f"transfers/{placement.name.removeprefix('placements/')}-in-0"

    def fail(message: transfer_pb2.Transfer) -> None:
        message.state, message.state_reason.code = Transfer.STATE_FAILED, "SOURCE_GONE"

    await scheduler.change(TRANSFERS, transfer, fail)
    again = await scheduler.placed(site="far")
    job = await scheduler.until_told("jobs/j", lambda j: j.placement == again.name)
    assert (job.attempt, again.attempt) == (1, 1)
    assert any(reason_from(step.reason).names_any({"SOURCE_GONE"}) for step in job.history)


async def test_a_failed_task_is_tried_again_as_often_as_allowed(scheduler: Any) -> None:
    """A task that stumbles once would be lost, or one that always fails be paid for ever."""
    await scheduler.submit(max_attempts=2)
    for attempt in (1, 2):
        placement = await scheduler.placed()
        assert placement.attempt == attempt
        await scheduler.report(placement, Placement.STATE_ACCEPTED)
        await scheduler.report(placement, Placement.STATE_RUNNING)
        await scheduler.report(placement, Placement.STATE_FAILED, reason="EXIT_STATUS: 1")
    await scheduler.until_job(Job.STATE_FAILED, reason="EXIT_STATUS")
    await scheduler.nothing_held()


async def test_what_a_failed_attempt_cost_counts_against_the_budget(scheduler: Any) -> None:
    """Ten attempts of a job must not cost ten budgets; it waits, and says by how much more it would go on."""
    await scheduler.submit(max_attempts=3, budget_micros=350)
    placement = await scheduler.placed()
    await scheduler.report(placement, Placement.STATE_ACCEPTED)
    await scheduler.report(placement, Placement.STATE_RUNNING)
    scheduler.peers.charged["jobs/j"] = 200
    await scheduler.report(placement, Placement.STATE_FAILED, reason="EXIT_STATUS: task 0 ended with status 1")
    await scheduler.until_job(Job.STATE_PENDING, reason="NO_PLACE")
    obstacles = {c.site: c.obstacle for c in (await scheduler.decision()).candidates}
    assert obstacles["sites/near"].code == reason_pb2.OBSTACLE_CODE_BUDGET
    assert (obstacles["sites/near"].needed, obstacles["sites/near"].available) == (400, 350)


async def test_what_has_been_reported_is_taken_again_and_what_has_passed_is_not(scheduler: Any) -> None:
    """Agents repeat themselves after a broken connection; an old report must not turn back the clock."""
    placement = await scheduler.bring(Job.STATE_RUNNING)
    again = await scheduler.report(placement, Placement.STATE_ACCEPTED)
    assert again.placement.state == Placement.STATE_RUNNING
    refused = await scheduler.report(placement, Placement.STATE_REFUSED)
    assert "TRANSITION_NOT_ALLOWED" in str(refused.error)
    foreign = pb.ReportTasksRequest(reports=[pb.TaskReport(placement=placement.name, state=Placement.STATE_FAILED)])
    other = (await scheduler.agent("far").scheduler.ReportTasks(foreign)).results[0]
    assert "NOT_OWNER" in str(other.error)
    invented = await scheduler.report(placement, 99)
    assert "FIELD_INVALID" in str(invented.error)


async def test_an_agent_hears_of_its_placements_and_of_no_others(scheduler: Any) -> None:
    """An agent that misses a placement leaves the job to time out."""
    await scheduler.submit("first", allow_sites=["sites/near"])
    first = await scheduler.placed("jobs/first")
    await scheduler.submit("other", allow_sites=["sites/far"])
    await scheduler.placed("jobs/other")
    request = pb.WatchPlacementsRequest(site="sites/near")
    stream = scheduler.agent("near").scheduler.WatchPlacements(request)
    snapshot = await anext(aiter(stream))
    await scheduler.submit("second", allow_sites=["sites/near"])
    change = await anext(aiter(stream))
    assert snapshot.snapshot
    assert [p.name for p in snapshot.placements] == [first.name]
    assert [p.job for p in change.placements] == ["jobs/second"]


async def test_an_agent_hears_at_once_of_what_was_committed_together(scheduler: Any) -> None:
    """A message for each would cost a site that takes a hundred jobs at a time a hundred calls of its journal."""
    stream = aiter(scheduler.agent("near").scheduler.WatchPlacements(pb.WatchPlacementsRequest(site="sites/near")))
    assert (await anext(stream)).snapshot
    names = [f"many-{number}" for number in range(3)]
    items = [pb.SubmitJob(job_id=each, job=job) for each, job in scheduler.jobs(*names, allow_sites=["sites/near"])]
    await scheduler.user.scheduler.SubmitJobs(pb.SubmitJobsRequest(items=items))
    told = await anext(stream)
    assert sorted(placement.job for placement in told.placements) == [f"jobs/{name}" for name in names]


async def test_a_site_that_is_only_suspected_keeps_its_job(scheduler: Any) -> None:
    """A short network trouble would throw away hours of work."""
    placement = await scheduler.bring(Job.STATE_RUNNING)
    suspect = site_pb2.Site.LIVENESS_SUSPECT
    await scheduler.change(SITES, "sites/near", lambda s: setattr(s, "liveness", suspect))
    await scheduler.finish(placement, Job.STATE_RUNNING)


async def test_nobody_sees_another_party_s_job(scheduler: Any) -> None:
    """What one company computes is no business of another."""
    await scheduler.submit()
    stranger = scheduler.node.mesh(scheduler.address, caller=user_id("test", "rival", "eve"))
    with pytest.raises(NotFound) as refused:
        await stranger.scheduler.GetJob(pb.GetJobRequest(name="jobs/j"))
    assert refused.value.reason == "JOB_UNKNOWN"
    listed = await stranger.scheduler.ListJobs(pb.ListJobsRequest())
    assert not listed.jobs
    with pytest.raises(Refusal):
        await stranger.scheduler.CancelJob(pb.CancelJobRequest(name="jobs/j"))


async def test_a_log_is_read_from_the_site_that_has_it(scheduler: Any) -> None:
    """A user with a failing job looks at its log first."""
    await scheduler.submit()
    placement = await scheduler.placed()
    scheduler.peers.logs[placement.name] = b"epoch 1\n"
    pieces = [p.content async for p in scheduler.user.scheduler.ReadJobLogs(pb.ReadJobLogsRequest(name="jobs/j"))]
    assert b"".join(pieces) == b"epoch 1\n"


async def test_ended_jobs_are_still_found(running: Running) -> None:
    """A user would lose sight of what was paid for."""
    async with running() as world:
        for number in range(5):
            await world.submit(f"j{number}", cpu_milli=9000)
            await world.cancel(f"jobs/j{number}")
            await world.until_job(Job.STATE_CANCELLED, f"jobs/j{number}")
            world.clock.advance(1)
        await world.submit("fresh", cpu_milli=9000)
        pages, token = [], ""
        while token or not pages:
            request = pb.ListJobsRequest(page_size=2, page_token=token)
            answer = await world.user.scheduler.ListJobs(request)
            pages.append([job.name for job in answer.jobs])
            token = answer.next_page_token
        assert pages == [["jobs/fresh", "jobs/j4"], ["jobs/j3", "jobs/j2"], ["jobs/j1", "jobs/j0"]]
        assert (await world.job("jobs/j3")).state == Job.STATE_CANCELLED


async def refused_then_failed(world: Any, job_id: str = "j") -> tuple[placement_pb2.Placement, placement_pb2.Placement]:
    """A job that one site refuses and that fails at the next; its two placements."""
    name = f"jobs/{job_id}"
    await world.submit(job_id, deny_sites=["sites/data"])
    first = await world.placed(name, site="near")
    await world.report(first, Placement.STATE_REFUSED, reason="DISK_FULL: no room")
    second = await world.placed(name, site="far")
    await world.report(second, Placement.STATE_ACCEPTED)
    await world.report(second, Placement.STATE_FAILED, reason="EXIT_STATUS: 1")
    await world.until_job(Job.STATE_FAILED, name)
    return first, second


async def test_every_attempt_of_an_archived_job_is_still_found(scheduler: Any) -> None:
    """etcd would fill with refused attempts, or a provider lose the proof of what it ran."""
    first, second = await refused_then_failed(scheduler)
    await scheduler.peers.let_go()
    for placement in (first, second):
        await scheduler.archived(placement.name)
    assert not (await scheduler.store.snapshot(PLACEMENTS)).held
    get = scheduler.user.scheduler.GetPlacement
    assert (await get(pb.GetPlacementRequest(name=first.name))).state == Placement.STATE_REFUSED
    asked = pb.GetPlacementRequest(name=second.name)
    assert (await get(asked)).state == Placement.STATE_FAILED
    assert (await scheduler.agent("far").scheduler.GetPlacement(asked)).job == "jobs/j"
    for stranger in (user_id("test", "rival", "eve"), agent_id("test", "near")):
        with pytest.raises(NotFound, match="PLACEMENT_UNKNOWN"):
            await scheduler.node.mesh(scheduler.address, caller=stranger).scheduler.GetPlacement(asked)


async def test_the_log_of_an_archived_job_is_read_while_its_site_has_it(scheduler: Any) -> None:
    """Who comes back to a failed job the next morning looks at its log first."""
    _, second = await refused_then_failed(scheduler)
    await scheduler.peers.let_go()
    await scheduler.archived(second.name)
    scheduler.peers.logs[second.name] = b"epoch 1\n"
    pieces = [p.content async for p in scheduler.user.scheduler.ReadJobLogs(pb.ReadJobLogsRequest(name="jobs/j"))]
    assert b"".join(pieces) == b"epoch 1\n"


async def test_a_placement_stays_until_its_holds_are_given_back(scheduler: Any) -> None:
    """An owner that was away would never learn that it may let go: the money stays held for ever."""
    held, other = await refused_then_failed(scheduler)
    scheduler.clock.advance(4000)
    keys = [key for key in scheduler.peers.holds if other.name.removeprefix("placements/") in key]
    await scheduler.peers.accounting_store.delete_tokens(keys)
    await scheduler.archived(other.name)
    assert await scheduler.store.get(PLACEMENTS, held.name) is not None
    await scheduler.peers.let_go()
    await scheduler.archived(held.name)


async def test_a_job_is_watched_to_its_end(scheduler: Any) -> None:
    """`--wait` would hang although the job has ended."""
    await scheduler.submit()
    watching = scheduler.user.scheduler.WatchJob(pb.WatchJobRequest(name="jobs/j"))
    placement = await scheduler.placed()
    await scheduler.report(placement, Placement.STATE_REFUSED)
    await scheduler.cancel()
    seen = [Job.State.Name(job.state) async for job in watching]
    assert seen[-1] == "STATE_CANCELLED"


async def test_one_name_twice_in_a_call_is_refused(scheduler: Any, job_of: Callable[..., job_pb2.Job]) -> None:
    """A slip of the pen must not come back as an internal error."""
    items = [pb.SubmitJob(job_id="twin", job=job_of()) for _ in range(2)]
    answer = await scheduler.user.scheduler.SubmitJobs(pb.SubmitJobsRequest(items=items))
    assert answer.results[0].HasField("job")
    assert "JOB_EXISTS" in str(answer.results[1].error)


async def test_a_job_cannot_read_another_partys_data(scheduler: Any, job_of: Callable[..., job_pb2.Job]) -> None:
    """Whoever knows a dataset's name could have any site print it."""
    scheduler.peers.datasets["datasets/in"].party = "parties/another"
    result = (await scheduler.submit_raw(job_of(inputs=["in"]))).results[0]
    assert result.error.code == code_pb2.NOT_FOUND
