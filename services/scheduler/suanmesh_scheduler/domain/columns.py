"""Hosts as columns: an ask is compared with all hosts of the fleet at once.

In a full fleet every host has to be looked at to say that there is no room, what the nearest one lacks and what would
fit, for one class of jobs after another. NumPy does that for ten thousand hosts in the time of a loop over thirty.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property

import numpy as np
import numpy.typing as npt

from suanmesh_kernel.quantities import Capacity
from suanmesh_scheduler.domain.fitting import MEASURES, Slots, slots
from suanmesh_scheduler.domain.obstacles import CODES
from suanmesh_scheduler.domain.values import Host, JobSpec, Obstacle, Pool

EXACT_MAX = 1 << 53
"""Up to here a column divides as exactly as Python does."""
Numbers = npt.NDArray[np.int64]
Amounts = tuple[int, int, int]
NOTHING: Amounts = (0, 0, 0)


class HostColumns:
    """An amount of each host: a row a measure, the hosts of a pool side by side; one of nothing where it has none."""

    def __init__(self, amount: Callable[[Host], Capacity]) -> None:
        """`amount` says which of a host's amounts it is."""
        self._amount = amount
        self.index: dict[str, int] = {}
        """Of a pool, by name, in `starts`."""
        self.starts: Numbers = np.zeros(0, np.int64)
        """Where the hosts of each pool begin."""
        self.amounts: Numbers = np.zeros((len(MEASURES), 0), np.int64)

    def make(self, pools: Iterable[Pool]) -> None:
        """These are all pools."""
        rows = {pool.name: self._rows(pool) for pool in pools}
        self.index = {name: index for index, name in enumerate(rows)}
        counts = np.fromiter(map(len, rows.values()), np.int64, len(rows))
        self.starts = np.concatenate((np.zeros(1, np.int64), np.cumsum(counts)))[:-1]
        together = [row for of_pool in rows.values() for row in of_pool]
        self.amounts = np.ascontiguousarray(np.array(together, np.int64).reshape(-1, len(MEASURES)).T)

    def change(self, pool: Pool) -> bool:
        """The pool is another than before; answers False, and changes nothing, where it has not as many hosts."""
        index, rows = self.index.get(pool.name), self._rows(pool)
        if index is None or self.stop(index) - self.starts[index] != len(rows):
            return False
        self.amounts[:, self.starts[index] : self.stop(index)] = np.array(rows, np.int64).T
        return True

    def stop(self, index: int) -> int:
        """Where the hosts of a pool end."""
        return int(self.starts[index + 1]) if index + 1 < len(self.starts) else self.amounts.shape[1]

    def _rows(self, pool: Pool) -> list[Amounts]:
        amounts = map(self._amount, pool.hosts)
        return [(each.cpu_milli, each.memory_bytes, each.scratch_bytes) for each in amounts] or [NOTHING]


def is_told_by_columns(job: JobSpec) -> bool:
    """Whether columns tell where it finds room: it takes no cards, and one task of it is enough."""
    asked = [getattr(job.ask, measure) for measure in MEASURES]
    return not job.ask.devices and not (job.gang and job.count > 1) and 0 < max(asked) <= EXACT_MAX


class AllHosts:
    """A `RoomLookup` for one job, by columns as they are when it is made."""

    def __init__(self, columns: HostColumns, job: JobSpec) -> None:
        self._columns = columns
        self._asked = [(row, getattr(job.ask, measure)) for row, measure in enumerate(MEASURES)]
        self._asked = [(row, amount) for row, amount in self._asked if amount]
        self._first = self._first_with_room()

    def has_room(self, pool: Pool) -> bool:
        """Whether some host has room for one task."""
        return self._first[self._columns.index[pool.name]] >= 0

    def slots(self, job: JobSpec, pool: Pool) -> Slots:
        index = self._columns.index[pool.name]
        first = self._first[index]
        if first < 0:
            return ()
        if job.count == 1:
            return ((pool.hosts[first].name, 1),)
        return slots(job.ask, pool.hosts[first:], job.count)

    def lack(self, job: JobSpec, pool: Pool, placed: Slots) -> Obstacle | None:
        if placed:
            return None
        index = self._columns.index[pool.name]
        for (row, amount), most in zip(self._asked, self._most, strict=True):
            if amount > most[index]:
                return Obstacle(_code(row), amount, most[index], pool.name)
        return self._nearest(pool, index)

    def largest(self, job: JobSpec, pool: Pool, measure: str) -> int | None:
        return self._largest[MEASURES.index(measure)][self._columns.index[pool.name]] or None

    def _first_with_room(self) -> list[int]:
        """By pool: the first of its hosts with room; -1 where none has."""
        amounts, starts = self._columns.amounts, self._columns.starts
        if not len(starts):
            return []
        count = amounts.shape[1]
        fits = np.logical_and.reduce([amounts[row] >= amount for row, amount in self._asked])
        first = np.minimum.reduceat(np.where(fits, np.arange(count), count), starts)
        found: list[int] = np.where(first < count, first - starts, -1).tolist()
        return found

    @cached_property
    def _free(self) -> Numbers:
        """The measures that are asked for, each at least 0."""
        return np.maximum(self._columns.amounts[[row for row, _ in self._asked]], 0)

    @cached_property
    def _most(self) -> list[list[int]]:
        """By measure asked for and by pool: the most that a host has."""
        return [np.maximum.reduceat(free, self._columns.starts).tolist() for free in self._free]

    @cached_property
    def _shortage(self) -> npt.NDArray[np.float64]:
        """By measure asked for and by host: the part that is missing."""
        asked = np.array([[amount] for _, amount in self._asked], np.int64)
        return np.asarray((asked - self._free) / asked, np.float64)

    @cached_property
    def _worst(self) -> npt.NDArray[np.float64]:
        """By host: the part that is missing of what it lacks most."""
        return np.asarray(self._shortage.max(axis=0), np.float64)

    def _nearest(self, pool: Pool, index: int) -> Obstacle:
        """What the host lacks that is nearest to having room."""
        start, stop = int(self._columns.starts[index]), self._columns.stop(index)
        worst = self._worst[start:stop]
        at = min(np.flatnonzero(worst == worst.min()).tolist(), key=lambda at: pool.hosts[at].name)
        which = int(self._shortage[:, start + at].argmax())
        row, amount = self._asked[which]
        return Obstacle(
            _code(row), amount, int(self._free[which, start + at]), pool.name, {"host": pool.hosts[at].name}
        )

    @cached_property
    def _largest(self) -> list[list[int]]:
        """By measure and by pool: the most of it that is free on a host with room for all the others; 0 for none."""
        amounts, starts = self._columns.amounts, self._columns.starts
        largest = [[0] * len(starts)] * len(MEASURES)
        for row, _ in self._asked:
            others = [amounts[other] >= amount for other, amount in self._asked if other != row]
            free = np.where(np.logical_and.reduce(others), amounts[row], 0) if others else amounts[row]
            largest[row] = np.maximum(np.maximum.reduceat(free, starts), 0).tolist()
        return largest


def _code(row: int) -> str:
    return CODES[MEASURES[row]]
