"""One round: several jobs decided one after another against one snapshot, each seeing what those before it took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from suanmesh_kernel.quantities import Capacity
from suanmesh_scheduler.domain.classes import Classes, JobClass
from suanmesh_scheduler.domain.fitting import taken
from suanmesh_scheduler.domain.fleet import Fleet
from suanmesh_scheduler.domain.outlook import with_outlook
from suanmesh_scheduler.domain.relax import with_change
from suanmesh_scheduler.domain.values import Blocked, Candidate, Host, JobSpec, Path, Pool, Situation, Verdict

NOTHING = Capacity()
Ways = Mapping[tuple[str, str], Path | Blocked]


@dataclass(frozen=True, slots=True)
class Turn:
    """A job of a round, and the situation as it was read before the round."""

    job: JobSpec
    situation: Situation


@dataclass(frozen=True, slots=True)
class Decided:
    """What a turn has come to."""

    verdict: Verdict
    per_task: Capacity = NOTHING
    """What each task takes where it was chosen."""
    overtaken: bool = False
    """Nothing fits, and this round has taken from ways it would need: only the next look at them can tell."""


NOT_YET = Decided(Verdict(()))


@dataclass(slots=True)
class _Taken:
    """What the placements of the round so far take of hosts, links and accounts."""

    fleet: Fleet
    """All pools as they are by now."""
    link_bps: Counter[str] = field(default_factory=Counter)
    account_micros: Counter[str] = field(default_factory=Counter)
    party_micros: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Of the budget of each party, by currency."""


def decide_round(turns: Sequence[Turn], classes: Classes | None = None) -> list[Decided]:
    """Decide turns of one snapshot: class by class in the order of their first jobs, the jobs of a class in order.

    Same turns: the same answer, to the bit. `classes` are those of earlier rounds: they change nothing but the time.
    """
    classes = classes or Classes()
    for turn in turns[:1]:
        classes.fleet.take_in(turn.situation.pools)
    so_far = _Taken(classes.fleet)
    grouped: dict[tuple[int, Hashable], list[int]] = {}  # by priority, too: else a class went before what precedes it
    quotes: dict[int, Hashable] = {}
    for index, turn in enumerate(turns):
        grouped.setdefault((turn.job.priority, _equal_in(turn, quotes)), []).append(index)
    decided: list[Decided] = [NOT_YET] * len(turns)
    for (_, key), members in grouped.items():
        first = turns[members[0]].job
        lasting = first.deadline is None and not first.needs and not first.results
        job_class = classes.of(key, first) if lasting else JobClass(first)  # else it holds for this moment only
        answers = _decide_class(job_class, [turns[index] for index in members], so_far)
        for index, answer in zip(members, answers, strict=True):
            decided[index] = answer
    return decided


def _equal_in(turn: Turn, quotes: dict[int, Hashable]) -> Hashable:
    """All that weighing reads of a job and of its own part of the situation."""
    job, now = turn.job, turn.situation
    priced = quotes.get(id(now.quotes))
    if priced is None:
        priced = quotes[id(now.quotes)] = frozenset(now.quotes.items())
    return job, tuple(sorted(job.setbacks.items())), now.spent_micros, priced


def _decide_class(job_class: JobClass, turns: Sequence[Turn], so_far: _Taken) -> Iterator[Decided]:
    """Jobs of one class: between them change hosts, the balance, and ways where they move data."""
    fleet, now = so_far.fleet, _with_ways(turns[0], so_far)
    job_class.see_all(fleet, now)
    unplaced: Decided | None = None
    for turn in turns:
        if unplaced is not None:  # nothing was taken since
            yield unplaced
            continue
        verdict = job_class.verdict(_with_money(turn.job, turn.situation, so_far))
        if verdict.chosen is None:
            unplaced = _unplaced(verdict, turn, so_far)
            yield unplaced
            continue
        per_task, changed = _take(turn, verdict.chosen, so_far)
        if verdict.chosen.routes:
            before, now = now, _with_ways(turn, so_far)
            narrower = {pair[1] for pair, way in now.paths.items() if way != before.paths[pair]}
            job_class.weigh_anew([pool for pool in fleet.pools.values() if pool.site in narrower], now)
        job_class.see(changed, now)
        yield Decided(verdict, per_task)


def _unplaced(verdict: Verdict, turn: Turn, so_far: _Taken) -> Decided:
    job, fleet = turn.job, so_far.fleet
    situation = _with_money(job, _with_ways(turn, so_far), so_far)
    situation = replace(situation, pools=tuple(fleet.pools.values()))
    told = with_change(verdict, job, situation, fleet.room_for(job))
    told = with_outlook(told, job, situation, fleet.fits_idle(job))
    return Decided(told, overtaken=situation.paths != turn.situation.paths)


def _with_money(job: JobSpec, now: Situation, so_far: _Taken) -> Situation:
    """The situation with what the turns before leave of the account, and of the budget of its party."""
    taken_micros, budget = so_far.account_micros[job.account], now.party_budget
    of_party = so_far.party_micros[budget.key] if budget else 0
    if not taken_micros and not of_party:
        return now
    return replace(
        now,
        free_micros=now.free_micros - taken_micros,
        held_micros=now.held_micros + taken_micros,
        party_budget=budget and replace(budget, left_micros=budget.left_micros - of_party),
    )


def _with_ways(turn: Turn, so_far: _Taken) -> Situation:
    """The situation with the ways as the turns before leave them."""
    paths = _narrowed(turn.situation.paths, so_far.link_bps, turn.job.min_bandwidth_bps)
    return turn.situation if paths is turn.situation.paths else replace(turn.situation, paths=paths)


def _narrowed(paths: Ways, link_bps: Mapping[str, int], least_bps: int) -> Ways:
    """Of a link no more is known than what its paths have left: what is taken of any link is taken of the path."""
    if not link_bps:
        return paths
    return {pair: _less(way, link_bps, least_bps) for pair, way in paths.items()}


def _less(way: Path | Blocked, link_bps: Mapping[str, int], least_bps: int) -> Path | Blocked:
    if isinstance(way, Blocked):
        return way
    used_bps, link = max(((link_bps.get(link, 0), link) for link in way.links), default=(0, ""))
    left_bps = way.available_bps - used_bps
    if used_bps and left_bps < least_bps:
        return Blocked("bandwidth", link, max(0, left_bps))
    return replace(way, available_bps=left_bps) if used_bps else way


def _take(turn: Turn, chosen: Candidate, so_far: _Taken) -> tuple[Capacity, list[Pool]]:
    """Book a candidate: what each task takes, and the pools that are others by that."""
    job, budget = turn.job, turn.situation.party_budget
    pools = so_far.fleet.pools
    pool = pools[chosen.pool]
    per_task, hosts = _booked(job, chosen, pool)
    changed = [pool.with_hosts(hosts)]
    if pool.on_trial:  # one is sent to try the site
        others = [changed[0], *(other for other in pools.values() if other.site == pool.site and other is not pool)]
        changed = [replace(other, failing=pool.on_trial) for other in others]
    for other in changed:
        so_far.fleet.put(other)
    for route in chosen.routes:
        so_far.link_bps.update(dict.fromkeys(route.path.links, route.rate_bps))
    so_far.account_micros[job.account] += chosen.cost_micros or 0
    if budget:
        so_far.party_micros[budget.key] += chosen.cost_micros or 0
    return per_task, changed


def _booked(job: JobSpec, chosen: Candidate, pool: Pool) -> tuple[Capacity, tuple[Host, ...]]:
    """What each task takes, and the pool's hosts with what that leaves of them."""
    counts, hosts, ask = dict(chosen.slots), list(pool.hosts), job.ask
    per_task = NOTHING
    for index, host in enumerate(pool.hosts):
        tasks = counts.pop(host.name, 0)
        if tasks:
            if per_task is NOTHING:
                simple = Capacity(ask.cpu_milli, ask.memory_bytes, ask.scratch_bytes)
                per_task = taken(ask, host) if ask.devices else simple
            hosts[index] = Host(host.name, host.capacity, host.free.minus(per_task.times(tasks)))
            if not counts:
                break
    return per_task, tuple(hosts)
