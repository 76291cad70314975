"""Every collection the scheduler reads without a call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile

from suanmesh.registry.v1 import party_pb2, pool_pb2, site_pb2
from suanmesh.scheduler.v1 import job_pb2, placement_pb2
from suanmesh.transport.v1 import transfer_pb2
from suanmesh_scheduler import wire
from suanmesh_scheduler.domain.bookings import Booked
from suanmesh_scheduler.readings import JobCounts
from suanmesh_scheduler.record_kinds import JOBS, LIVE
from suanmesh_store import Changed, Held, Mirror, Store, open_mirror
from suanmesh_store.layout import PARTIES, PLACEMENTS, POOLS, SITES, TRANSFERS
from suanmesh_store.records import RecordChange, RecordMirror, Records, open_record_mirror


class Bookings:
    """What live placements hold, by pool; a projection of their mirror."""

    def __init__(self) -> None:
        self._of_placement: dict[str, list[Booked]] = {}
        self._of_pool: dict[str, dict[str, Booked]] = {}
        self.number = 0
        """Of the last change."""
        self._numbers: dict[str, int] = {}
        """By pool: its last change, in the order of these."""

    def apply(self, changes: Sequence[Changed[placement_pb2.Placement]]) -> None:
        """Take in what changed; a placement that has ended holds nothing."""
        for change in changes:
            for booked in self._of_placement.pop(change.name, ()):
                self._of_pool[booked.pool].pop(change.name, None)
                self._note(booked.pool)
            live = wire.booked_from([change.held.message]) if change.held is not None else []
            if live:
                self._of_placement[change.name] = live
            for booked in live:
                self._of_pool.setdefault(booked.pool, {})[change.name] = booked
                self._note(booked.pool)

    def of(self, pool: str) -> list[Booked]:
        """What is booked on a pool."""
        return list(self._of_pool.get(pool, {}).values())

    def version(self, pool: str) -> int:
        """Another number for every change of what is booked on it."""
        return self._numbers.get(pool, 0)

    def changed_after(self, number: int) -> list[str]:
        """Pools on which something else is booked than was by the change of that number."""
        return list(takewhile(lambda pool: self._numbers[pool] > number, reversed(self._numbers)))

    def _note(self, pool: str) -> None:
        self.number += 1
        self._numbers.pop(pool, None)
        self._numbers[pool] = self.number


class Attempts:
    """The last placement that each job was given, whether it has ended or not; a projection of their mirror."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[int, Held[placement_pb2.Placement]]] = {}
        self._jobs: dict[str, str] = {}

    def apply(self, changes: Sequence[Changed[placement_pb2.Placement]]) -> None:
        """Take in what changed."""
        for change in changes:
            if change.held is None:
                self._forget(change.name)
                continue
            placement = change.held.message
            number, last = wire.decision_number(placement.decision), self._last.get(placement.job)
            if last is None or number >= last[0]:
                self._last[placement.job] = (number, change.held)
                self._jobs[change.name] = placement.job

    def last(self, job: str) -> Held[placement_pb2.Placement] | None:
        """That of a job; None where it has none, or it has moved out of etcd."""
        found = self._last.get(job)
        return None if found is None else found[1]

    def untold(self, job: job_pb2.Job) -> bool:
        """Whether the job was given a place that it does not tell of yet."""
        found = self._last.get(job.name)
        return found is not None and wire.tells_not(job, found[1].message)

    def _forget(self, placement: str) -> None:
        job = self._jobs.pop(placement, "")
        if (last := self._last.get(job)) is not None and last[1].name == placement:
            del self._last[job]


class LiveJobs:
    """How many jobs of each party have not ended; a projection of their mirror."""

    def __init__(self, live: RecordMirror[job_pb2.Job]) -> None:
        self._live = live
        self._parties: dict[str, str] = {}
        self._counts: Counter[str] = Counter()
        live.project(self._apply)

    def __getitem__(self, party: str) -> int:
        return self._counts[party]

    def _apply(self, changes: Sequence[RecordChange[job_pb2.Job]]) -> None:
        for name, _ in changes:
            held, before = self._live.get(name), self._parties.pop(name, "")
            if before:
                self._counts[before] -= 1
                if not self._counts[before]:
                    del self._counts[before]
            if held is not None:
                self._parties[name] = held.message.party
                self._counts[held.message.party] += 1


@dataclass(frozen=True, slots=True)
class Mirrors:
    """Loaded mirrors; `runs` keeps them so."""

    jobs: RecordMirror[job_pb2.Job]
    """Those that have not ended."""
    placements: Mirror[placement_pb2.Placement]
    parties: Mirror[party_pb2.Party]
    pools: Mirror[pool_pb2.Pool]
    sites: Mirror[site_pb2.Site]
    transfers: Mirror[transfer_pb2.Transfer]
    live_jobs_of: LiveJobs
    job_counts: JobCounts
    bookings: Bookings
    """What live placements hold."""
    attempts: Attempts

    @property
    def runs(self) -> list[Callable[[], Awaitable[None]]]:
        """Tasks that follow what changes."""
        mirrors = (self.jobs, self.placements, self.parties, self.pools, self.sites, self.transfers)
        return [mirror.run for mirror in mirrors]


async def open_mirrors(store: Store, records: Records) -> Mirrors:
    """All of them, loaded."""
    jobs, placements = await open_record_mirror(records, JOBS, LIVE), await open_mirror(store, PLACEMENTS)
    placements.project(bookings := Bookings())
    placements.project(attempts := Attempts())
    return Mirrors(
        jobs=jobs,
        placements=placements,
        parties=await open_mirror(store, PARTIES),
        pools=await open_mirror(store, POOLS),
        sites=await open_mirror(store, SITES),
        transfers=await open_mirror(store, TRANSFERS),
        live_jobs_of=LiveJobs(jobs),
        job_counts=JobCounts(jobs),
        bookings=bookings,
        attempts=attempts,
    )
