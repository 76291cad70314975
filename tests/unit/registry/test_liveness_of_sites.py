"""Liveness: when a silent site is doubted, and when it is given up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suanmesh_registry.domain.expiry import Expiry
from suanmesh_registry.domain.liveness import Bounds, LeaseStatus, Liveness, is_mass
from suanmesh_registry.domain.liveness import judged as judged_alone

BOUNDS = Bounds(suspect_after_s=2, lost_after_s=30, mass_lost_after_s=120, mass_share=0.5)
ALIVE = LeaseStatus(Liveness.ALIVE, None)
LEVELS = (0, 1, 2, 29, 30, 31, 119, 120)
"""Seconds that pass: to the bounds, and beside them."""


def judged(statuses: Mapping[str, LeaseStatus], bounds: Bounds) -> dict[str, Liveness]:
    """What each site's liveness is, by looking at all of them."""
    waited_for = [status for status in statuses.values() if status.recorded is not Liveness.LOST]
    lapsed = sum(status.lapsed_s is not None for status in waited_for)
    mass = is_mass(lapsed, len(waited_for), bounds)
    return {name: judged_alone(status, bounds, mass=mass) for name, status in statuses.items()}


@dataclass(slots=True)
class Site:
    """A site as it really stands."""

    recorded: Liveness
    leased: bool
    lapsed_at: float = 0.0
    told: Liveness | None = None
    """What the expiry said of it last."""

    def status(self, now: float) -> LeaseStatus:
        return LeaseStatus(self.recorded, None if self.leased else now - self.lapsed_at)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("lease"), st.integers(0, 4), st.booleans()),
        st.tuples(st.just("record"), st.integers(0, 4), st.sampled_from(Liveness)),
        st.tuples(st.just("follow"), st.integers(0, 4), st.none()),
        st.tuples(st.just("leave"), st.integers(0, 4), st.none()),
        st.tuples(st.just("wait"), st.sampled_from(LEVELS), st.none()),
    ),
    max_size=40,
)


@given(STEPS)
def test_looking_at_few_tells_what_looking_at_all_would(steps: list[tuple[str, int, Any]]) -> None:
    """A site whose moment is missed is never given up, and its jobs wait for ever; one judged too early runs twice."""
    expiry, sites, now = Expiry(BOUNDS), {}, 0.0
    for kind, number, value in steps:
        name = f"sites/{number}"
        if kind == "wait":
            now += number
        elif kind == "leave":
            sites.pop(name, None)
            expiry.forget(name)
        else:
            site = sites.setdefault(name, Site(Liveness.ALIVE, leased=True))
            if kind == "lease" and site.leased is not value:
                site.leased, site.lapsed_at = value, now
            elif kind == "record":
                site.recorded = value
            elif kind == "follow" and site.told is not None:
                site.recorded = site.told
            expiry.observe(name, site.recorded, leased=site.leased, now=now)
        for told, liveness in expiry.judge(now).items():
            sites[told].told = liveness

        expected = judged({each: site.status(now) for each, site in sites.items()}, BOUNDS)
        assert {each: site.told for each, site in sites.items()} == expected


def test_sites_that_stand_are_not_looked_at() -> None:
    """Ten thousand sites looked at twice a second leave no time for anything else."""
    expiry = Expiry(BOUNDS)
    for number in range(1_000):
        expiry.observe(f"sites/{number}", Liveness.ALIVE, leased=True, now=0.0)
    assert len(expiry.judge(0.0)) == 1_000
    expiry.observe("sites/7", Liveness.ALIVE, leased=False, now=1.0)

    looked_at = [expiry.judge(now) for now in (1.0, 2.9, 3.0, 30.9, 31.0)]

    alive, suspect, lost = Liveness.ALIVE, Liveness.SUSPECT, Liveness.LOST
    assert looked_at == [{"sites/7": alive}, {}, {"sites/7": suspect}, {}, {"sites/7": lost}]


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
