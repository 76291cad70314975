"""A sweep: one job whose tasks differ in their parameters, found again by its label."""

from __future__ import annotations

import pytest

from suanmesh.scheduler.v1 import job_pb2
from suanmesh.scheduler.v1 import scheduler_service_pb2 as scheduler
from suanmesh_local import trials
from suanmesh_sdk import Mesh

pytestmark = pytest.mark.mesh

CODE = """
import os
told = (os.environ[name] for name in ('MODEL', 'SUANMESH_PARAM_SEED', 'SUANMESH_TASK_INDEX'))
print(*told, file=open('out/values/told', 'w'))
"""


@pytest.mark.timeout(180)
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
