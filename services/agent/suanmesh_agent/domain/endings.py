"""What a placement's tasks, together, have come to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from suanmesh_agent.domain.tasks import TaskLook, TaskState
from suanmesh_kernel.reasons import NO_REASON, StateReason

FENCED = "FENCED"
"""Failure of a task whose site had no permission to run it any more."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a placement's run ended: well where there is no reason."""

    reason: StateReason = NO_REASON
    cancelled: bool = False

    @property
    def well(self) -> bool:
        """Whether every task did what it should."""
        return not self.reason and not self.cancelled

    @property
    def fenced(self) -> bool:
        """Whether the site had to stop it, as one that is not heard does: the run is lost, not failed."""
        return self.reason.code == FENCED

    @property
    def unbegun(self) -> bool:
        """Whether a task could not even be started: the site's fault, not the job's."""
        return self.reason.code == "TASK_NOT_STARTED"


def ending(looks: Sequence[TaskLook], *, stop_requested: bool) -> Ending:
    """Judge tasks that are all over. A stop that was asked for wins; else the first failure that is not a consequence.

    When one task of several fails, the others are stopped: their `CANCELLED` is a consequence, not a cause.
    """
    if stop_requested:
        return Ending(cancelled=True)
    failed = [(index, look) for index, look in enumerate(looks) if not look.succeeded]
    if not failed:
        return Ending()
    index, look = min(failed, key=lambda pair: (pair[1].failure == "CANCELLED", pair[0]))
    task = {"task": str(index)}
    if look.failure:
        return Ending(StateReason(look.failure, task))
    if look.state is TaskState.ENDED:
        return Ending(StateReason("EXIT_STATUS", {**task, "exit_status": str(look.exit_status)}))
    return Ending(StateReason("TASK_NOT_STARTED" if look.state is TaskState.ABSENT else "TASK_LOST", task))
