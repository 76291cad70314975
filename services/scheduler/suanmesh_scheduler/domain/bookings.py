"""What live placements hold of a site, and what that leaves free."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from suanmesh_kernel.quantities import Capacity, total
from suanmesh_scheduler.domain.values import Host


@dataclass(frozen=True, slots=True)
class Booked:
    """What one placement holds on a pool."""

    placement: str
    pool: str
    hosts: tuple[tuple[str, int], ...]
    per_task: Capacity


def free_hosts(pool: str, capacities: Iterable[tuple[str, Capacity]], booked: Iterable[Booked]) -> tuple[Host, ...]:
    """The pool's hosts with what the bookings leave of them."""
    here = [booking for booking in booked if booking.pool == pool]
    return tuple(Host(name, capacity, capacity.minus(_held(name, here))) for name, capacity in capacities)


def _held(host: str, booked: Iterable[Booked]) -> Capacity:
    return total(booking.per_task.times(count) for booking in booked for name, count in booking.hosts if name == host)
