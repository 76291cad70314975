"""What a task finds in its environment, of its job and of itself."""

from __future__ import annotations

from pathlib import Path

from suanmesh.scheduler.v1 import job_pb2, placement_pb2
from suanmesh_agent.domain.tasks import TaskKey
from suanmesh_agent.wire import task_of


def test_each_task_has_its_value_and_all_have_the_jobs() -> None:
    """A sweep whose tasks are all the same task costs a hundred times what it tells."""
    work = placement_pb2.Work(
        count=2,
        variant=job_pb2.Variant(command=["true"]),
        environment={"MODEL": "small"},
        parameters=[
            job_pb2.Parameter(name="SEED", values=["5", "8"]),
            job_pb2.Parameter(name="BOTH", values=["x"], each=2),
        ],
    )
    placement = placement_pb2.Placement(name="placements/p", work=work)
    first, second = (task_of(placement, TaskKey("p", index, retry=index), (), Path("/nowhere")) for index in (0, 1))

    assert dict(first.variables) == {"MODEL": "small", "SUANMESH_PARAM_SEED": "5", "SUANMESH_PARAM_BOTH": "x"}
    assert dict(second.variables) == {"MODEL": "small", "SUANMESH_PARAM_SEED": "8", "SUANMESH_PARAM_BOTH": "x"}
    told = dict(second.environment)
    assert (told["SUANMESH_TASK_INDEX"], told["SUANMESH_RETRY"]) == ("1", "1")
    assert not {name for name, _ in second.variables} & {name for name, _ in second.environment}
