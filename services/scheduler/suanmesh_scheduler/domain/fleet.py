"""The fleet: all pools as they are by now, which of them have changed since a moment, and where there is room."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import takewhile

from suanmesh_scheduler.domain.columns import AllHosts, HostColumns, is_told_by_columns
from suanmesh_scheduler.domain.rooms import EACH_HOST, RoomLookup
from suanmesh_scheduler.domain.values import JobSpec, Pool


class Fleet:
    """Pools by name, kept up to date by changes; whoever follows it looks only at what has changed since."""

    def __init__(self) -> None:
        self.pools: dict[str, Pool] = {}
        self.number = 0
        """Of the last change."""
        self.removals = 0
        """How many pools have gone."""
        self._numbers: dict[str, int] = {}
        """By pool: its last change, in the order of these."""
        self._free = _Followed(self, HostColumns(lambda host: host.free))
        self._whole = _Followed(self, HostColumns(lambda host: host.capacity))

    def take_in(self, pools: Iterable[Pool]) -> None:
        """These are all pools there are; one that is the same object as before has not changed."""
        names = set()
        for pool in pools:
            names.add(pool.name)
            if self.pools.get(pool.name) is not pool:
                self.put(pool)
        for gone in self.pools.keys() - names:
            del self.pools[gone], self._numbers[gone]
            self.removals += 1

    def put(self, pool: Pool) -> None:
        """The pool is another than before."""
        self.number += 1
        self.pools[pool.name] = pool
        self._numbers.pop(pool.name, None)
        self._numbers[pool.name] = self.number

    def changed_after(self, number: int) -> list[Pool]:
        """The pools that have changed after the change of that number."""
        latest = takewhile(lambda name: self._numbers[name] > number, reversed(self._numbers))
        return [self.pools[name] for name in latest]

    def room_for(self, job: JobSpec) -> RoomLookup:
        """How much room pools have for a job by now: of all at once where columns can tell."""
        return AllHosts(self._free.by_now(), job) if is_told_by_columns(job) else EACH_HOST

    def fits_idle(self, job: JobSpec) -> Iterator[Pool]:
        """The pools that may have room for a job when nothing runs on them: no other has."""
        if not is_told_by_columns(job):
            return iter(self.pools.values())
        idle = AllHosts(self._whole.by_now(), job)
        return (pool for pool in self.pools.values() if idle.has_room(pool))


class _Followed:
    """Columns that follow a fleet, brought up to date when they are looked at."""

    def __init__(self, fleet: Fleet, columns: HostColumns) -> None:
        self._fleet = fleet
        self._columns = columns
        self._seen = (0, 0)

    def by_now(self) -> HostColumns:
        """The columns as the fleet is by now."""
        number, removals = self._seen
        if removals != self._fleet.removals or not all(map(self._columns.change, self._fleet.changed_after(number))):
            self._columns.make(self._fleet.pools.values())
        self._seen = (self._fleet.number, self._fleet.removals)
        return self._columns
