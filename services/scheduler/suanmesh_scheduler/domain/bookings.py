"""What live placements hold of a site, and what that leaves free."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from suanmesh_kernel.quantities import Capacity
from suanmesh_scheduler.domain.values import Host


@dataclass(frozen=True, slots=True)
class Booked:
    """What one placement holds on a pool."""

    placement: str
    pool: str
    hosts: tuple[tuple[str, int], ...]
    per_task: Capacity
    party: str = ""


def held_by_party(booked: Iterable[Booked]) -> dict[str, Capacity]:
    """What the work of each party holds together."""
    held: dict[str, Capacity] = {}
    for booking in booked:
        tasks = sum(count for _, count in booking.hosts)
        held[booking.party] = held.get(booking.party, Capacity()).plus(booking.per_task.times(tasks))
    return held


def free_hosts(pool: str, capacities: Iterable[tuple[str, Capacity]], booked: Iterable[Booked]) -> tuple[Host, ...]:
    """The pool's hosts with what the bookings leave of them, those with the fewest cards first.

    They are filled in that order: work without cards, or with one, leaves together what a job for eight needs.
    """
    held: dict[str, Capacity] = {}
    for booking in booked:
        if booking.pool == pool:
            for name, count in booking.hosts:
                held[name] = held.get(name, Capacity()).plus(booking.per_task.times(count))
    ordered = sorted(capacities, key=lambda each: sum(card.count for card in each[1].devices))
    return tuple(Host(name, capacity, capacity.minus(held.get(name, Capacity()))) for name, capacity in ordered)
