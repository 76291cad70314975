"""The tasks of a job as its users see them, also those of which nothing has been reported."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from suanmesh.scheduler.v1 import job_pb2, placement_pb2
from suanmesh.scheduler.v1 import scheduler_service_pb2 as pb
from suanmesh_kernel.reasons import StateReason
from suanmesh_scheduler import wire
from suanmesh_scheduler.domain.states import JOB_ENDS, PLACEMENT_ENDS, PlacementState
from suanmesh_scheduler.task_blocks import TOLD_IN_PLACEMENT_MAX
from suanmesh_sdk.parameters import value_of
from suanmesh_sdk.state_reasons import reason_to

Result = placement_pb2.TaskResult
_AT_THE_END = {
    Result.STATE_RUNNING: Result.STATE_LOST,
    Result.STATE_RETRYING: Result.STATE_LOST,
    Result.STATE_QUEUED: Result.STATE_CANCELLED,
}
"""What has become of a task whose placement is over while it stood there."""


class TaskList:
    """The tasks of a job. Of so many only those are made that are looked at."""

    def __init__(
        self, job: job_pb2.Job, placement: placement_pb2.Placement | None, spilled: Mapping[int, Result]
    ) -> None:
        """`spilled` is what was reported of more tasks than the placement has room for."""
        self._job = job
        self._placement = placement
        reported = {result.index: result for result in placement.tasks} if placement is not None else {}
        beside = spilled and job.task.count > TOLD_IN_PLACEMENT_MAX
        self._results = spilled if beside or len(spilled) > len(reported) else reported
        self._over = wire.job_state(job) in JOB_ENDS
        if placement is not None:
            self._over = wire.placement_state(placement) in PLACEMENT_ENDS
        self._stopped_by = _stopped_by(job, placement)

    def indexes(self, states: Collection[int]) -> Iterator[int]:
        """Those of the tasks in one of `states`, in order; of all where none is named."""
        for index in range(max(1, self._job.task.count)):
            if not states or self._state(index) in states:
                yield index

    def task(self, index: int) -> pb.Task:
        """One of them, as its users see it."""
        placement, result = self._placement, Result(index=index)
        if (reported := self._results.get(index)) is not None:
            result.CopyFrom(reported)
        result.state = self._state(index)
        if result.state == Result.STATE_CANCELLED and (reported is None or reported.state == Result.STATE_QUEUED):
            result.ClearField("state_reason")
            if self._stopped_by:
                facts = {"task": str(index), "by": self._stopped_by}
                result.state_reason.CopyFrom(reason_to(StateReason("STOPPED_BY_TASK", facts)))
        return pb.Task(
            result=result,
            site=placement.site if placement is not None else "",
            attempt=max(1, placement.attempt) if placement is not None else 0,
            placement=placement.name if placement is not None else "",
            parameters={each.name: value_of(each, index) for each in self._job.task.parameters},
        )

    def _state(self, index: int) -> Result.State.ValueType:
        """Where its placement is over, nothing goes on, and what has not begun will not."""
        reported = self._results.get(index)
        state = Result.STATE_PENDING if reported is None else reported.state
        if not self._over:
            return state
        return _AT_THE_END.get(state, state) if reported is not None else Result.STATE_CANCELLED


def _stopped_by(job: job_pb2.Job, placement: placement_pb2.Placement | None) -> str:
    """The task whose failure kept others from being begun; empty where none did."""
    if placement is None or wire.placement_state(placement) is not PlacementState.FAILED:
        return ""
    keeps_going = job.task.on_failure == job_pb2.TaskSpec.ON_FAILURE_KEEP_GOING
    return "" if keeps_going else placement.state_reason.facts.get("task", "")
