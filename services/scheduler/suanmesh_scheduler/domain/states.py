"""The transition tables of jobs and placements, checked on every write, and how a job follows its placement."""

from __future__ import annotations

from enum import StrEnum

from suanmesh_kernel.reasons import StateReason
from suanmesh_kernel.refusals import FailedPrecondition, Refusal
from suanmesh_scheduler.domain.breaker import SITE_FAULTS


class JobState(StrEnum):
    """Where a job stands."""

    PENDING = "PENDING"
    PLACED = "PLACED"
    STAGING = "STAGING"
    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    DELIVERING = "DELIVERING"
    DONE = "DONE"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class PlacementState(StrEnum):
    """Where a placement stands."""

    COMMITTED = "COMMITTED"
    ACCEPTED = "ACCEPTED"
    STAGING = "STAGING"
    RUNNING = "RUNNING"
    DELIVERING = "DELIVERING"
    DONE = "DONE"
    FAILED = "FAILED"
    REFUSED = "REFUSED"
    CANCELLED = "CANCELLED"
    PREEMPTED = "PREEMPTED"
    EXPIRED = "EXPIRED"
    LOST = "LOST"


J, P = JobState, PlacementState

_JOB_ENDS = frozenset({J.FAILED, J.CANCELLED})
JOB_TRANSITIONS: dict[JobState, frozenset[JobState]] = {
    J.PENDING: _JOB_ENDS | {J.PENDING, J.PLACED, J.DELIVERING, J.DONE},
    J.PLACED: _JOB_ENDS | {J.PENDING, J.STAGING, J.QUEUED, J.RUNNING, J.DELIVERING, J.DONE},
    J.STAGING: _JOB_ENDS | {J.PENDING, J.QUEUED, J.RUNNING, J.DELIVERING, J.DONE},
    J.QUEUED: _JOB_ENDS | {J.PENDING, J.RUNNING, J.DELIVERING, J.DONE},
    J.RUNNING: _JOB_ENDS | {J.PENDING, J.DELIVERING, J.DONE},
    J.DELIVERING: _JOB_ENDS | {J.PENDING, J.DONE},
    J.DONE: frozenset(),
    J.FAILED: frozenset(),
    J.CANCELLED: frozenset(),
}
"""A job goes forward with its placement, falls back to PENDING when that is refused or lost; an end is an end.

From PENDING it delivers where a lost site comes back with what it had run, and waits on where that came to nothing.
"""

_PLACEMENT_ENDS = frozenset({P.FAILED, P.CANCELLED, P.PREEMPTED, P.LOST})
PLACEMENT_TRANSITIONS: dict[PlacementState, frozenset[PlacementState]] = {
    P.COMMITTED: _PLACEMENT_ENDS | {P.ACCEPTED, P.RUNNING, P.DELIVERING, P.REFUSED, P.EXPIRED},
    P.ACCEPTED: _PLACEMENT_ENDS | {P.STAGING, P.RUNNING, P.DELIVERING, P.REFUSED},
    P.STAGING: _PLACEMENT_ENDS | {P.RUNNING, P.DELIVERING, P.REFUSED},
    P.RUNNING: _PLACEMENT_ENDS | {P.DELIVERING},
    P.DELIVERING: _PLACEMENT_ENDS | {P.DONE},
    P.LOST: frozenset({P.DELIVERING, P.FAILED}),
} | {end: frozenset() for end in (P.DONE, P.FAILED, P.REFUSED, P.CANCELLED, P.PREEMPTED, P.EXPIRED)}
"""A placement goes forward; every state but an end may end early. What its site says may skip steps: those between were
told before a store of an earlier moment was brought back. LOST is an end that is taken back where the site comes back
with what its tasks came to, and nobody has taken its place."""

PLACEMENT_ENDS = frozenset(state for state, then in PLACEMENT_TRANSITIONS.items() if not then) | {P.LOST}
JOB_ENDS = frozenset(state for state, then in JOB_TRANSITIONS.items() if not then)
ORDER = (P.COMMITTED, P.ACCEPTED, P.STAGING, P.RUNNING, P.DELIVERING, P.DONE)

DRAINED = "SITE_DRAINING"
BEFORE_THE_RUN = SITE_FAULTS | {"TRANSFER_FAILED", DRAINED}
"""Codes of ends that use up no attempt where no task has begun."""

HOLDING = frozenset(P) - PLACEMENT_ENDS - {P.DELIVERING}
"""States in which a placement takes capacity: its tasks are over before it delivers."""

REPORTABLE = frozenset({P.ACCEPTED, P.REFUSED, P.RUNNING, P.DELIVERING, P.FAILED, P.CANCELLED, P.LOST})
"""What an agent may say of its placements; LOST where it had to stop what it ran because it did not hear the mesh."""


def placement_moved(state: PlacementState, to: PlacementState, name: str) -> PlacementState:
    """The next state of a placement. Raises FailedPrecondition (`TRANSITION_NOT_ALLOWED`)."""
    if to not in PLACEMENT_TRANSITIONS[state]:
        message = f"{name} is {state} and cannot become {to}"
        raise FailedPrecondition("TRANSITION_NOT_ALLOWED", message, name=name, state=state, to=to)
    return to


def job_moved(state: JobState, to: JobState) -> JobState:
    """The next state of a job. Raises ValueError where the table does not lead there."""
    if to not in JOB_TRANSITIONS[state]:
        raise ValueError(f"a job cannot go from {state} to {to}")
    return to


def reached(state: PlacementState, reported: PlacementState) -> bool:
    """Whether a report says nothing new: the placement is there or beyond."""
    if state is reported:
        return True
    return state in ORDER and reported in ORDER and ORDER.index(state) > ORDER.index(reported)


def counts(state: PlacementState, reason: StateReason, *, begun: bool) -> bool:
    """Whether a placement that came to nothing was an attempt: only where a task of it has begun, as far as was told.

    What ends before that for a reason of the site's, or of the way there, is not the job's doing.
    """
    if state in (P.REFUSED, P.EXPIRED):
        return False
    return begun or (state is not P.LOST and not reason.names_any(BEFORE_THE_RUN))


def job_state_of(state: PlacementState, *, attempts_left: bool) -> JobState:
    """Where a job stands by its placement; refused, expired or lost it waits for another place while it may."""
    forward = {
        P.COMMITTED: J.PLACED,
        P.ACCEPTED: J.PLACED,
        P.STAGING: J.STAGING,
        P.RUNNING: J.RUNNING,
        P.DELIVERING: J.DELIVERING,
        P.DONE: J.DONE,
        P.CANCELLED: J.CANCELLED,
        P.REFUSED: J.PENDING,
        P.EXPIRED: J.PENDING,
        P.PREEMPTED: J.PENDING,
    }
    return forward.get(state) or (J.PENDING if attempts_left else J.FAILED)


FOR_A_PERSON = frozenset({"DISK_FULL", "STORE_CORRUPT", "CLOCK_SKEWED"})
"""Reasons of another area, or of our own store, that do not pass until somebody does something."""
_TROUBLE = frozenset({"DEFECT", "WAITS_FOR_REPAIR"})


def wait_reason(refusal: Refusal) -> StateReason:
    """What a job says that waits for a person: whose trouble it is, and which."""
    area = refusal.facts.get("area", "scheduler")
    return StateReason("WAITS_FOR_REPAIR", {"area": area}, StateReason.of(refusal))


def tells_trouble(code: str) -> bool:
    """Whether a job's reason tells of a defect or of a wait for a person, which is not told once it has passed."""
    return code in _TROUBLE
