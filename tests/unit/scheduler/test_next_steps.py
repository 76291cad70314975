"""The next step of a job that has a placement: along the tables, to an end, and never for what has ended."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from suanmesh_kernel.reasons import NO_REASON, StateReason
from suanmesh_scheduler.domain.lifecycle import (
    REFUSALS_MAX,
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
    World,
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
reasons = st.sampled_from([NO_REASON, *map(StateReason, ("EXIT_STATUS", "DISK_FULL", "DEFECT", UNDELIVERED))])
jobs = st.builds(
    JobFacts,
    st.sampled_from(J),
    reasons,
    st.integers(1, 3),
    st.integers(0, 3),
    st.integers(0, REFUSALS_MAX),
    st.booleans(),
)
placements = st.builds(
    PlacementFacts, st.sampled_from(P), st.just(SITE), reasons, st.sampled_from([timedelta(0), timedelta(hours=1)]),
    st.booleans(), st.booleans(), st.booleans(),
)  # fmt: skip
worlds = st.builds(World, st.booleans(), reasons, reasons, st.sampled_from(Results))


def taken(job: JobFacts, placement: PlacementFacts, step: Step) -> tuple[JobFacts, PlacementFacts]:
    match step:
        case MoveJob():
            return replace(job, state=job_moved(job.state, step.to), reason=step.reason), placement
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
    order = [J.PLACED, J.STAGING, J.RUNNING, J.DELIVERING]
    if job.state not in order:
        return False
    if placement.state in PLACEMENT_ENDS:
        return True
    return order.index(job.state) <= order.index(job_state_of(placement.state, attempts_left=True))


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
    assert (placement.state in PLACEMENT_ENDS) == (job.state in JOB_ENDS or job.state is J.PENDING)


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
    assert step == MovePlacement(P.LOST, StateReason("SITE_LOST", {"site": SITE}))


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
