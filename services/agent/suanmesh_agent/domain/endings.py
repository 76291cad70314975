"""What a placement's tasks, together, have come to."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from suanmesh_agent.domain.starts import UNSTARTABLE
from suanmesh_agent.domain.tasks import TaskLook, TaskState
from suanmesh_kernel.reasons import NO_REASON, StateReason

FENCED = "FENCED"
"""Failure of a task whose site had no permission to run it any more."""
_BY_SIGNAL = 128
"""What is added to the number of a signal that ended a program, to have an exit status."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a placement's run ended."""

    reason: StateReason = NO_REASON
    """Why it failed; nothing where every task did what it should."""
    cancelled: bool = False
    delivered: tuple[int, ...] = ()
    """Tasks whose outputs are results: all of a run that ended well, none of most others."""
    lost: bool = False
    """Whether the site had to stop it, as one that is not heard does, or has nothing of a run that counts as lost."""

    def undelivered(self, reason: StateReason) -> Ending:
        """The same without results, for `reason`; what had failed the run before is still why."""
        return Ending(self.reason or reason, self.cancelled, lost=self.lost)

    def lacking(self, reason: StateReason) -> Ending:
        """The same, where `reason` says that some results cannot be delivered; the others are."""
        return replace(self, reason=self.reason or reason)

    @property
    def unbegun(self) -> bool:
        """Whether a task could not even be started: the site's fault, not the job's."""
        return self.reason.code == "TASK_NOT_STARTED"


_OF_THE_SITE = frozenset({FENCED, "SITE_STOPPED", "TASK_NOT_STARTED", "TASK_LOST"})
"""What the job did not do: it is run again, and its results are those of the next run."""

_STOPPED = frozenset({"CANCELLED", "TASK_NOT_STARTED"})
"""What becomes of tasks that are stopped, or not to be started any more."""


def ending(
    looks: Sequence[TaskLook], *, stop_requested: bool, keep_going: bool = False, counts_as_lost: bool = False
) -> Ending:
    """Judge tasks that are all over. A stop that was asked for wins, and what had ended well by then is delivered; else
    the first failure that is not a consequence.

    When one task of several fails, the others are stopped unless they are to keep going: their `CANCELLED` is a
    consequence, not a cause. What those that ended well have made is delivered, whatever the others did. Of a placement
    that the mesh counts as lost, tasks were stopped for that alone: only what they came to by themselves is an end that
    the mesh may still take.
    """
    failed = [(index, look) for index, look in enumerate(looks) if not look.succeeded]
    well = tuple(index for index, look in enumerate(looks) if look.succeeded)
    if stop_requested:
        return Ending(cancelled=True, delivered=well)
    if not failed:
        return Ending(delivered=well)
    reason = reason_of(*min(failed, key=lambda pair: (pair[1].failure == "CANCELLED", pair[0])))
    if counts_as_lost and reason.code in _STOPPED:
        reason = StateReason(FENCED, reason.facts)
    of_the_site = reason.code in _OF_THE_SITE
    if of_the_site or not (well or keep_going):
        return Ending(reason, lost=reason.code == FENCED or (counts_as_lost and of_the_site))
    by_themselves = sum(look.failure != "CANCELLED" and look.state is not TaskState.ABSENT for _, look in failed)
    counted = {**reason.facts, "failed": str(by_themselves), "tasks": str(len(looks))}
    return Ending(StateReason(reason.code, counted), delivered=well)


def stopper(looks: Mapping[int, TaskLook]) -> int | None:
    """The first task that failed by itself: the others are stopped for it, unless they keep going."""
    failed = (index for index, look in looks.items() if look.over and not look.succeeded)
    return next((index for index in failed if looks[index].failure != "CANCELLED"), None)


def reason_of(index: int, look: TaskLook, stopped_by: int | None = None) -> StateReason:
    """Why one task did not do what it should; `stopped_by` is the task that others were stopped for."""
    task = {"task": str(index)}
    if look.failure == "CANCELLED" and stopped_by is not None:
        return StateReason("STOPPED_BY_TASK", {**task, "by": str(stopped_by)})
    if look.failure in UNSTARTABLE.values():
        return StateReason(look.failure, {**task, "exit_status": str(look.exit_status)})
    if look.failure:
        return StateReason(look.failure, task | ({"memory_bytes": str(look.memory_bytes)} if look.memory_bytes else {}))
    if look.state is TaskState.ENDED:
        return StateReason("EXIT_STATUS", {**task, "exit_status": str(look.exit_status), **_signal(look.exit_status)})
    return StateReason("TASK_NOT_STARTED" if look.state is TaskState.ABSENT else "TASK_LOST", task)


def _signal(status: int | None) -> dict[str, str]:
    """The signal that a status stands for, as a shell has it; a program may mean another thing by it."""
    with suppress(ValueError):
        return {"signal": signal.Signals((status or 0) - _BY_SIGNAL).name}
    return {}
