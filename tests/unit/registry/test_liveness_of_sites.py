"""Liveness: when a silent site is doubted, and when it is given up."""

from __future__ import annotations

import pytest

from suanmesh_registry.domain.liveness import Bounds, LeaseStatus, Liveness, judged

BOUNDS = Bounds(suspect_after_s=2, lost_after_s=30, mass_lost_after_s=120, mass_share=0.5)
ALIVE = LeaseStatus(Liveness.ALIVE, None)


@pytest.mark.parametrize(
    ("recorded", "lapsed_s", "then"),
    [
        (Liveness.ALIVE, None, Liveness.ALIVE),
        (Liveness.SUSPECT, None, Liveness.ALIVE),
        (Liveness.LOST, None, Liveness.ALIVE),
        (Liveness.ALIVE, 1.9, Liveness.ALIVE),
        (Liveness.ALIVE, 2.0, Liveness.SUSPECT),
        (Liveness.SUSPECT, 0.0, Liveness.SUSPECT),
        (Liveness.SUSPECT, 30.0, Liveness.LOST),
        (Liveness.LOST, 0.0, Liveness.LOST),
    ],
)
def test_one_silent_site_among_many(recorded: Liveness, lapsed_s: float | None, then: Liveness) -> None:
    """A job on a dead site must move on in bounded time; one on a site that hiccups must not."""
    statuses = {"sites/a": LeaseStatus(recorded, lapsed_s), "sites/b": ALIVE, "sites/c": ALIVE}

    assert judged(statuses, BOUNDS)["sites/a"] is then


def test_many_at_once_are_suspected_longer() -> None:
    """When our own network breaks, half a mesh must not be declared dead and its jobs started twice."""
    silent = LeaseStatus(Liveness.SUSPECT, 60)
    statuses = {"sites/a": silent, "sites/b": silent, "sites/c": ALIVE}

    assert judged(statuses, BOUNDS)["sites/a"] is Liveness.SUSPECT


def test_many_at_once_are_given_up_in_the_end() -> None:
    """Suspicion is bounded: jobs must not wait for ever for a region that is gone."""
    silent = LeaseStatus(Liveness.SUSPECT, 120)

    assert set(judged({"sites/a": silent, "sites/b": silent}, BOUNDS).values()) == {Liveness.LOST}


def test_the_long_lost_do_not_shield_the_newly_silent() -> None:
    """Sites switched off for good must not make every later loss look like a partition."""
    gone = LeaseStatus(Liveness.LOST, 9_999)
    statuses = {"sites/a": gone, "sites/b": gone, "sites/c": LeaseStatus(Liveness.SUSPECT, 30), "sites/d": ALIVE}

    assert judged(statuses, BOUNDS)["sites/c"] is Liveness.LOST
