"""Who is taken for silent, and who is not."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from suanmesh_sdk import Instance, InstanceState
from suanmesh_sdk.picking import elsewhere
from suanmesh_sdk.silence import PROBE_ROUND_TRIPS, PROBE_S, TICK_S, UNHEARD_S, UNMET_S, Hearing, Verdict

LOOKS_MAX = 200
A, B = Instance("a:1", leader=True), Instance("b:1")


def silent_after_s(hearing: Hearing) -> float:
    """Seconds of silence, looked at every TICK_S, until the peer is taken for silent; it is asked once before."""
    verdicts = []
    for look in range(1, LOOKS_MAX):
        verdicts.append(hearing.look(look * TICK_S, 0.0))
        if verdicts[-1] is Verdict.SILENT:
            assert verdicts.count(Verdict.PROBE) == 1
            return look * TICK_S
    raise AssertionError(verdicts)


def test_a_peer_that_was_quick_is_taken_for_silent_within_two_seconds() -> None:
    """The next write waits for it: three seconds are what all of it may take."""
    hearing = Hearing()
    hearing.heard(0.0, 0.01)
    assert UNHEARD_S + PROBE_S <= silent_after_s(hearing) <= 2.2


@given(round_trip_s=st.floats(0.001, 5.0))
def test_a_peer_far_away_has_the_time_that_its_line_takes(round_trip_s: float) -> None:
    """A gateway behind a satellite must not be left for its distance."""
    hearing = Hearing()
    hearing.heard(0.0, round_trip_s)
    assert silent_after_s(hearing) > PROBE_ROUND_TRIPS * round_trip_s


def test_a_peer_not_met_before_has_the_time_of_a_handshake() -> None:
    """One is under way perhaps, over a long line."""
    assert silent_after_s(Hearing()) > UNMET_S


@given(heard=st.lists(st.floats(0.0, UNHEARD_S * 0.9), min_size=1, max_size=20))
def test_whoever_says_anything_now_and_then_is_not_silent(heard: list[float]) -> None:
    """A slow call at a peer that answers others is no reason to make it twice."""
    hearing, now = Hearing(), 0.0
    for pause_s in heard:
        now += pause_s
        assert hearing.look(now, 0.0) is Verdict.NOTHING
        hearing.heard(now, 0.01)


def test_whoever_was_frozen_itself_reads_first_what_came_meanwhile() -> None:
    """A laptop that wakes would take everybody for silent."""
    hearing = Hearing()
    hearing.heard(0.0, 0.01)
    hearing.look(1.0, 0.5)
    assert [hearing.look(3600.0 + each * TICK_S, 0.5) for each in range(3)] == [Verdict.PROBE] + [Verdict.NOTHING] * 2


def test_a_leader_is_left_for_another_leader_alone() -> None:
    """What only the leader answers another instance would refuse."""
    assert not elsewhere([A, B], "a:1", led=True)
    assert elsewhere([A, B], "b:1", led=True)
    assert elsewhere([A, B], "a:1", led=False)
    assert not elsewhere([A], "a:1", led=False)


def test_one_that_drains_finishes_what_it_has() -> None:
    """A restart would make calls twice that are about to be answered."""
    draining = Instance("a:1", leader=False, state=InstanceState.DRAINING)
    assert not elsewhere([draining, Instance("b:1", leader=True)], "a:1", led=True)
