"""The next step of a job that has a placement: along the tables, to an end, and never for what has ended."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suanmesh_kernel.reasons import NO_REASON, StateReason
from suanmesh_scheduler.domain.lifecycle import (
    REFUSALS_MAX,
    SENDS_MAX,
    SITE_LOST,
    UNDELIVERED,
    Call,
    ForgetTrouble,
    JobFacts,
    MoveJob,
    MovePlacement,
    PlacementFacts,
    Results,
    Step,
    StopPlacement,
    TellJob,
    World,
    missed,
    next_step,
)
from suanmesh_scheduler.domain.states import (
    JOB_ENDS,
    PLACEMENT_ENDS,
    PLACEMENT_TRANSITIONS,
    JobState,
    PlacementState,
    job_moved,
    job_state_of,
)
from suanmesh_scheduler.lifecycle import STEPS_MAX

J, P = JobState, PlacementState
SITE = "sites/a"
ages = st.sampled_from([timedelta(0), timedelta(hours=1)])
LOST = StateReason(SITE_LOST, {"site": SITE})
QUEUED = StateReason("QUEUE_RESOURCES", {"said": "Resources"})
DEADLINE = datetime(2026, 1, 1, tzinfo=UTC)
CODES = ("EXIT_STATUS", "DISK_FULL", "DEFECT", UNDELIVERED)
reasons = st.sampled_from([NO_REASON, LOST, *map(StateReason, CODES)])
jobs = st.builds(
    JobFacts,
    st.sampled_from(J),
    reasons,
    st.integers(1, 3),
    st.integers(0, 3),
    st.integers(0, REFUSALS_MAX),
    st.booleans(),
    missed=st.none() | st.just(DEADLINE),
)
placements = st.builds(
    PlacementFacts, st.sampled_from(P), st.just(SITE), reasons, ages,
    st.booleans(), st.booleans(), st.booleans(), st.booleans(), ages,
    st.sampled_from([NO_REASON, QUEUED]),
)  # fmt: skip
outputs = reasons | st.just(StateReason(UNDELIVERED, cause=StateReason("SOURCE_LOST")))
worlds = st.builds(
    World,
    site_lost=st.booleans(),
    site_lost_for=ages,
    failed_input=reasons,
    failed_output=outputs,
    results=st.sampled_from(Results),
    sends=st.integers(1, SENDS_MAX),
)


def taken(job: JobFacts, placement: PlacementFacts, step: Step) -> tuple[JobFacts, PlacementFacts]:
    match step:
        case MoveJob():
            return replace(job, state=job_moved(job.state, step.to), reason=step.reason), placement
        case TellJob(reason):
            return replace(job, reason=reason), placement
        case MovePlacement(to, reason):
            assert to in PLACEMENT_TRANSITIONS[placement.state]
            return job, replace(placement, state=to, reason=reason)
        case StopPlacement():
            return job, replace(placement, stop_requested=True)
        case ForgetTrouble():
            return replace(job, reason=NO_REASON), placement
    raise AssertionError(f"{step} is no step of ours")


def behind(job: JobFacts, placement: PlacementFacts) -> bool:
    """Whether a job can be where it is: it has a place, and is not ahead of it."""
    order = [J.PLACED, J.STAGING, J.QUEUED, J.RUNNING, J.DELIVERING]
    if job.state not in order:
        return False
    if placement.state in PLACEMENT_ENDS:
        return True
    at = J.QUEUED if placement.queued_for else job_state_of(placement.state, attempts_left=True)
    return order.index(job.state) <= order.index(at)


@given(jobs, placements, worlds)
def test_every_step_leads_along_the_tables_and_they_come_to_a_stand(
    job: JobFacts, placement: PlacementFacts, world: World
) -> None:
    """A step that the tables forbid is a defect that stops the job; steps without end would stop all jobs."""
    if not behind(job, placement):
        return
    for _ in range(STEPS_MAX):
        step = next_step(job, placement, world)
        if step is None or isinstance(step, Call):
            break
        job, placement = taken(job, placement, step)
        if job.state in JOB_ENDS or job.state is J.PENDING:
            break
    else:
        raise AssertionError("no end")
    waits = job.reason.code == SITE_LOST  # for the site to come back
    assert waits or (placement.state in PLACEMENT_ENDS) == (job.state in JOB_ENDS or job.state is J.PENDING)


@pytest.mark.parametrize("before", [J.PLACED, J.STAGING])
def test_a_job_that_waits_in_the_queue_of_its_site_says_so_and_what_for(before: J) -> None:
    """A user who sees it placed, and nothing running, takes the site for broken."""
    waits = PlacementFacts(P.ACCEPTED if before is J.PLACED else P.STAGING, SITE, queued_for=QUEUED)
    assert next_step(JobFacts(before), waits, World()) == MoveJob(J.QUEUED, QUEUED)
    queued = JobFacts(J.QUEUED, QUEUED)
    assert next_step(queued, waits, World()) is None
    others = StateReason("QUEUE_PRIORITY")
    assert next_step(queued, replace(waits, queued_for=others), World()) == TellJob(others)
    assert next_step(queued, PlacementFacts(P.RUNNING, SITE), World()) == MoveJob(J.RUNNING)
    assert next_step(JobFacts(J.RUNNING), replace(waits, state=P.RUNNING), World()) is None


@given(jobs, placements, worlds)
def test_what_has_ended_takes_no_step(job: JobFacts, placement: PlacementFacts, world: World) -> None:
    """A bill that was sent would change."""
    ended = replace(job, state=J.DONE), replace(placement, state=P.DONE)
    assert next_step(*ended, world) is None


@given(placements)
def test_a_placement_of_a_job_that_has_ended_comes_to_its_end(placement: PlacementFacts) -> None:
    """Who took a job back while it was given a place would pay for its run."""
    cancelled = JobFacts(J.CANCELLED)
    while step := next_step(cancelled, placement, World()):
        assert not isinstance(step, Call)
        cancelled, placement = taken(cancelled, placement, step)
    assert cancelled == JobFacts(J.CANCELLED)
    assert placement.state in PLACEMENT_ENDS or placement.stop_requested


def test_a_job_without_results_elsewhere_is_done_when_its_tasks_are() -> None:
    """Each state on the way is told, without waiting for another look."""
    job, placement = JobFacts(J.RUNNING), PlacementFacts(P.DELIVERING, SITE)
    seen: list[str] = []
    while step := next_step(job, placement, World()):
        assert not isinstance(step, Call)
        job, placement = taken(job, placement, step)
        seen.append(f"{job.state} {placement.state}")
    assert seen == ["DELIVERING DELIVERING", "DELIVERING DONE", "DONE DONE"]


@pytest.mark.parametrize(("keeps_going", "then"), [(True, J.FAILED), (False, J.PENDING)])
def test_tasks_that_ended_well_are_not_run_again_for_one_that_did_not(keeps_going: bool, then: JobState) -> None:
    """A sweep of a thousand would be paid for three times because one of its values never works."""
    reason = StateReason("EXIT_STATUS", {"task": "3", "exit_status": "7", "failed": "1", "tasks": "1000"})
    job = JobFacts(J.DELIVERING, attempt=1, max_attempts=3, keeps_going=keeps_going)
    step = next_step(job, PlacementFacts(P.FAILED, SITE, reason, begun=True), World())
    assert isinstance(step, MoveJob)
    assert step.to is then
    lost = PlacementFacts(P.FAILED, SITE, StateReason("TASK_LOST", {"task": "3"}), begun=True)
    assert getattr(next_step(job, lost, World()), "to", None) is J.PENDING, "a site's fault is another's chance"


def test_results_are_sent_before_the_end_and_waited_for() -> None:
    """A user would find the job DONE and nothing delivered."""
    job, placement = JobFacts(J.DELIVERING), PlacementFacts(P.DELIVERING, SITE)
    assert next_step(job, placement, World(results=Results.UNSENT)) is Call.DELIVER
    assert next_step(job, placement, World(results=Results.UNDER_WAY)) is None
    failed = StateReason(UNDELIVERED, {"transfer": "transfers/t"})
    assert next_step(job, placement, World(failed_output=failed)) == MovePlacement(P.FAILED, failed)


def test_a_lost_site_comes_before_a_request_to_cancel() -> None:
    """The agent that should stop it cannot hear."""
    job = JobFacts(J.RUNNING, cancel_requested=True)
    step = next_step(job, PlacementFacts(P.RUNNING, SITE), World(site_lost=True))
    assert step == MovePlacement(P.LOST, LOST)


def test_a_job_without_another_attempt_waits_for_its_site() -> None:
    """A job of hours would be given up for half a minute without a network, and be charged."""
    job, placement, world = JobFacts(J.RUNNING), PlacementFacts(P.LOST, SITE, LOST, begun=True), World()
    assert next_step(job, placement, world) == TellJob(LOST)
    told = replace(job, reason=LOST)
    assert next_step(told, placement, world) is None
    late = replace(placement, ended_for=world.return_max)
    assert next_step(told, late, world) == MoveJob(J.FAILED, LOST, refused=True)
    asked = replace(told, cancel_requested=True)
    assert next_step(asked, placement, world) == MoveJob(J.CANCELLED, LOST, refused=True)


def test_a_job_that_may_be_placed_anew_does_not_wait() -> None:
    """Somebody has paid for a second attempt so that it begins when the first is lost."""
    step = next_step(JobFacts(J.RUNNING, max_attempts=2), PlacementFacts(P.LOST, SITE, LOST, begun=True), World())
    assert step == MoveJob(J.PENDING, LOST, refused=True, unplaced=True)


def test_a_site_that_comes_back_with_nothing_is_not_waited_for() -> None:
    """It has said that it stopped the run: nothing will come."""
    fenced = PlacementFacts(P.LOST, SITE, StateReason("FENCED", {"task": "0"}), begun=True)
    assert next_step(JobFacts(J.RUNNING), fenced, World()) == MoveJob(J.FAILED, fenced.reason, refused=True)


def test_results_wait_for_their_site_and_are_sent_again() -> None:
    """A run that ended well would be paid for twice because its results were on their way when the site went away."""
    failed = StateReason(UNDELIVERED, cause=StateReason("SOURCE_LOST"))
    job, placement = JobFacts(J.DELIVERING), PlacementFacts(P.DELIVERING, SITE, has_results=True)
    away = World(site_lost=True, failed_output=failed, results=Results.UNDER_WAY)
    assert next_step(job, placement, away) == TellJob(LOST)
    told = replace(job, reason=LOST)
    assert next_step(told, placement, away) is None
    assert next_step(told, placement, replace(away, site_lost_for=away.return_max)) == MovePlacement(P.LOST, LOST)
    back = replace(away, site_lost=False)
    assert next_step(told, placement, back) == ForgetTrouble()
    assert next_step(job, placement, back) is Call.DELIVER
    assert next_step(job, placement, replace(back, sends=SENDS_MAX)) == MovePlacement(P.FAILED, failed)


def test_a_job_that_every_site_refuses_is_given_up() -> None:
    """It would go from site to site for ever, and tell nobody."""
    refused = PlacementFacts(P.REFUSED, SITE, StateReason("DISK_FULL"))
    again = next_step(JobFacts(J.PLACED, refusals=REFUSALS_MAX - 2), refused, World())
    assert again == MoveJob(J.PENDING, StateReason("DISK_FULL"), refused=True, uncounted=True, unplaced=True)
    over = next_step(JobFacts(J.PLACED, refusals=REFUSALS_MAX - 1), refused, World())
    assert isinstance(over, MoveJob)
    assert (over.to, over.reason.code, over.unplaced) == (J.FAILED, "GIVEN_UP", False)


def test_inputs_are_staged_once_the_site_has_accepted() -> None:
    """Data would be moved, and paid for, to a site that refuses the job."""
    job = JobFacts(J.PLACED)
    assert next_step(job, PlacementFacts(P.COMMITTED, SITE, has_inputs=True), World()) is None
    assert next_step(job, PlacementFacts(P.ACCEPTED, SITE, has_inputs=True), World()) is Call.STAGE
    assert next_step(job, PlacementFacts(P.ACCEPTED, SITE), World()) is None


def test_a_job_that_waits_for_a_lost_site_may_hear_that_its_run_failed() -> None:
    """The site's report was refused as a defect of ours, again and again, since the job was waiting already."""
    assert job_moved(J.PENDING, job_state_of(P.FAILED, attempts_left=True)) is J.PENDING


@pytest.mark.parametrize("state", [P.COMMITTED, P.ACCEPTED, P.STAGING, P.RUNNING, P.DELIVERING])
def test_what_has_a_place_when_its_deadline_passes_is_stopped(state: PlacementState) -> None:
    """Its result is worth nothing any more, and would be paid for to the last second."""
    late = JobFacts(job_state_of(state, attempts_left=True), max_attempts=3, missed=DEADLINE)
    world = World(results=Results.UNDER_WAY)
    step = next_step(late, PlacementFacts(state, SITE), world)
    placement = PlacementFacts(P.CANCELLED, SITE, StateReason("CANCELLED"), stop_requested=True)
    if state in (P.COMMITTED, P.DELIVERING):
        assert step == MovePlacement(P.CANCELLED, missed(DEADLINE, state))
    else:
        assert step == StopPlacement()
        assert next_step(late, PlacementFacts(state, SITE, stop_requested=True), world) is None
    assert next_step(late, placement, world) == MoveJob(J.FAILED, missed(DEADLINE, late.state))


def test_a_deadline_that_has_passed_leaves_nothing_to_wait_for() -> None:
    """A job would be placed anew, or wait for its lost site, past the moment until which it was wanted."""
    late = JobFacts(J.RUNNING, max_attempts=3, missed=DEADLINE)
    why = missed(DEADLINE, J.RUNNING).after(LOST)
    for job in (late, replace(late, max_attempts=1)):
        step = next_step(job, PlacementFacts(P.LOST, SITE, LOST, begun=True), World())
        assert step == MoveJob(J.FAILED, why, refused=True)


def test_a_job_that_came_to_its_own_end_did_not_miss_its_deadline() -> None:
    """A report that is late by a second would take away a result that is there, or hide why a task failed."""
    arrived = PlacementFacts(P.DELIVERING, SITE)
    assert next_step(JobFacts(J.DELIVERING, missed=DEADLINE), arrived, World()) == MovePlacement(
        P.DONE, StateReason("DONE")
    )
    failed = PlacementFacts(P.FAILED, SITE, StateReason("EXIT_STATUS", {"exit_status": "3"}), begun=True)
    assert next_step(JobFacts(J.RUNNING, missed=DEADLINE), failed, World()) == MoveJob(J.FAILED, failed.reason)
    stopped = replace(failed, stop_requested=True)
    step = next_step(JobFacts(J.RUNNING, missed=DEADLINE), stopped, World())
    assert step == MoveJob(J.FAILED, missed(DEADLINE, J.RUNNING).after(failed.reason))


def test_a_job_that_is_cancelled_after_its_deadline_is_cancelled() -> None:
    """Who was told that the job is being cancelled finds it so."""
    asked = JobFacts(J.RUNNING, cancel_requested=True, missed=DEADLINE)
    step = next_step(asked, PlacementFacts(P.CANCELLED, SITE, StateReason("CANCELLED"), stop_requested=True), World())
    assert isinstance(step, MoveJob)
    assert step.to is J.CANCELLED
