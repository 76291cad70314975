"""Every task of a job, as its users see it: before it has a place, while it runs, and once it is over; and its logs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from suanmesh.scheduler.v1 import job_pb2, placement_pb2
from suanmesh.scheduler.v1 import scheduler_service_pb2 as pb
from suanmesh.type.v1.state_reason_pb2 import StateReason
from suanmesh_kernel.refusals import InvalidArgument, NotFound, Refusal
from suanmesh_scheduler.settings import SchedulerSettings
from suanmesh_sdk.status import refusal_of
from suanmesh_store.layout import PLACEMENTS

Placement, Result = placement_pb2.Placement, placement_pb2.TaskResult
JobOf = Callable[..., job_pb2.Job]
MANY = 600
"""More tasks than a placement has room for the results of."""


async def listed(scheduler: Any, **asked: Any) -> list[pb.Task]:
    """All of them, page by page."""
    found: list[pb.Task] = []
    request = pb.ListTasksRequest(job="jobs/j", page_size=asked.pop("page_size", 100), **asked)
    while True:
        answer = await scheduler.user.scheduler.ListTasks(request)
        found += answer.tasks
        if not answer.next_page_token:
            return found
        request.page_token = answer.next_page_token


async def report(
    scheduler: Any,
    placement: placement_pb2.Placement,
    state: int,
    results: list[Result],
    counts: list[tuple[int, int]] | None = None,
) -> None:
    """What an agent tells; changes alone where it says how many tasks stand where."""
    told = pb.TaskReport(placement=placement.name, state=state, tasks=results, changes_only=counts is not None)
    for at, tasks in counts or []:
        told.task_counts.add(state=at, tasks=tasks)
    answer = await scheduler.agent(placement.site.removeprefix("sites/")).scheduler.ReportTasks(
        pb.ReportTasksRequest(reports=[told])
    )
    if answer.results[0].HasField("error"):
        raise refusal_of(answer.results[0].error)


async def test_a_sweep_is_told_of_task_by_task(scheduler: Any, job_of: JobOf) -> None:
    """Of six hundred tasks somebody looks for the one that failed, while the others run."""
    job = job_of(cpu_milli=1)
    job.ask.memory_bytes, job.task.count = 1024, MANY
    job.task.parameters.add(name="SEED", values=[str(seed) for seed in range(MANY)])
    await scheduler.submit_raw(job)
    placement = await scheduler.placed()
    before = await listed(scheduler, page_size=250)
    assert [task.result.index for task in before] == list(range(MANY))
    assert {task.result.state for task in before} == {Result.STATE_PENDING}
    await report(scheduler, placement, Placement.STATE_ACCEPTED, [])
    results = [Result(index=index, exit_status=0, state=Result.STATE_DONE) for index in range(500)]
    results[77] = Result(index=77, exit_status=3, state=Result.STATE_RETRYING, retries=1)
    await report(scheduler, placement, Placement.STATE_RUNNING, results)
    [failed] = await listed(scheduler, states=[Result.STATE_RETRYING])
    assert (failed.result.index, failed.result.exit_status, failed.result.retries) == (77, 3, 1)
    assert (failed.site, failed.attempt, failed.placement) == (placement.site, 1, placement.name)
    assert dict(failed.parameters) == {"SEED": "77"}
    assert len(await listed(scheduler, states=[Result.STATE_DONE])) == 499
    assert len(await listed(scheduler, states=[Result.STATE_PENDING])) == 100


async def test_changes_of_a_large_array_are_told_alone(scheduler: Any, job_of: JobOf) -> None:
    """Who watches ten thousand tasks wants to see one end when it does: telling all each time takes minutes."""
    job = job_of(cpu_milli=1)
    job.ask.memory_bytes, job.task.count = 1024, MANY
    await scheduler.submit_raw(job)
    placement = await scheduler.placed()
    await report(scheduler, placement, Placement.STATE_ACCEPTED, [])
    done, running = Result.STATE_DONE, Result.STATE_RUNNING
    await report(scheduler, placement, Placement.STATE_RUNNING, [Result(index=i, state=running) for i in range(20)])
    for first in range(0, 520, 40):
        changed = [Result(index=index, exit_status=0, state=done) for index in range(first, first + 40)]
        changed += [Result(index=index, state=running) for index in range(first + 40, first + 60)]
        counts = [(running, 20), (done, first + 40)]
        await report(scheduler, placement, Placement.STATE_RUNNING, changed, counts)
        stand = [task.result.state for task in await listed(scheduler, page_size=MANY)]
        assert stand == [*[done] * (first + 40), *[running] * 20, *[Result.STATE_PENDING] * (MANY - first - 60)]
        asked = pb.ListSitePlacementsRequest(site=placement.site)
        [live] = (await scheduler.user.scheduler.ListSitePlacements(asked)).placements
        assert (live.tasks_ended, live.tasks) == (first + 40, MANY)
    with pytest.raises(InvalidArgument, match="600 tasks"):
        await report(scheduler, placement, Placement.STATE_RUNNING, [Result(index=MANY)], [])
    lone = [Result(index=3, exit_status=1, state=Result.STATE_FAILED)]
    await report(scheduler, placement, Placement.STATE_RUNNING, lone, [(Result.STATE_FAILED, 1)])
    [failed] = await listed(scheduler, states=[Result.STATE_FAILED])
    assert (failed.result.index, failed.result.exit_status) == (3, 1)


@pytest.mark.parametrize("field", ["inputs[0].dataset", "inputs[0].mount", "outputs[0].output_id", "outputs[0].mount"])
async def test_placeholders_stand_for_values_in_result_folders_alone(scheduler: Any, job_of: JobOf, field: str) -> None:
    """A folder that is called `out-{lr}` in each task is nothing that a sweep's author wrote on purpose."""
    job = job_of(deliver_to="data")
    job.task.count = 2
    job.task.parameters.add(name="LR", values=["0.1", "0.2"])
    if not job.inputs:
        job.inputs.add(dataset="datasets/numbers", mount="in")
    place, name = field.split("[0].")
    setattr(getattr(job, place)[0], name, ("datasets/" if name == "dataset" else "") + "d-{lr}")
    refusal = refusal_of((await scheduler.submit_raw(job)).results[0].error)
    assert (refusal.reason, refusal.facts["field"]) == ("FIELD_INVALID", field)
    assert "{lr} stands for a value in task.result_folder alone" in refusal.message


async def test_nothing_goes_on_in_a_placement_that_is_over(scheduler: Any, job_of: JobOf) -> None:
    """A task that is shown as running at a site that was lost is waited for in vain."""
    job = job_of(deny_sites=["sites/data", "sites/far"])
    job.task.count = 3
    await scheduler.submit_raw(job)
    placement = await scheduler.placed()
    await report(scheduler, placement, Placement.STATE_ACCEPTED, [])
    states = (Result.STATE_DONE, Result.STATE_RUNNING)
    results = [Result(index=index, state=state) for index, state in enumerate(states)]
    await report(scheduler, placement, Placement.STATE_RUNNING, results)
    await scheduler.until_job(job_pb2.Job.STATE_RUNNING, "jobs/j")
    await scheduler.lose("near")
    await scheduler.until(PLACEMENTS, placement.name, lambda p: p.state == Placement.STATE_LOST)
    scheduler.clock.advance(SchedulerSettings().return_s_max + 1)  # the site is waited for, and does not come back
    await scheduler.until_job(job_pb2.Job.STATE_FAILED, "jobs/j")
    stand = [task.result.state for task in await listed(scheduler)]
    assert stand == [Result.STATE_DONE, Result.STATE_LOST, Result.STATE_CANCELLED]


async def test_what_waits_at_a_site_is_shown_with_why(scheduler: Any, job_of: JobOf) -> None:
    """Who sees a job placed and nothing running takes the site for broken, and submits it a second time."""
    job = job_of(deny_sites=["sites/data", "sites/far"])
    job.task.count = 2
    await scheduler.submit_raw(job)
    placement = await scheduler.placed()
    reason = StateReason(code="QUEUE_PRIORITY", facts={"said": "Priority"})
    waiting = [Result(index=index, state=Result.STATE_QUEUED, state_reason=reason) for index in range(2)]
    await report(scheduler, placement, Placement.STATE_ACCEPTED, waiting)
    queued = await listed(scheduler, states=[Result.STATE_QUEUED])
    assert [task.result.state_reason.code for task in queued] == ["QUEUE_PRIORITY"] * 2
    shown = await scheduler.until_job(job_pb2.Job.STATE_QUEUED, "jobs/j")
    assert shown.state_reason == reason
    found = await scheduler.user.scheduler.ListJobs(pb.ListJobsRequest(filter="state = QUEUED"))
    assert [each.name for each in found.jobs] == ["jobs/j"]
    await report(scheduler, placement, Placement.STATE_CANCELLED, waiting)
    assert {task.result.state for task in await listed(scheduler)} == {Result.STATE_CANCELLED}


async def test_a_job_leaves_the_queue_of_its_site_with_its_first_task(scheduler: Any, job_of: JobOf) -> None:
    """Who waits for a job follows its state: it must not stay behind what its tasks do, nor go back once they run."""
    job = job_of(deny_sites=["sites/data", "sites/far"])
    job.task.count = 2
    await scheduler.submit_raw(job)
    placement = await scheduler.placed()
    first, second = (Result(index=index, state=Result.STATE_QUEUED) for index in range(2))
    await report(scheduler, placement, Placement.STATE_ACCEPTED, [first, second])
    await scheduler.until_job(job_pb2.Job.STATE_QUEUED, "jobs/j", reason="QUEUE_SILENT")
    first.state_reason.code = "QUEUE_LIMIT"
    await report(scheduler, placement, Placement.STATE_ACCEPTED, [first, second])
    await scheduler.until_job(job_pb2.Job.STATE_QUEUED, "jobs/j", reason="QUEUE_LIMIT")
    first = Result(index=0, state=Result.STATE_RUNNING)
    first.start_time.GetCurrentTime()
    await report(scheduler, placement, Placement.STATE_RUNNING, [first, second])
    running = await scheduler.until_job(job_pb2.Job.STATE_RUNNING, "jobs/j")
    assert not running.state_reason.code
    assert [step.state for step in running.history].count(job_pb2.Job.STATE_QUEUED) == 1


async def test_the_log_of_a_run_before_is_read(scheduler: Any) -> None:
    """Why the first attempt failed is what somebody wants to know while the second runs."""
    await scheduler.submit(max_attempts=2)
    first = await scheduler.placed()
    await scheduler.report(first, Placement.STATE_ACCEPTED)
    tasks = [Result(index=0, exit_status=1, retries=2)]
    await scheduler.report(first, Placement.STATE_RUNNING, tasks=tasks)
    scheduler.peers.logs[first.name] = b"one"

    async def read(**asked: Any) -> bytes:
        request = pb.ReadJobLogsRequest(name="jobs/j", **asked)
        return b"".join([piece.content async for piece in scheduler.user.scheduler.ReadJobLogs(request)])

    assert await read(previous=True) == b"one(run 1)"
    await scheduler.report(first, Placement.STATE_FAILED, reason="EXIT_STATUS: 1")
    second = await scheduler.placed()
    assert second.name != first.name
    scheduler.peers.logs[second.name] = b"two"
    answers = [await read(), await read(attempt=1), await read(attempt=2), await read(previous=True)]
    assert answers == [b"two", b"one", b"two", b"one"]
    with pytest.raises(NotFound, match="ATTEMPT_UNKNOWN"):
        await read(attempt=3)


async def test_a_log_that_its_site_has_dropped_is_named(scheduler: Any) -> None:
    """A job failed at night; by the morning its site had run two hundred others, and nobody could tell why."""
    await scheduler.submit(max_attempts=2)
    first = await scheduler.placed()
    log = "datasets/j-log@1"
    await scheduler.report(first, Placement.STATE_ACCEPTED)
    await scheduler.report(first, Placement.STATE_RUNNING, tasks=[Result(index=0, exit_status=1, retries=1)])
    foreign = await scheduler.report(first, Placement.STATE_FAILED, "EXIT_STATUS", log_dataset="datasets/secret")
    assert refusal_of(foreign.error).facts["field"] == "log_dataset"
    await scheduler.report(first, Placement.STATE_FAILED, "EXIT_STATUS", log_dataset=log)
    second = await scheduler.placed()
    assert (await scheduler.job()).log_dataset == log
    await scheduler.report(second, Placement.STATE_FAILED, "EXIT_STATUS", log_dataset="datasets/j-log--2@1")
    job = await scheduler.until_job(job_pb2.Job.STATE_FAILED)
    assert (job.log_dataset, list(job.output_datasets)) == ("datasets/j-log--2@1", [])

    async def named(**asked: Any) -> str:
        with pytest.raises(Refusal) as refused:
            [
                piece
                async for piece in scheduler.user.scheduler.ReadJobLogs(pb.ReadJobLogsRequest(name="jobs/j", **asked))
            ]
        return f"{refused.value.facts['dataset']} {refused.value.facts['file']}"

    newest = f"{job.log_dataset} task-0.log"
    assert [await named(), await named(attempt=2), await named(setup=True)] == [
        newest,
        newest,
        newest.replace("task-0", "setup"),
    ]
    assert [await named(attempt=1), await named(previous=True)] == [f"{log} task-0.log"] * 2
    assert await named(attempt=1, previous=True) == f"{log} task-0.0.log"


async def test_tasks_that_never_began_say_for_whose_failure(scheduler: Any, job_of: JobOf) -> None:
    """Of a sweep that stopped at its first failure, somebody asks why task 2 was cancelled: he cancelled nothing."""
    job = job_of(cpu_milli=1, max_attempts=1)
    job.task.count = 3
    await scheduler.submit_raw(job)
    placement = await scheduler.placed()
    failed = Result(index=1, exit_status=3, state=Result.STATE_FAILED)
    told = pb.TaskReport(placement=placement.name, state=Placement.STATE_FAILED, tasks=[failed])
    told.reason.code = "EXIT_STATUS"
    told.reason.facts["task"] = "1"
    agent = scheduler.agent(placement.site.removeprefix("sites/"))
    await agent.scheduler.ReportTasks(pb.ReportTasksRequest(reports=[told]))
    await scheduler.until_job(job_pb2.Job.STATE_FAILED)
    tasks = await listed(scheduler)
    assert [task.result.state for task in tasks] == [
        Result.STATE_CANCELLED,
        Result.STATE_FAILED,
        Result.STATE_CANCELLED,
    ]
    assert [task.result.state_reason.code for task in tasks] == ["STOPPED_BY_TASK", "", "STOPPED_BY_TASK"]
    assert tasks[2].result.state_reason.facts["by"] == "1"


async def test_a_log_is_gone_on_with_in_the_same_run(scheduler: Any) -> None:
    """The site was lost while somebody read: the lines of the next attempt are no continuation of his."""
    await scheduler.submit(max_attempts=2)
    first = await scheduler.placed()
    scheduler.peers.logs[first.name] = b"one"
    request = pb.ReadJobLogsRequest(name="jobs/j")
    (piece,) = [piece async for piece in scheduler.user.scheduler.ReadJobLogs(request)]
    await scheduler.report(first, Placement.STATE_FAILED, reason="EXIT_STATUS: 1")
    second = await scheduler.placed()
    scheduler.peers.logs[second.name] = b"two"
    scheduler.peers.logs[first.name] += b" more"
    request.resume_token = piece.resume_token
    assert [piece.content async for piece in scheduler.user.scheduler.ReadJobLogs(request)] == [b" more"]
    await scheduler.submit("other")
    other = pb.ReadJobLogsRequest(name="jobs/other", resume_token=piece.resume_token)
    with pytest.raises(InvalidArgument) as refused:
        [piece async for piece in scheduler.user.scheduler.ReadJobLogs(other)]
    assert refused.value.facts["field"] == "resume_token"
