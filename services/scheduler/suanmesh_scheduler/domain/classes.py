"""Classes of jobs that are equal in all that weighing reads: their candidates are weighed once, and kept in order."""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Hashable, Iterable
from dataclasses import replace

from suanmesh_kernel.quantities import Capacity
from suanmesh_scheduler.domain.decide import verdict_in_order, verdict_of, weigh
from suanmesh_scheduler.domain.obstacles import of_cost
from suanmesh_scheduler.domain.values import NUMBER_MAX, Ask, Candidate, JobSpec, Pool, Situation, Verdict

CLASSES_MAX = 200
"""Classes that are kept from one round to the next; beyond it the one used longest ago is weighed anew."""


class JobClass:
    """The candidates of one class, by pool; each counts as long as the pool it was weighed for is the same object.

    The account's balance is left out when they are weighed, since it changes with every placement.
    """

    def __init__(self, job: JobSpec) -> None:
        self._job = job
        self._known: dict[str, tuple[Pool, Candidate]] = {}
        self._ranks: list[tuple[int, int, int, str]] = []
        self._fitting: list[Candidate] = []
        self._names: list[str] = []
        self._rejected: list[Candidate] = []
        self._dearest = 0

    def see_all(self, pools: Iterable[Pool], situation: Situation) -> None:
        """These are all pools there are."""
        names = set()
        for pool in pools:
            names.add(pool.name)
            self.see(pool, situation)
        for gone in self._known.keys() - names:
            self._leave_out(self._known.pop(gone)[1])

    def see(self, pool: Pool, situation: Situation) -> None:
        """Weigh a pool that is new or has changed."""
        known = self._known.get(pool.name)
        if known is not None and known[0] is pool:
            return
        candidate = _with_other_hosts(self._job, known, pool) if known is not None else None
        if candidate is None:
            candidate = weigh(self._job, pool, replace(situation, free_micros=NUMBER_MAX))
        self._known[pool.name] = (pool, candidate)
        if known is None or known[1] is not candidate:
            if known is not None:
                self._leave_out(known[1])
            self._put_in(candidate)

    def verdict(self, situation: Situation, free_micros: int) -> Verdict:
        """The decision for the next job of the class, of whose account so much is free."""
        if self._dearest <= free_micros:
            return verdict_in_order(self._fitting, self._rejected)
        now = replace(situation, free_micros=free_micros)
        paying = [replace(each, obstacle=of_cost(self._job, each.cost_micros or 0, now)) for each in self._fitting]
        return verdict_of([*paying, *self._rejected])

    def _put_in(self, candidate: Candidate) -> None:
        if candidate.obstacle is None:
            index = bisect_left(self._ranks, candidate.rank)
            self._ranks.insert(index, candidate.rank)
            self._fitting.insert(index, candidate)
            self._dearest = max(self._dearest, candidate.cost_micros or 0)
        else:
            index = bisect_left(self._names, candidate.pool)
            self._names.insert(index, candidate.pool)
            self._rejected.insert(index, candidate)

    def _leave_out(self, candidate: Candidate) -> None:
        if candidate.obstacle is None:
            index = bisect_left(self._ranks, candidate.rank)
            del self._ranks[index], self._fitting[index]
        else:
            index = bisect_left(self._names, candidate.pool)
            del self._names[index], self._rejected[index]


class Classes:
    """The classes of the rounds so far: what has not changed since the last round is not weighed again."""

    def __init__(self) -> None:
        self._classes: OrderedDict[Hashable, JobClass] = OrderedDict()

    def of(self, key: Hashable, job: JobSpec) -> JobClass:
        """The class of that key; `job` is any of it."""
        found = self._classes.pop(key, None) or JobClass(job)
        self._classes[key] = found
        if len(self._classes) > CLASSES_MAX:
            self._classes.popitem(last=False)
        return found


def is_simple(job: JobSpec) -> bool:
    """Whether one task is all there is, and takes no cards: the first host with room for it is its place."""
    return job.count == 1 and not job.ask.devices


def fits_on(ask: Ask, free: Capacity) -> bool:
    """Whether a task without cards finds room; a measure of which it takes nothing does not bind."""
    return (
        free.cpu_milli >= ask.cpu_milli
        and free.memory_bytes >= ask.memory_bytes
        and (not ask.scratch_bytes or free.scratch_bytes >= ask.scratch_bytes)
    )


def _with_other_hosts(job: JobSpec, known: tuple[Pool, Candidate], pool: Pool) -> Candidate | None:
    """The candidate of a pool of which only the hosts have changed; None where it is to be weighed anew."""
    before, candidate = known
    if not (is_simple(job) and candidate.slots and _same_but_hosts(before, pool)):
        return None
    for host in pool.hosts:
        if fits_on(job.ask, host.free):
            slots = ((host.name, 1),)
            return candidate if candidate.slots == slots else replace(candidate, slots=slots)
    return None


def _same_but_hosts(one: Pool, other: Pool) -> bool:
    return (
        (one.site, one.architecture, one.offers) == (other.site, other.architecture, other.offers)
        and (one.active, one.alive, one.failing) == (other.active, other.alive, other.failing)
        and (one.trouble, one.runtimes, one.residency) == (other.trouble, other.runtimes, other.residency)
        and one.capabilities == other.capabilities
    )
