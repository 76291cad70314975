"""The tasks of a job as its users see them, also those of which nothing has been reported."""

from __future__ import annotations

from collections.abc import Iterator

from suanmesh.scheduler.v1 import job_pb2, placement_pb2
from suanmesh.scheduler.v1 import scheduler_service_pb2 as pb
from suanmesh_scheduler import wire
from suanmesh_scheduler.domain.states import JOB_ENDS, PLACEMENT_ENDS

Result = placement_pb2.TaskResult
_GOING_ON = (Result.STATE_RUNNING, Result.STATE_RETRYING)


def tasks_of(
    job: job_pb2.Job, placement: placement_pb2.Placement | None, spilled: placement_pb2.TaskResults | None
) -> Iterator[pb.Task]:
    """Every task in order; `spilled` is what was reported of more tasks than the placement has room for."""
    reported = list(placement.tasks) if placement is not None else []
    if spilled is not None and len(spilled.tasks) > len(reported):
        reported = list(spilled.tasks)
    results = {result.index: result for result in reported}
    over = wire.job_state(job) in JOB_ENDS
    if placement is not None:
        over = wire.placement_state(placement) in PLACEMENT_ENDS
    for index in range(max(1, job.task.count)):
        yield pb.Task(
            result=_standing(results.get(index), index, over=over),
            site=placement.site if placement is not None else "",
            attempt=max(1, placement.attempt) if placement is not None else 0,
            placement=placement.name if placement is not None else "",
            parameters={each.name: each.values[index] for each in job.task.parameters if index < len(each.values)},
        )


def _standing(reported: Result | None, index: int, *, over: bool) -> Result:
    """How one stands. Where its placement is over, nothing goes on, and what has not begun will not."""
    if reported is None:
        return Result(index=index, state=Result.STATE_CANCELLED if over else Result.STATE_PENDING)
    result = Result()
    result.CopyFrom(reported)
    if over and result.state in _GOING_ON:
        result.state = Result.STATE_LOST
    if over and result.state == Result.STATE_QUEUED:
        result.state = Result.STATE_CANCELLED
        result.ClearField("state_reason")
    return result
