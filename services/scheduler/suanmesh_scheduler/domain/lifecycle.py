"""What becomes next of a job that has a placement: one step at a time, from what is known of both."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from suanmesh_kernel.reasons import NO_REASON, StateReason
from suanmesh_scheduler.domain.obstacles import moment
from suanmesh_scheduler.domain.states import (
    DRAINED,
    JOB_ENDS,
    JOB_TRANSITIONS,
    PLACEMENT_ENDS,
    JobState,
    PlacementState,
    counts,
    job_state_of,
    tells_trouble,
)

REFUSALS_MAX = 8
"""Sites that may refuse or lose a job before it fails."""
UNTAKEN = frozenset({PlacementState.REFUSED, PlacementState.EXPIRED, PlacementState.LOST})
"""Ends of a placement after which its site is tried again later, after all others."""
SETBACKS = UNTAKEN | {PlacementState.FAILED, PlacementState.PREEMPTED}
"""Ends after which the job is placed anew."""
BEFORE_RUNNING = frozenset({PlacementState.COMMITTED, PlacementState.ACCEPTED, PlacementState.STAGING})
SITE_LOST = "SITE_LOST"
"""Reason of a placement that was lost with its site, which may come back with what its tasks came to."""
AWAY = frozenset({"SOURCE_LOST", "SOURCE_UNREACHABLE"})
"""Reasons of transfers that are made again: the site that has the results may come back with them."""
SENDS_MAX = 6
"""So often a result is sent."""
UNDELIVERED = "DELIVERY_FAILED"
"""Reason of an end after which another run would be paid for and be delivered no better."""


FAILED_TASKS = "failed"
"""Fact of a reason that says how many tasks failed where others ended well, and have results."""


class Results(StrEnum):
    """How far results have come that are wanted elsewhere."""

    DONE = "DONE"
    """All have arrived, or none is wanted elsewhere."""
    UNSENT = "UNSENT"
    UNDER_WAY = "UNDER_WAY"


@dataclass(frozen=True, slots=True)
class JobFacts:
    """A job, as far as its next step goes; `attempt` counts the one under way."""

    state: JobState
    reason: StateReason = NO_REASON
    attempt: int = 1
    max_attempts: int = 1
    refusals: int = 0
    keeps_going: bool = False
    """Whether its tasks do not need each other: one that failed has been run again by itself."""
    cancel_requested: bool = False
    missed: datetime | None = None
    """Its deadline, where that has passed."""


@dataclass(frozen=True, slots=True)
class PlacementFacts:
    """A placement, as far as the next step goes; `begun` says that a task was told to have started."""

    state: PlacementState
    site: str
    reason: StateReason = NO_REASON
    age: timedelta = timedelta(0)
    begun: bool = False
    stop_requested: bool = False
    has_inputs: bool = False
    has_results: bool = False
    """Whether it delivers, or did."""
    ended_for: timedelta = timedelta(0)
    """How long ago it ended."""
    queued_for: StateReason = NO_REASON
    """What its tasks wait for in the site's own queue, where none has begun."""


@dataclass(frozen=True, slots=True)
class World:
    """What is known around them. A transfer that failed is the reason of a failure, with what it moved."""

    site_lost: bool = False
    site_draining: bool = False
    site_lost_for: timedelta = timedelta(0)
    failed_input: StateReason = NO_REASON
    failed_output: StateReason = NO_REASON
    results: Results = Results.DONE
    sends: int = 1
    """How often the results that have not arrived were sent."""
    accept_max: timedelta = timedelta(seconds=30)
    """How long an agent may take to accept or refuse."""
    return_max: timedelta = timedelta(minutes=10)
    """How long a lost site is waited for where it has results, or may have some and the job cannot be placed anew."""


@dataclass(frozen=True, slots=True)
class MoveJob:
    """The job goes to another state; where the placement came to nothing, `unplaced` waits for another place."""

    to: JobState
    reason: StateReason = NO_REASON
    refused: bool = False
    """The site is tried again later, after all others."""
    uncounted: bool = False
    """It was no attempt."""
    unplaced: bool = False


@dataclass(frozen=True, slots=True)
class ForgetTrouble:
    """A defect, or a wait for a person, that the job tells of has passed."""


@dataclass(frozen=True, slots=True)
class TellJob:
    """The job says why it stands still."""

    reason: StateReason


@dataclass(frozen=True, slots=True)
class MovePlacement:
    """The placement goes to another state."""

    to: PlacementState
    reason: StateReason


@dataclass(frozen=True, slots=True)
class StopPlacement:
    """The agent is asked to stop it."""


class Call(StrEnum):
    """A step for which others are asked."""

    STAGE = "STAGE"
    """Make the transfers of inputs that are not at the site, if there are any."""
    DELIVER = "DELIVER"
    """Hold the ways of results, then make their transfers."""


Step = MoveJob | TellJob | ForgetTrouble | MovePlacement | StopPlacement | Call


def next_step(job: JobFacts, placement: PlacementFacts, world: World) -> Step | None:
    """The one step to take now; None where there is nothing to do but wait."""
    if placement.state in PLACEMENT_ENDS:
        return None if job.state in JOB_ENDS else _ended(job, placement, world)
    if _is_lost(placement, world):
        return MovePlacement(PlacementState.LOST, StateReason(SITE_LOST, {"site": placement.site}))
    if job.cancel_requested or job.state in JOB_ENDS:  # it ended while the placement was committed
        return _stopped(placement, StateReason("CANCELLED", {"while": placement.state}))
    if job.missed is not None and not _has_arrived(placement, world):
        return _stopped(placement, missed(job.missed, placement.state))
    if world.site_draining and placement.state in BEFORE_RUNNING and not placement.begun:
        return MovePlacement(PlacementState.PREEMPTED, StateReason(DRAINED, {"site": placement.site}))
    if placement.state is PlacementState.COMMITTED and placement.age > world.accept_max:
        return MovePlacement(PlacementState.EXPIRED, StateReason("NOT_ACCEPTED", {"site": placement.site}))
    if placement.state is PlacementState.STAGING and world.failed_input:
        return MovePlacement(PlacementState.FAILED, world.failed_input)
    if follow := _followed(job, placement, world):
        return follow
    if placement.state is PlacementState.ACCEPTED and placement.has_inputs:
        return Call.STAGE
    return _delivered(job, placement, world) if placement.state is PlacementState.DELIVERING else None


def _is_lost(placement: PlacementFacts, world: World) -> bool:
    """Nothing runs any more where results are delivered: they are waited for."""
    return world.site_lost and (
        placement.state is not PlacementState.DELIVERING or world.site_lost_for >= world.return_max
    )


def missed(deadline: datetime, state: JobState | PlacementState) -> StateReason:
    """Why something ends whose deadline passed in that state."""
    return StateReason("DEADLINE_MISSED", {"deadline": moment(deadline), "while": state})


def _has_arrived(placement: PlacementFacts, world: World) -> bool:
    """Whether all has run and is where it is wanted: only nobody has said so yet."""
    return placement.state is PlacementState.DELIVERING and world.results is Results.DONE


def _stopped(placement: PlacementFacts, reason: StateReason) -> Step | None:
    """What no task runs of ends at once; the rest is the agent's to stop."""
    if placement.state in (PlacementState.COMMITTED, PlacementState.DELIVERING):
        return MovePlacement(PlacementState.CANCELLED, reason)
    return None if placement.stop_requested else StopPlacement()


def _followed(job: JobFacts, placement: PlacementFacts, world: World) -> Step | None:
    """The job goes where its placement is, and never back; trouble that has passed is not told any more."""
    target, reason = job_state_of(placement.state, attempts_left=True), NO_REASON
    if placement.queued_for and placement.state in BEFORE_RUNNING:
        target, reason = JobState.QUEUED, placement.queued_for
    if target in JOB_TRANSITIONS[job.state]:
        return MoveJob(target, reason)
    if target is job.state is JobState.QUEUED:
        return _told(job, reason)
    passed = tells_trouble(job.reason.code) or (job.reason.code == SITE_LOST and not world.site_lost)
    return ForgetTrouble() if passed else None


def _told(job: JobFacts, reason: StateReason) -> TellJob | None:
    return TellJob(reason) if job.reason != reason else None


def _delivered(job: JobFacts, placement: PlacementFacts, world: World) -> Step | None:
    """DONE when all results have arrived; the agent has said before where only some tasks ended well."""
    away = world.failed_output.names_any(AWAY) and world.sends < SENDS_MAX
    if world.failed_output and not away:
        return MovePlacement(PlacementState.FAILED, world.failed_output)
    if world.site_lost and world.results is not Results.DONE:
        return _told(job, StateReason(SITE_LOST, {"site": placement.site}))
    if away:
        return Call.DELIVER
    if world.results is not Results.DONE:
        return Call.DELIVER if world.results is Results.UNSENT else None
    if placement.reason:
        return MovePlacement(PlacementState.FAILED, placement.reason)
    return MovePlacement(PlacementState.DONE, StateReason("DONE"))


def _ended(job: JobFacts, placement: PlacementFacts, world: World) -> MoveJob | TellJob | None:
    """Where a placement's end leaves the job; what it held is free with its end."""
    state, reason = placement.state, placement.reason
    begun = placement.begun or job.state in (JobState.RUNNING, JobState.DELIVERING)
    counted = counts(state, reason, begun=begun)
    left = (not counted or job.attempt < max(1, job.max_attempts)) and reason.code != UNDELIVERED
    may_return = reason.code == SITE_LOST and not placement.has_results and placement.ended_for < world.return_max
    if may_return and not left and not job.cancel_requested and job.missed is None:
        return _told(job, reason)
    left = left and not (job.keeps_going and FAILED_TASKS in reason.facts)
    refused = state in UNTAKEN or (state is PlacementState.FAILED and not counted)
    target = job_state_of(state, attempts_left=left)
    if target is not JobState.DONE and job.cancel_requested:
        target = JobState.CANCELLED
    elif job.missed is not None and _is_late(placement, target):
        target, reason = JobState.FAILED, _after(missed(job.missed, job.state), placement)
    elif target is JobState.PENDING and job.refusals + refused >= REFUSALS_MAX:
        target = JobState.FAILED
        reason = StateReason("GIVEN_UP", {"placements": str(job.refusals + refused)}, reason)
    if target is JobState.CANCELLED and not reason:
        reason = StateReason("CANCELLED", {"while": job.state})
    uncounted = state in SETBACKS and not counted
    return MoveJob(target, reason, refused, uncounted, unplaced=target is JobState.PENDING)


def _is_late(placement: PlacementFacts, target: JobState) -> bool:
    """Whether an end after the deadline is its doing: not that of a job that came through, or failed by itself."""
    by_itself = placement.state is PlacementState.FAILED and not placement.stop_requested
    return target is not JobState.DONE and not (by_itself and target is JobState.FAILED)


def _after(reason: StateReason, placement: PlacementFacts) -> StateReason:
    """With what else befell the placement; that it was stopped for this says nothing new."""
    return reason if placement.state is PlacementState.CANCELLED else reason.after(placement.reason)
