"""Whether waiting can help a job that nothing fits now, or only somebody who changes the job or what is offered."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from suanmesh_kernel.reasons import NO_REASON, StateReason
from suanmesh_scheduler.domain.decide import weigh
from suanmesh_scheduler.domain.moving import TOO_NARROW_TO
from suanmesh_scheduler.domain.values import NUMBER_MAX, JobSpec, Obstacle, Pool, Situation, Verdict

NEVER_FITS = StateReason("NEVER_FITS")
PASSING = frozenset({"NO_REPLICA", "BANDWIDTH"})
"""Data that moves may arrive, and a link that is full may become free; one that is too narrow stays so."""


def with_outlook(
    verdict: Verdict, job: JobSpec, situation: Situation, idle_fits: Iterable[Pool] | None = None
) -> Verdict:
    """Say of a verdict that admits nothing where that will last: not even the idle mesh could take the job.

    `idle_fits` are the pools of the situation that may have room when idle; all of them where it is not known.
    """
    pools = situation.pools if idle_fits is None else idle_fits
    if verdict.chosen is not None or not situation.pools or _may_fit(job, pools, situation):
        return verdict
    return replace(verdict, reason=verdict.reason.after(NEVER_FITS))


def _may_fit(job: JobSpec, pools: Iterable[Pool], situation: Situation) -> bool:
    """Whether some pool would take it were all that passes by itself over: load, failures, full links, low balances."""
    willing = replace(job, refused_by=frozenset())
    idle = replace(situation, free_micros=NUMBER_MAX, party_budget=None)
    obstacles = (weigh(willing, _idle(pool), idle).obstacle for pool in pools)
    return any(obstacle is None or _passes(obstacle) for obstacle in obstacles)


def _passes(obstacle: Obstacle) -> bool:
    return obstacle.code in PASSING and TOO_NARROW_TO not in obstacle.facts


def _idle(pool: Pool) -> Pool:
    hosts = tuple(replace(host, free=host.capacity) for host in pool.hosts)
    terms = pool.terms and replace(pool.terms, opens=None, held={})
    return replace(
        pool, hosts=hosts, active=True, alive=True, trouble=NO_REASON, failing=None, on_trial=None, closed=NO_REASON,
        terms=terms,
    )  # fmt: skip
