"""The circuit breaker of a site, as a rule over moments."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from suanmesh_kernel.reasons import StateReason
from suanmesh_scheduler.domain.breaker import BACKOFF_S_MAX, FAULTS_MAX, WINDOW_S, Circuit, barred, is_fault

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@given(st.integers(1, 200))
def test_the_wait_grows_and_has_a_bound(faults: int) -> None:
    """A site that is mended must be found out again in bounded time, however often it failed."""
    circuit = Circuit()
    for _ in range(faults):
        circuit = circuit.faulted(NOW, StateReason("DISK_FULL"))
    assert (circuit.retry_time is None) == (faults < FAULTS_MAX)
    if circuit.retry_time is not None:
        assert circuit.bars(NOW, trying=False)
        assert circuit.bars(NOW + timedelta(days=1), trying=True)
        assert not circuit.bars(NOW + timedelta(seconds=BACKOFF_S_MAX), trying=False)


def test_a_run_that_begins_closes_it_and_old_faults_are_forgotten() -> None:
    """Three faults in a year are no reason to leave a site alone."""
    circuit = Circuit(FAULTS_MAX, NOW, StateReason("DISK_FULL"))
    assert circuit.worked(NOW + timedelta(seconds=1)).retry_time is None
    assert circuit.worked(NOW - timedelta(seconds=1)) == circuit, "it began before"
    assert circuit.faulted(NOW + timedelta(seconds=WINDOW_S + 1), StateReason("DISK_FAULT")).faults == 1


def test_only_what_is_the_sites_doing_counts() -> None:
    """A hostile job must not have sites left alone by naming paths that nobody can lay out."""
    assert is_fault(StateReason("TRANSFER_FAILED", cause=StateReason("DISK_FULL")), begun=False)
    assert not is_fault(StateReason("TASK_NOT_STARTED"), begun=True)
    assert not is_fault(StateReason("LAYOUT_INVALID", {"detail": "a: DISK_FULL: b"}), begun=False)
    assert not is_fault(StateReason("CAPACITY_TAKEN"), begun=False)


def test_each_setback_at_a_site_keeps_it_away_longer() -> None:
    """A job would go back and forth between two sites that fail it."""
    after = NOW + timedelta(seconds=45)
    assert barred(["sites/a"], NOW, NOW) == {"sites/a"}
    assert barred(["sites/a", "sites/b", "sites/b"], NOW, after) == {"sites/b"}
