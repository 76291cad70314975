"""One round: several jobs decided one after another against one snapshot, each seeing what those before it took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from suanmesh_kernel.quantities import Capacity
from suanmesh_scheduler.domain.decide import verdict_of, weigh
from suanmesh_scheduler.domain.fitting import taken
from suanmesh_scheduler.domain.obstacles import of_cost
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


@dataclass(slots=True)
class _Taken:
    """What the placements of the round so far take of hosts, links and accounts."""

    pools: dict[str, Pool] = field(default_factory=dict)
    link_bps: Counter[str] = field(default_factory=Counter)
    account_micros: Counter[str] = field(default_factory=Counter)
    weighed: dict[Hashable, dict[str, tuple[Pool, Candidate]]] = field(default_factory=dict)
    """By what jobs are equal in, and pool: what it was weighed as; it counts until the pool is another."""


def decide_round(turns: Sequence[Turn]) -> list[Decided]:
    """Decide every turn, in order. Same turns: the same answer, to the bit."""
    so_far = _Taken()
    return [_decide(turn, so_far) for turn in turns]


def _decide(turn: Turn, so_far: _Taken) -> Decided:
    situation = _seen(turn, so_far)
    verdict = verdict_of(_weighed(turn, situation, so_far))
    if verdict.chosen is None:
        verdict = with_outlook(with_change(verdict, turn.job, situation), turn.job, situation)
        return Decided(verdict, overtaken=situation.paths != turn.situation.paths)
    return Decided(verdict, _take(turn.job, verdict.chosen, situation, so_far))


def _weighed(turn: Turn, situation: Situation, so_far: _Taken) -> list[Candidate]:
    """Every pool weighed; what was weighed for an equal job, and has not changed since, is not weighed again."""
    if situation.paths != turn.situation.paths:
        return [weigh(turn.job, pool, situation) for pool in situation.pools]
    known = so_far.weighed.setdefault(_equal_in(turn), {})
    for pool in situation.pools:
        standing = known.get(pool.name)
        if standing is None or standing[0] is not pool:
            known[pool.name] = (pool, weigh(turn.job, pool, situation))
    candidates = [candidate for _, candidate in known.values()]
    return [_paid(turn.job, each, situation) for each in candidates] if so_far.account_micros else candidates


def _equal_in(turn: Turn) -> Hashable:
    """All that weighing reads of a job and of its own part of the situation."""
    job, now = turn.job, turn.situation
    return job, tuple(sorted(job.setbacks.items())), now.spent_micros, id(now.quotes)


def _paid(job: JobSpec, candidate: Candidate, situation: Situation) -> Candidate:
    """The candidate with what is left of the account by now: it was weighed when there was as much or more."""
    obstacle, cost = candidate.obstacle, candidate.cost_micros
    if cost is None or not (obstacle is None or obstacle.code == "BALANCE"):
        return candidate
    return replace(candidate, obstacle=of_cost(job, cost, situation))


def _seen(turn: Turn, so_far: _Taken) -> Situation:
    """The situation as the turns before leave it."""
    now, spent_micros = turn.situation, so_far.account_micros[turn.job.account]
    return replace(
        now,
        pools=tuple(so_far.pools.get(pool.name, pool) for pool in now.pools) if so_far.pools else now.pools,
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


def _take(job: JobSpec, chosen: Candidate, situation: Situation, so_far: _Taken) -> Capacity:
    pool = next(pool for pool in situation.pools if pool.name == chosen.pool)
    counts = dict(chosen.slots)
    per_task = taken(job.ask, next(host for host in pool.hosts if host.name in counts))
    hosts = tuple(_without(host, per_task, counts.get(host.name, 0)) for host in pool.hosts)
    so_far.pools[pool.name] = replace(pool, hosts=hosts)
    for other in situation.pools if pool.on_trial else ():
        if other.site == pool.site:  # one is sent to try it
            so_far.pools[other.name] = replace(so_far.pools.get(other.name, other), failing=pool.on_trial)
    for route in chosen.routes:
        so_far.link_bps.update(dict.fromkeys(route.path.links, route.rate_bps))
    so_far.account_micros[job.account] += chosen.cost_micros or 0
    return per_task


def _without(host: Host, per_task: Capacity, tasks: int) -> Host:
    return replace(host, free=host.free.minus(per_task.times(tasks))) if tasks else host
