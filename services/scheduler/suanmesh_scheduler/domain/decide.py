"""The decision: every pool weighed, the best chosen, an obstacle named for each of the others.

Same job, same situation: the same verdict, whatever the order of the pools.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from suanmesh_kernel.reasons import NO_REASON, StateReason
from suanmesh_scheduler.domain import obstacles
from suanmesh_scheduler.domain.fitting import room
from suanmesh_scheduler.domain.rooms import EACH_HOST, RoomLookup
from suanmesh_scheduler.domain.sharing import shared
from suanmesh_scheduler.domain.values import (
    Blocked,
    Candidate,
    JobSpec,
    Obstacle,
    Offer,
    Path,
    PlannedTransfer,
    Pool,
    Quote,
    Situation,
    Verdict,
    told,
)

TRANSFER_S = 5
"""A transfer is given the rate at which it takes about so long, where the path has it."""
RATE_BPS_MIN = 10_000_000
"""A transfer asks for no less where the path has it: small datasets should not dawdle."""
RESULT_BPS_MIN = 1_000_000
"""Results wait until their way has so much left."""
MEBIBYTE = 1 << 20
NO_POOLS = StateReason("NO_POOLS")


def decide(job: JobSpec, situation: Situation) -> Verdict:
    """Choose the pool with the fewest setbacks, then the least `cost + second_value * time`.

    Ties go to the nearer, then by name.
    """
    return verdict_of([weigh(job, pool, situation) for pool in situation.pools])


def verdict_of(weighed: Sequence[Candidate]) -> Verdict:
    """The decision among candidates that are weighed, in whatever order."""
    fitting = sorted((c for c in weighed if c.obstacle is None), key=lambda c: c.rank)
    rejected = sorted((c for c in weighed if c.obstacle is not None), key=lambda c: c.pool)
    return verdict_in_order(fitting, rejected)


def verdict_in_order(fitting: list[Candidate], rejected: list[Candidate]) -> Verdict:
    """The same of candidates that are in order: those that fit by their rank, the others by name."""
    return Verdict((*fitting, *rejected), _reason(fitting, len(fitting) + len(rejected)))


def weigh(job: JobSpec, pool: Pool, situation: Situation, lookup: RoomLookup = EACH_HOST) -> Candidate:
    """Weigh one pool. Price, path and transfer are reckoned even where an obstacle stands in the way."""
    routes, blocked = _routes(job, pool, situation)
    homes, stranded = _homes(job, pool, situation)
    blocked = blocked or stranded
    offer, quote = _offer(job, pool, situation)
    placed = lookup.slots(job, pool)
    placed, share = obstacles.of_share(job, pool, placed)
    obstacle = obstacles.of_pool(job, pool) or share or lookup.lack(job, pool, placed)
    obstacle = obstacle or obstacles.of_offers(job, pool)
    obstacle = obstacle or blocked
    if quote is None:
        missing = Obstacle("NO_PRICE", resource=pool.name)
        return Candidate(pool.name, pool.site, routes=routes, homes=homes, slots=placed, obstacle=obstacle or missing)
    transfer_micros = None if blocked else _transfer_micros((*routes, *homes))
    waves = -(-job.count // max(1, room(placed)))
    moving_ms = sum(max(route.transfer_ms for route in ways) for ways in (routes, homes) if ways)
    finish_ms = told(moving_ms + waves * job.longest_s * 1000)
    cost = None if transfer_micros is None else quote.compute_micros + transfer_micros
    if obstacle is None and cost is not None:
        obstacle = obstacles.of_deadline(job, finish_ms, situation) or obstacles.of_cost(job, cost, situation)
    return Candidate(
        pool.name,
        pool.site,
        offer=offer.name,
        price_book=offer.price_book,
        variant=obstacles.variant_for(job, pool) or 0,
        slots=placed,
        routes=routes,
        homes=homes,
        compute_micros=quote.compute_micros,
        transfer_micros=transfer_micros,
        score_micros=None if cost is None else told(cost + job.second_value_micros * finish_ms // 1000),
        finish_ms=finish_ms,
        obstacle=obstacle,
        setbacks=job.setbacks.get(pool.site, 0),
    )


def rate_for(available_bps: int, size: int, least_bps: int) -> int:
    """The rate a transfer of `size` bytes is given: what it can use, never more than its path has."""
    useful = max(least_bps, RATE_BPS_MIN, size * 8 // TRANSFER_S)
    return max(1, min(available_bps, useful))


def _routes(job: JobSpec, pool: Pool, situation: Situation) -> tuple[tuple[PlannedTransfer, ...], Obstacle | None]:
    """How every input gets there, grouped by source; the first that cannot is the obstacle."""
    if not job.needs:
        return (), None
    by_source: dict[str, int] = {}
    for need in job.needs:
        if pool.site in need.sites:
            continue
        source = _nearest(need.sites, pool.site, situation)
        if source is None:
            return (), Obstacle("NO_REPLICA", resource=need.dataset)
        by_source[source] = by_source.get(source, 0) + need.bytes
    routes = []
    for source, size in sorted(by_source.items()):
        path = situation.paths.get((source, pool.site), Blocked("disconnected"))
        if isinstance(path, Blocked):
            return (), obstacles.of_path(path, job, source, pool.site)
        routes.append(PlannedTransfer(source, path, size, rate_for(path.available_bps, size, job.min_bandwidth_bps)))
    together = shared(routes, job.min_bandwidth_bps)
    if isinstance(together, Blocked):
        return (), obstacles.of_path(together, job, together.link, pool.site)
    return together, None


def _homes(job: JobSpec, pool: Pool, situation: Situation) -> tuple[tuple[PlannedTransfer, ...], Obstacle | None]:
    """How results get to where they are wanted, grouped by target, were they as large as they may be."""
    if not job.results:
        return (), None
    by_target: dict[str, int] = {}
    for result in job.results:
        if result.target != pool.site:
            by_target[result.target] = by_target.get(result.target, 0) + result.bytes
    homes = []
    for target, size in sorted(by_target.items()):
        path = situation.homes.get((pool.site, target), Blocked("disconnected"))
        if isinstance(path, Blocked):
            return (), obstacles.of_path(path, replace(job, min_bandwidth_bps=RESULT_BPS_MIN), pool.site, target)
        homes.append(PlannedTransfer(target, path, size, rate_for(path.available_bps, size, RESULT_BPS_MIN)))
    return tuple(replace(home, rate_bps=max(RESULT_BPS_MIN, home.rate_bps)) for home in ways_home(homes)), None


def ways_home(homes: Sequence[PlannedTransfer]) -> tuple[PlannedTransfer, ...]:
    """Routes of results with rates that can be held together: a link they share is parted among them."""
    together = shared(homes, 1)
    return tuple(homes) if isinstance(together, Blocked) else together


def _nearest(sites: frozenset[str], target: str, situation: Situation) -> str | None:
    """The source with a path and the least latency; one without a path only where there is no other."""

    def distance(site: str) -> tuple[int, int, str]:
        path = situation.paths.get((site, target))
        return (0, path.latency_us, site) if isinstance(path, Path) else (1, 0, site)

    return min(sites, key=distance, default=None)


def _offer(job: JobSpec, pool: Pool, situation: Situation) -> tuple[Offer, Quote | None]:
    """The cheapest offer that has a price and allows the run."""
    priced = [
        (situation.quotes[offer.name], offer)
        for offer in pool.offers
        if offer.name in situation.quotes and (not offer.max_duration_s or offer.max_duration_s >= job.max_duration_s)
    ]
    if not priced:
        return Offer("", ""), None
    quote, offer = min(priced, key=lambda pair: (pair[0].compute_micros, pair[1].name))
    return offer, quote


def _transfer_micros(routes: tuple[PlannedTransfer, ...]) -> int:
    """What moving inputs and results costs by the links' prices, rounded up: it is a bound, not a bill."""
    return told(sum(-(-route.bytes * route.path.price_micros_per_mib // MEBIBYTE) for route in routes))


def _reason(fitting: Sequence[Candidate], count: int) -> StateReason:
    """Why the first of those that fit was chosen, or that none of `count` pools fits."""
    if not fitting:
        return StateReason("NO_PLACE", {"pools": str(count)}).after(NO_REASON if count else NO_POOLS)
    winner = fitting[0]
    chosen = StateReason("CHOSEN", {"pool": winner.pool, "cost_micros": str(winner.cost_micros)})
    return chosen.after(_before(winner, fitting[1]) if len(fitting) > 1 else StateReason("ONLY_FIT"))


def _before(winner: Candidate, second: Candidate) -> StateReason:
    facts = {"second": second.pool}
    if winner.setbacks != second.setbacks:
        return StateReason("FEWER_SETBACKS", facts)
    if winner.score_micros != second.score_micros:
        gap = (second.score_micros or 0) - (winner.score_micros or 0)
        return StateReason("BETTER_SCORE", {**facts, "gap_micros": str(gap)})
    if winner.latency_us != second.latency_us:
        return StateReason("NEARER", {**facts, "nearer_us": str(second.latency_us - winner.latency_us)})
    return StateReason("FIRST_BY_NAME", facts)
