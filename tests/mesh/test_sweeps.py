"""A sweep: one job whose tasks differ in their parameters, found again by its label."""

from __future__ import annotations

import pytest

from suanmesh.scheduler.v1 import job_pb2, placement_pb2
from suanmesh.scheduler.v1 import scheduler_service_pb2 as scheduler
from suanmesh_local import trials
from suanmesh_sdk import Mesh

pytestmark = pytest.mark.mesh

CODE = """
import os
told = (os.environ[name] for name in ('MODEL', 'SUANMESH_PARAM_SEED', 'SUANMESH_TASK_INDEX'))
print(*told, file=open('out/values/told', 'w'))
"""


async def test_each_task_of_a_sweep_has_its_own_value(user: Mesh) -> None:
    """Three tasks that compute the same cost three times as much, and nobody sees it in the results."""
    described = trials.job(CODE, outputs=["values"])
    described.task.count = 3
    described.environment["MODEL"] = "small"
    described.task.parameters.add(name="SEED", values=["5", "8", "13"])
    described.labels["study"] = "seeds"
    name = await trials.submit(user, "sweep", described)

    job = await trials.ended(user, name)

    assert job.state == job_pb2.Job.STATE_DONE, job.state_reason
    told = [await trials.content(user, job.output_datasets[0], f"task-{index}/told") for index in range(3)]
    assert told == [b"small 5 0\n", b"small 8 1\n", b"small 13 2\n"]
    request = scheduler.ListJobsRequest(filter='labels.study = "seeds" AND state = "DONE"')
    assert [each.name for each in (await user.scheduler.ListJobs(request)).jobs] == [name]


FAILING = """
import os
index, retry = os.environ['SUANMESH_TASK_INDEX'], os.environ['SUANMESH_RETRY']
print(index, retry, file=open('out/values/told', 'w'))
raise SystemExit({('1', '0'): 75, ('2', '0'): 7}.get((index, retry), 0))
"""


async def test_a_failing_task_of_a_sweep_costs_its_own_result_and_no_other(user: Mesh) -> None:
    """Who runs a sweep over night wants to find all but one result in the morning, and which one that is."""
    described = trials.job(FAILING, outputs=["values"])
    described.task.count = 4
    described.task.on_failure = job_pb2.TaskSpec.ON_FAILURE_KEEP_GOING
    described.max_attempts = 1
    described.task.retry.times, described.task.retry.exit_statuses[:] = 1, [75]
    name = await trials.submit(user, "failing-sweep", described)

    job = await trials.ended(user, name)

    assert job.state == job_pb2.Job.STATE_FAILED
    assert (job.state_reason.code, dict(job.state_reason.facts)["exit_status"]) == ("EXIT_STATUS", "7")
    tasks = (await user.scheduler.ListTasks(scheduler.ListTasksRequest(job=name))).tasks
    stand = [(each.result.state, each.result.exit_status, each.result.retries, each.attempt) for each in tasks]
    done, failed = placement_pb2.TaskResult.STATE_DONE, placement_pb2.TaskResult.STATE_FAILED
    assert stand == [(done, 0, 0, 1), (done, 0, 1, 1), (failed, 7, 0, 1), (done, 0, 0, 1)]
    assert all(each.site and each.result.HasField("start_time") and each.result.HasField("end_time") for each in tasks)
    told = [await trials.content(user, job.output_datasets[0], f"task-{index}/told") for index in (0, 1, 3)]
    assert told == [b"0 0\n", b"1 1\n", b"3 0\n"]
