"""One round: several jobs decided one after another against one snapshot, each seeing what those before it took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from suanmesh_kernel.quantities import Capacity
from suanmesh_scheduler.domain.classes import Classes, JobClass
from suanmesh_scheduler.domain.decide import verdict_of, weigh
from suanmesh_scheduler.domain.fitting import taken
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

    pools: dict[str, Pool]
    """All pools as they are by now."""
    link_bps: Counter[str] = field(default_factory=Counter)
    account_micros: Counter[str] = field(default_factory=Counter)


def decide_round(turns: Sequence[Turn], classes: Classes | None = None) -> list[Decided]:
    """Decide turns of one snapshot: class by class in the order of their first jobs, the jobs of a class in order.

    Same turns: the same answer, to the bit. `classes` are those of earlier rounds: they change nothing but the time.
    """
    classes = classes or Classes()
    so_far = _Taken({pool.name: pool for turn in turns[:1] for pool in turn.situation.pools})
    grouped: dict[tuple[int, Hashable], list[int]] = {}  # by priority, too: else a class went before what precedes it
    quotes: dict[int, Hashable] = {}
    for index, turn in enumerate(turns):
        grouped.setdefault((turn.job.priority, _equal_in(turn, quotes)), []).append(index)
    decided: list[Decided] = [NOT_YET] * len(turns)
    for (_, key), members in grouped.items():
        first = turns[members[0]]
        if first.job.needs or first.job.results:
            for index in members:
                decided[index] = _decide_moving(turns[index], so_far)
        else:
            lasting = first.job.deadline is None  # else what was weighed holds for this moment only
            job_class = classes.of(key, first.job) if lasting else JobClass(first.job)
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
    """Jobs that move no data: only hosts and balance change between them."""
    situation = turns[0].situation
    job_class.see_all(so_far.pools.values(), situation)
    unplaced: Decided | None = None
    for turn in turns:
        if unplaced is not None:  # nothing was taken since
            yield unplaced
            continue
        free_micros = turn.situation.free_micros - so_far.account_micros[turn.job.account]
        verdict = job_class.verdict(turn.situation, free_micros)
        if verdict.chosen is None:
            unplaced = _unplaced(verdict, turn, so_far)
            yield unplaced
            continue
        per_task, changed = _take(turn.job, verdict.chosen, so_far)
        for name in changed:
            job_class.see(so_far.pools[name], situation)
        yield Decided(verdict, per_task)


def _decide_moving(turn: Turn, so_far: _Taken) -> Decided:
    """A job that moves data: what others took of the ways changes every candidate."""
    situation = _seen(turn, so_far)
    verdict = verdict_of([weigh(turn.job, pool, situation) for pool in situation.pools])
    if verdict.chosen is None:
        return _unplaced(verdict, turn, so_far)
    return Decided(verdict, _take(turn.job, verdict.chosen, so_far)[0])


def _unplaced(verdict: Verdict, turn: Turn, so_far: _Taken) -> Decided:
    situation = _seen(turn, so_far)
    told = with_outlook(with_change(verdict, turn.job, situation), turn.job, situation)
    return Decided(told, overtaken=situation.paths != turn.situation.paths)


def _seen(turn: Turn, so_far: _Taken) -> Situation:
    """The situation as the turns before leave it."""
    now, spent_micros = turn.situation, so_far.account_micros[turn.job.account]
    return replace(
        now,
        pools=tuple(so_far.pools.values()),
        paths=_narrowed(now.paths, so_far.link_bps, turn.job.min_bandwidth_bps),
        free_micros=now.free_micros - spent_micros,
        held_micros=now.held_micros + spent_micros,
    )


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


def _take(job: JobSpec, chosen: Candidate, so_far: _Taken) -> tuple[Capacity, list[str]]:
    """Book a candidate: what each task takes, and the names of the pools that are others by that."""
    pool = so_far.pools[chosen.pool]
    per_task, hosts = _booked(job, chosen, pool)
    so_far.pools[pool.name] = pool.with_hosts(hosts)
    changed = [pool.name]
    for other in so_far.pools.values() if pool.on_trial else ():
        if other.site == pool.site:  # one is sent to try it
            so_far.pools[other.name] = replace(other, failing=pool.on_trial)
            changed.append(other.name)
    for route in chosen.routes:
        so_far.link_bps.update(dict.fromkeys(route.path.links, route.rate_bps))
    so_far.account_micros[job.account] += chosen.cost_micros or 0
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
