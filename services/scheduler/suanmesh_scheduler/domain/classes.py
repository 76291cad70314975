"""Classes of jobs that are equal in all that weighing reads: their candidates are weighed once, and kept in order."""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace

from suanmesh_scheduler.domain.decide import verdict_in_order, verdict_of, weigh
from suanmesh_scheduler.domain.fitting import slots
from suanmesh_scheduler.domain.fleet import Fleet
from suanmesh_scheduler.domain.obstacles import of_cost
from suanmesh_scheduler.domain.rooms import EACH_HOST, RoomLookup
from suanmesh_scheduler.domain.values import NUMBER_MAX, Candidate, JobSpec, Pool, Situation, Verdict

CLASSES_MAX = 200
"""Classes that are kept from one round to the next; beyond it the one used longest ago is weighed anew."""


class JobClass:
    """The candidates of one class, by pool; each counts as long as the pool it was weighed for is the same object.

    What account and party may spend is left out when they are weighed, since it changes with every placement.
    """

    def __init__(self, job: JobSpec) -> None:
        self._job = job
        self._known: dict[str, tuple[Pool, Candidate]] = {}
        self._ranks: list[tuple[int, int, int, str]] = []
        self._fitting: list[Candidate] = []
        self._names: list[str] = []
        self._rejected: list[Candidate] = []
        self._dearest = 0
        self._seen = (0, 0)

    def see_all(self, fleet: Fleet, situation: Situation) -> None:
        """Weigh the pools of the fleet that are new or have changed, and leave out those that have gone."""
        number, removals = self._seen
        changed = [pool for pool in fleet.changed_after(number) if not self._carry_over(pool)]
        self._weigh(changed, situation, fleet.room_for(self._job) if changed else EACH_HOST)
        if removals != fleet.removals:
            for gone in self._known.keys() - fleet.pools.keys():
                self._leave_out(self._known.pop(gone)[1])
        self._seen = (fleet.number, fleet.removals)

    def see(self, pools: Iterable[Pool], situation: Situation) -> None:
        """Weigh a few pools that have changed."""
        self._weigh([pool for pool in pools if not self._carry_over(pool)], situation, EACH_HOST)

    def weigh_anew(self, pools: Sequence[Pool], situation: Situation) -> None:
        """Weigh a few pools to which the ways have changed."""
        self._weigh(pools, situation, EACH_HOST)

    def _carry_over(self, pool: Pool) -> bool:
        """Whether the candidate is known, or comes of the one before, since only its hosts are others."""
        known = self._known.get(pool.name)
        if known is None or known[0] is pool:
            return known is not None
        candidate = _with_other_hosts(self._job, known, pool)
        if candidate is None:
            return False
        self._replace(pool, candidate)
        return True

    def _weigh(self, pools: Sequence[Pool], situation: Situation, lookup: RoomLookup) -> None:
        rich = replace(situation, free_micros=NUMBER_MAX, party_budget=None) if pools else situation
        for pool in pools:
            self._replace(pool, weigh(self._job, pool, rich, lookup))

    def _replace(self, pool: Pool, candidate: Candidate) -> None:
        known = self._known.get(pool.name)
        self._known[pool.name] = (pool, candidate)
        if known is None or known[1] is not candidate:
            if known is not None:
                self._leave_out(known[1])
            self._put_in(candidate)

    def verdict(self, now: Situation) -> Verdict:
        """The decision for the next job of the class: of the situation counts what its account and party may spend."""
        budget = now.party_budget
        if self._dearest <= now.free_micros and (budget is None or self._dearest <= budget.left_micros):
            return verdict_in_order(self._fitting, self._rejected)
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
    """The fleet and the classes of the rounds so far: what has not changed since the last is not weighed again."""

    def __init__(self) -> None:
        self.fleet = Fleet()
        self._classes: OrderedDict[Hashable, JobClass] = OrderedDict()

    def of(self, key: Hashable, job: JobSpec) -> JobClass:
        """The class of that key; `job` is any of it."""
        found = self._classes.pop(key, None) or JobClass(job)
        self._classes[key] = found
        if len(self._classes) > CLASSES_MAX:
            self._classes.popitem(last=False)
        return found


def _with_other_hosts(job: JobSpec, known: tuple[Pool, Candidate], pool: Pool) -> Candidate | None:
    """The candidate of a pool of which only the hosts have changed; None where it is to be weighed anew."""
    before, candidate = known
    if job.count > 1 or job.ask.devices or not candidate.slots or not _same_but_hosts(before, pool):
        return None
    placed = slots(job.ask, pool.hosts, 1)
    if not placed:
        return None
    return candidate if candidate.slots == placed else replace(candidate, slots=placed)


def _same_but_hosts(one: Pool, other: Pool) -> bool:
    return (
        (one.site, one.architecture, one.offers) == (other.site, other.architecture, other.offers)
        and (one.active, one.alive, one.failing) == (other.active, other.alive, other.failing)
        and (one.trouble, one.runtimes, one.residency) == (other.trouble, other.runtimes, other.residency)
        and (one.capabilities, one.closed, one.terms) == (other.capabilities, other.closed, other.terms)
    )
