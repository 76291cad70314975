"""Reservations: where each stands, what it may become, and what is booked of each link."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum

from suanmesh_kernel.names import last
from suanmesh_kernel.refusals import FailedPrecondition, ResourceExhausted, invalid_field
from suanmesh_network_orchestrator.domain.paths import Missing, NoPath, Path, Query

HOLD_INDEX_MAX = 63
"""Inputs of a placement come from at most 32 sites, and its results go to as many."""


class State(Enum):
    """Where a reservation stands; values are those of the contract."""

    HELD = 1
    COMMITTED = 2
    RELEASED = 3


TRANSITIONS: Mapping[State, frozenset[State]] = {
    State.HELD: frozenset({State.COMMITTED, State.RELEASED}),
    State.COMMITTED: frozenset({State.RELEASED}),
    State.RELEASED: frozenset(),
}


@dataclass(frozen=True, slots=True)
class Ask:
    """Bandwidth wanted on a path for one placement."""

    placement: str
    index: int
    source: str
    target: str
    rate_bps: int
    max_latency_us: int = 0

    @property
    def query(self) -> Query:
        """The path it needs."""
        return Query(self.source, self.target, self.rate_bps, self.max_latency_us)


@dataclass(frozen=True, slots=True)
class Reservation:
    """Bandwidth promised on a path; its links stay booked until it is released."""

    name: str
    placement: str
    source: str
    target: str
    path: Path
    rate_bps: int
    state: State
    create_time: datetime
    release_time: datetime | None = None
    party: str = ""


@dataclass(frozen=True, slots=True)
class Use:
    """What its placement needs a reservation for, as far as the placement is known."""

    party: str
    wanted: bool
    """Whether data may still have to come over the path."""


def reservation_name(placement: str, index: int) -> str:
    """One name per placement and index, so that the same hold asked for twice is one."""
    return f"reservations/{last(placement)}-{index}"


def index_of(reservation: Reservation) -> int:
    """Which of its placement's holds it is."""
    return int(last(reservation.name).rpartition("-")[2])


def held(ask: Ask, path: Path, now: datetime) -> Reservation:
    """The promise made to `ask`."""
    return Reservation(
        name=reservation_name(ask.placement, ask.index),
        placement=ask.placement,
        source=ask.source,
        target=ask.target,
        path=path,
        rate_bps=ask.rate_bps,
        state=State.HELD,
        create_time=now,
    )


def committed(reservation: Reservation, party: str) -> Reservation:
    """Its placement is committed for `party`."""
    return replace(_moved(reservation, State.COMMITTED), party=party)


def released(reservation: Reservation, now: datetime) -> Reservation:
    """Given back; its path keeps its links, as a record of what was promised."""
    return replace(_moved(reservation, State.RELEASED), release_time=now)


def answers(reservation: Reservation, ask: Ask) -> bool:
    """Whether it is what is asked for: the same ends, at the same rate."""
    return (reservation.source, reservation.target, reservation.rate_bps) == (ask.source, ask.target, ask.rate_bps)


def lapsed(reservation: Reservation) -> bool:
    """Whether it was given back without ever having been committed: its lease ended, and it may be held anew."""
    return reservation.state is State.RELEASED and not reservation.party


def settled(reservation: Reservation, *, token_stands: bool, use: Use | None, now: datetime) -> Reservation:
    """What the reservation is to become, given what is known; itself where it is right as it stands.

    `use` is None where no such placement is stored. A held one without its token was never committed and never will
    be: the commit compares the token's revision, and the token went with its lease.
    """
    if reservation.state is State.HELD:
        if use is not None:
            return settled(committed(reservation, use.party), token_stands=token_stands, use=use, now=now)
        return reservation if token_stands else released(reservation, now)
    if reservation.state is State.COMMITTED and (use is None or not use.wanted):
        return released(reservation, now)
    return reservation


def booked(before: Mapping[str, int], links: Iterable[str], change_bps: int) -> dict[str, int]:
    """What is reserved of each of `links` after each takes `change_bps` more."""
    return {link: before.get(link, 0) + change_bps for link in links}


def require_valid_ask(ask: Ask, *, field: str) -> None:
    """Raises InvalidArgument (`FIELD_INVALID`)."""
    if not 0 <= ask.index <= HOLD_INDEX_MAX:
        raise invalid_field(f"{field}.index", f"{ask.index} is not within 0 to {HOLD_INDEX_MAX}")
    if ask.rate_bps < 1:
        raise invalid_field(f"{field}.rate_bps", f"{ask.rate_bps} is not at least 1")
    if ask.max_latency_us < 0:
        raise invalid_field(f"{field}.max_latency_us", f"{ask.max_latency_us} is negative")
    if ask.source == ask.target:
        raise invalid_field(f"{field}.target", "a path joins two different sites")


def refusal_for(ask: Ask, obstacle: NoPath) -> FailedPrecondition | ResourceExhausted:
    """The obstacle as an answer to a hold."""
    ends = f"from {ask.source} to {ask.target}"
    if obstacle.missing is Missing.BANDWIDTH:
        return ResourceExhausted(
            "BANDWIDTH_EXHAUSTED",
            f"{obstacle.link} has {obstacle.available_bps} bit/s left, {ask.rate_bps} are asked for {ends}",
            link=obstacle.link,
            available_bps=obstacle.available_bps,
            needed_bps=ask.rate_bps,
        )
    if obstacle.missing is Missing.LATENCY:
        return FailedPrecondition(
            "NO_PATH",
            f"no path {ends} is faster than {obstacle.least_latency_us} us, {ask.max_latency_us} are allowed",
            least_latency_us=obstacle.least_latency_us,
            max_latency_us=ask.max_latency_us,
        )
    return FailedPrecondition("NO_PATH", f"no links lead {ends}", source=ask.source, target=ask.target)


def _moved(reservation: Reservation, state: State) -> Reservation:
    if state not in TRANSITIONS[reservation.state]:
        raise ValueError(f"{reservation.name} cannot go from {reservation.state.name} to {state.name}")
    return replace(reservation, state=state)
