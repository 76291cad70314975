"""The transition tables: forward, back to waiting, never out of an end."""

from __future__ import annotations

import pytest

from suanmesh.scheduler.v1 import job_pb2, placement_pb2
from suanmesh_kernel.refusals import FailedPrecondition
from suanmesh_scheduler.domain.states import (
    JOB_ENDS,
    JOB_TRANSITIONS,
    ORDER,
    PLACEMENT_ENDS,
    PLACEMENT_TRANSITIONS,
    JobState,
    PlacementState,
    job_moved,
    job_state_of,
    placement_moved,
    reached,
)


def test_every_state_of_the_contract_has_a_row() -> None:
    """A state without a row would end a write in a crash."""
    jobs = {name.removeprefix("STATE_") for name in job_pb2.Job.State.DESCRIPTOR.values_by_name} - {"UNSPECIFIED"}
    placements = {name.removeprefix("STATE_") for name in placement_pb2.Placement.State.DESCRIPTOR.values_by_name}
    assert set(JOB_TRANSITIONS) == jobs
    assert set(PLACEMENT_TRANSITIONS) == placements - {"UNSPECIFIED", "HELD"}


@pytest.mark.parametrize("state", sorted(JOB_ENDS))
def test_an_ended_job_stays_as_it_ended(state: JobState) -> None:
    """A job that was billed as done must not run again."""
    for other in JobState:
        with pytest.raises(ValueError, match="cannot go"):
            job_moved(state, other)


@pytest.mark.parametrize("state", sorted(PLACEMENT_ENDS))
def test_an_ended_placement_stays_as_it_ended(state: PlacementState) -> None:
    """A late report must not revive what was given back; of a lost one, only what its tasks had come to is taken."""
    taken = {PlacementState.DELIVERING, PlacementState.FAILED} if state is PlacementState.LOST else set()
    for other in set(PlacementState) - taken:
        with pytest.raises(FailedPrecondition) as refused:
            placement_moved(state, other, "placements/p")
        assert refused.value.facts["state"] == state


def test_every_end_can_be_reached_from_every_state() -> None:
    """A placement that cannot be lost or cancelled holds its capacity for ever."""
    for state in set(PlacementState) - PLACEMENT_ENDS:
        for end in (PlacementState.FAILED, PlacementState.CANCELLED, PlacementState.LOST):
            assert placement_moved(state, end, "p") is end
    for state in set(JobState) - JOB_ENDS:
        assert job_moved(state, JobState.CANCELLED) is JobState.CANCELLED


@pytest.mark.parametrize("attempts_left", [True, False])
def test_a_job_can_follow_its_placement_from_anywhere_to_anywhere(attempts_left: bool) -> None:
    """The scheduler may have slept through any number of steps."""
    for was in set(PlacementState) - PLACEMENT_ENDS:
        for now in PlacementState:
            before, after = job_state_of(was, attempts_left=True), job_state_of(now, attempts_left=attempts_left)
            backwards = now in ORDER and ORDER.index(now) < ORDER.index(was)
            if before is not after and not backwards:
                assert job_moved(before, after) is after


def test_a_repeated_report_says_nothing_new() -> None:
    """Agents repeat what they said when a connection broke."""
    assert reached(PlacementState.RUNNING, PlacementState.ACCEPTED)
    assert reached(PlacementState.RUNNING, PlacementState.RUNNING)
    assert not reached(PlacementState.ACCEPTED, PlacementState.RUNNING)
    assert not reached(PlacementState.RUNNING, PlacementState.FAILED)


@pytest.mark.parametrize("state", [PlacementState.COMMITTED, PlacementState.ACCEPTED, PlacementState.STAGING])
@pytest.mark.parametrize("to", [PlacementState.RUNNING, PlacementState.DELIVERING])
def test_a_site_is_ahead_of_a_store_that_was_brought_back(state: PlacementState, to: PlacementState) -> None:
    """It said the steps between before the node was lost, and says them once: refused, the job would hang for ever."""
    assert placement_moved(state, to, "placements/a") is to
