"""Where jobs find room: one answer for one pool at a time, or by columns for all pools of a fleet at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Protocol

from suanmesh_scheduler.domain import obstacles
from suanmesh_scheduler.domain.fitting import Slots, room, slots
from suanmesh_scheduler.domain.values import JobSpec, Obstacle, Pool


class RoomLookup(Protocol):
    """What the hosts of a pool have room for. Every implementation comes to the same."""

    def slots(self, job: JobSpec, pool: Pool) -> Slots:
        """How many tasks of the job run at a time on which of its hosts; nothing where none fits."""

    def lack(self, job: JobSpec, pool: Pool, placed: Slots) -> Obstacle | None:
        """What there is too little of, where `placed` are the slots; None where they are enough."""

    def largest(self, job: JobSpec, pool: Pool, measure: str) -> int | None:
        """The most of a measure with which the job would find room in a pool that lacks it; None if nothing will do."""


class EachHost:
    """Looks at one host after the other: the best where most pools have room on one of their first."""

    def slots(self, job: JobSpec, pool: Pool) -> Slots:
        return slots(job.ask, pool.hosts, job.count)

    def lack(self, job: JobSpec, pool: Pool, placed: Slots) -> Obstacle | None:
        return obstacles.of_room(job, pool, placed)

    def largest(self, job: JobSpec, pool: Pool, measure: str) -> int | None:
        asked = getattr(job.ask, measure)
        frees = {getattr(host.free, measure) for host in pool.hosts}
        shares = {free // together for free in frees for together in range(1, (job.count if job.gang else 1) + 1)}
        return greatest(
            [share for share in shares if 0 < share < asked],
            lambda value: replace(job, ask=replace(job.ask, **{measure: value})),  # type: ignore[arg-type]
            pool,
        )


EACH_HOST: RoomLookup = EachHost()


def greatest(values: Iterable[int], make: Callable[[int], JobSpec], pool: Pool) -> int | None:
    """The greatest value with which the job fits; it fits with all that are less."""
    ordered = sorted(values)
    low, high = 0, len(ordered)
    while low < high:
        middle = (low + high) // 2
        if _fits(make(ordered[middle]), pool):
            low = middle + 1
        else:
            high = middle
    return ordered[low - 1] if low else None


def _fits(job: JobSpec, pool: Pool) -> bool:
    return room(slots(job.ask, pool.hosts, job.count)) >= (job.count if job.gang else 1)
