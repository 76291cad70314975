"""Where a reservation may go, and what may be declared and asked for."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from suanmesh_kernel.money import Price
from suanmesh_kernel.refusals import AlreadyExists, InvalidArgument
from suanmesh_network_orchestrator.domain.declaration import require_changeable, require_declarable
from suanmesh_network_orchestrator.domain.paths import Missing, NoPath, Path
from suanmesh_network_orchestrator.domain.probes import Probe, Probes
from suanmesh_network_orchestrator.domain.reservations import (
    TRANSITIONS,
    Ask,
    Reservation,
    State,
    Use,
    booked,
    committed,
    held,
    refusal_for,
    released,
    require_valid_ask,
    settled,
)
from suanmesh_network_orchestrator.domain.topology import Link, LinkClass

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(seconds=9)
ASK = Ask("placements/p1", 0, "sites/a", "sites/b", 100)
PATH = Path(("links/l1", "links/l2"), 20, 500, "links/l1", 3)
LINK = Link(
    "links/l1", "sites/a", "exchanges/x", LinkClass.INTER, 1000, 10, 5, Price(1, 1024), ("duct-7",), "parties/n"
)
MOVING = Use("parties/acme", wanted=True)
ARRIVED = Use("parties/acme", wanted=False)


def a_reservation(state: State) -> Reservation:
    return replace(held(ASK, PATH, NOW), state=state)


@pytest.mark.parametrize(
    ("state", "token", "use", "expected"),
    [
        (State.HELD, True, None, State.HELD),
        (State.HELD, False, None, State.RELEASED),
        (State.HELD, True, MOVING, State.COMMITTED),
        (State.HELD, True, ARRIVED, State.RELEASED),
        (State.COMMITTED, True, MOVING, State.COMMITTED),
        (State.COMMITTED, False, MOVING, State.COMMITTED),
        (State.COMMITTED, False, ARRIVED, State.RELEASED),
        (State.COMMITTED, False, None, State.RELEASED),
        (State.RELEASED, False, None, State.RELEASED),
        (State.RELEASED, False, MOVING, State.RELEASED),
    ],
)
def test_a_reservation_goes_where_its_placement_has_gone(
    state: State, token: bool, use: Use | None, expected: State
) -> None:
    """A hold that outlives its job keeps others off the link; one that is dropped early breaks a promise."""
    after = settled(a_reservation(state), token_stands=token, use=use, now=LATER)
    assert after.state is expected
    assert (after.release_time == LATER) == (expected is State.RELEASED and state is not State.RELEASED)


def test_settling_twice_changes_nothing_more() -> None:
    """A reconciler that looks again must find nothing to do."""
    for state in State:
        for token in (True, False):
            for use in (None, MOVING, ARRIVED):
                once = settled(a_reservation(state), token_stands=token, use=use, now=LATER)
                assert settled(once, token_stands=token, use=use, now=LATER + timedelta(1)) == once


def test_a_released_reservation_never_comes_back() -> None:
    """Bandwidth given back may be promised to somebody else at once."""
    assert TRANSITIONS[State.RELEASED] == frozenset()
    with pytest.raises(ValueError, match="RELEASED"):
        committed(released(a_reservation(State.COMMITTED), NOW), "parties/acme")


def test_booking_and_releasing_add_up_to_nothing() -> None:
    """A release that gave back another amount than was booked would leak bandwidth or oversell it."""
    before = {"links/l1": 40}
    after = booked(before, PATH.links, 100)
    assert after == {"links/l1": 140, "links/l2": 100}
    assert booked(after, PATH.links, -100) == {"links/l1": 40, "links/l2": 0}


@pytest.mark.parametrize(
    ("field", "value"),
    [("index", -1), ("index", 64), ("rate_bps", 0), ("rate_bps", -5), ("max_latency_us", -1), ("target", "sites/a")],
)
def test_a_hold_that_makes_no_sense_is_refused_by_field(field: str, value: object) -> None:
    """A scheduler with a defect must see which field is wrong, not a hold of nothing."""
    with pytest.raises(InvalidArgument) as caught:
        require_valid_ask(replace(ASK, **{field: value}), field="items[3]")
    assert caught.value.facts["field"] == f"items[3].{field}"


def test_a_refusal_carries_the_numbers() -> None:
    """The scheduler's obstacle quotes them, and so does the user's screen."""
    full = refusal_for(ASK, NoPath(Missing.BANDWIDTH, "links/l2", available_bps=30))
    assert (full.code, full.reason) == ("RESOURCE_EXHAUSTED", "BANDWIDTH_EXHAUSTED")
    assert full.facts == {"link": "links/l2", "available_bps": "30", "needed_bps": "100"}
    slow = refusal_for(replace(ASK, max_latency_us=5), NoPath(Missing.LATENCY, least_latency_us=9))
    assert (slow.code, slow.reason, slow.facts["least_latency_us"]) == ("FAILED_PRECONDITION", "NO_PATH", "9")
    assert refusal_for(ASK, NoPath(Missing.DISCONNECTED)).reason == "NO_PATH"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "link/l1"),
        ("source", "parties/p"),
        ("target", "exchanges/"),
        ("target", "sites/a"),
        ("capacity_bps", 0),
        ("latency_us", -1),
        ("loss_ppm", 1_000_001),
        ("risk_groups", ("",)),
        ("owner", "nobody"),
        ("price.amount_micros", Price(2**63 - 1, 1)),
    ],
)
def test_a_link_that_cannot_be_is_refused_by_field(field: str, value: object) -> None:
    """An operator with a typing error must be told where it is."""
    with pytest.raises(InvalidArgument) as caught:
        require_declarable(replace(LINK, **{field.split(".")[0]: value}), field="links[0]")
    assert caught.value.facts["field"] == f"links[0].{field}"


def test_a_link_keeps_its_ends() -> None:
    """Reservations lie on it: turned round under them, they would hold bandwidth somewhere else."""
    require_declarable(LINK, field="links[0]")
    require_changeable(LINK, replace(LINK, capacity_bps=1, price=None))
    with pytest.raises(AlreadyExists) as caught:
        require_changeable(LINK, replace(LINK, target="sites/z"))
    assert caught.value.reason == "LINK_EXISTS"


def test_a_probe_counts_between_joined_ends_and_until_it_is_old() -> None:
    """A stale measurement must not move jobs, and a stranger's must not fill the memory."""
    probes = Probes(timedelta(seconds=60))
    fresh = Probe("sites/a", "sites/b", 300, NOW)
    joined = frozenset({("sites/a", "sites/b")})
    assert probes.take([fresh, Probe("sites/a", "sites/z", 9, NOW)], joined) == 1
    assert probes.rtt_us(NOW + timedelta(seconds=60)) == {("sites/a", "sites/b"): 300}
    assert probes.rtt_us(NOW + timedelta(seconds=61)) == {}
    assert probes.at("sites/a", "sites/b", NOW) == fresh
    probes.take([], frozenset())
    assert probes.at("sites/a", "sites/b", NOW) is None
