"""What the mesh has been told of the tasks of a placement: of many only those are told again that have changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence, Set

from suanmesh.scheduler.v1 import placement_pb2
from suanmesh.scheduler.v1 import scheduler_service_pb2 as pb

TELL_S_MIN, TELL_S_PER_TASK = 2.0, 0.0005
"""How often it is reported what has become of a placement's tasks, at most; of many more rarely."""
TOLD_WHOLE_MAX = 100
"""Of so many tasks all are told each time: a report is small then, and needs none before it."""
Result = placement_pb2.TaskResult


class ToldTasks:
    """The results that were taken. The first report is of all that have begun: nothing is known of those before it."""

    def __init__(self, count: int, *, keep_going: bool) -> None:
        self.every_s = max(TELL_S_MIN, count * TELL_S_PER_TASK)
        self._whole = count <= TOLD_WHOLE_MAX
        ends = {Result.STATE_DONE, Result.STATE_FAILED} if keep_going else {Result.STATE_DONE}
        self._ends = frozenset() if self._whole else frozenset(ends)
        self._told: dict[int, Result] = {}
        self._settled: set[int] = set()

    @property
    def settled(self) -> Set[int]:
        """Tasks of which nothing else will be told: they need not be looked at."""
        return self._settled

    def report(self, stand: Sequence[Result]) -> pb.TaskReport | None:
        """What is to be told where tasks, all but the settled, stand so; None where that was told."""
        changed = [result for result in stand if self._told.get(result.index) != result]
        if not changed:
            return None
        if self._whole or not self._told:
            return pb.TaskReport(tasks=stand)
        states = {index: result.state for index, result in self._told.items()}
        counted = Counter((states | {result.index: result.state for result in changed}).values())
        counts = [placement_pb2.TaskCount(state=state, tasks=tasks) for state, tasks in sorted(counted.items())]
        return pb.TaskReport(tasks=changed, changes_only=True, task_counts=counts)

    def taken(self, report: pb.TaskReport) -> None:
        """A report is known to the mesh."""
        for result in report.tasks:
            self._told[result.index] = result
            if result.state in self._ends:
                self._settled.add(result.index)
