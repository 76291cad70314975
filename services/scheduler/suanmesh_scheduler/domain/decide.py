"""The decision: every pool weighed, the best chosen, an obstacle named for each of the others.

Same job, same situation: the same verdict, whatever the order of the pools.
"""

from __future__ import annotations

from collections.abc import Sequence

from suanmesh_kernel.reasons import NO_REASON, StateReason
from suanmesh_scheduler.domain import obstacles
from suanmesh_scheduler.domain.fitting import room
from suanmesh_scheduler.domain.moving import moves_of
from suanmesh_scheduler.domain.rooms import EACH_HOST, RoomLookup
from suanmesh_scheduler.domain.values import Candidate, JobSpec, Obstacle, Offer, Pool, Quote, Situation, Verdict, told

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
    offer, quote = _offer(job, pool, situation)
    moves = moves_of(job, pool, situation)
    placed, share = obstacles.of_share(job, pool, lookup.slots(job, pool))
    obstacle = obstacles.of_pool(job, pool) or share or lookup.lack(job, pool, placed)
    obstacle = obstacle or obstacles.of_offers(job, pool) or moves.blocked
    if quote is None:
        return Candidate(
            pool.name,
            pool.site,
            routes=moves.routes,
            homes=moves.homes,
            slots=placed,
            obstacle=obstacle or Obstacle("NO_PRICE", resource=pool.name),
        )
    transfer_micros = None if moves.blocked else moves.micros
    waves = -(-job.count // max(1, room(placed)))
    finish_ms = told(moves.took_ms + (waves * job.longest_s + job.setup * job.max_duration_s) * 1000)
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
        routes=moves.routes,
        homes=moves.homes,
        compute_micros=quote.compute_micros,
        transfer_micros=transfer_micros,
        score_micros=None if cost is None else told(cost + job.second_value_micros * finish_ms // 1000),
        finish_ms=finish_ms,
        obstacle=obstacle,
        setbacks=job.setbacks.get(pool.site, 0),
    )


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
