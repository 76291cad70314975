"""What a placement's tasks, together, have come to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from suanmesh_agent.domain.tasks import TaskLook, TaskState

FENCED = "FENCED"
"""Failure of a task whose site had no permission to run it any more."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a placement's run ended: well when `code` is empty."""

    code: str = ""
    sentence: str = ""
    cancelled: bool = False

    @property
    def well(self) -> bool:
        """Whether every task did what it should."""
        return not self.code and not self.cancelled

    @property
    def fenced(self) -> bool:
        """Whether the site had to stop it, as one that is not heard does: the run is lost, not failed."""
        return self.code == FENCED

    @property
    def unbegun(self) -> bool:
        """Whether a task could not even be started: the site's fault, not the job's."""
        return self.code == "TASK_NOT_STARTED"

    def __str__(self) -> str:
        return f"{self.code}: {self.sentence}"


_SENTENCES = {
    "TIMED_OUT": "ran for longer than the job allows",
    "OUT_OF_MEMORY": "took more memory than the job asked for",
    "PROCESSES_EXCEEDED": "had more processes and threads than the site allows",
    "SCRATCH_EXCEEDED": "wrote more bytes or files than the scratch disk the job asked for holds",
    "CANCELLED": "was stopped at the site",
    FENCED: "was stopped, because its site could not hear the mesh for too long",
}


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
    if look.failure:
        return Ending(look.failure, f"task {index} {_SENTENCES.get(look.failure, 'failed')}")
    if look.state is TaskState.ENDED:
        return Ending("EXIT_STATUS", f"task {index} ended with status {look.exit_status}")
    if look.state is TaskState.ABSENT:
        return Ending("TASK_NOT_STARTED", f"task {index} could not be started at the site")
    return Ending("TASK_LOST", f"task {index} was lost with its host")
