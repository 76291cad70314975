"""Whether waiting can help a job that nothing fits now, or only somebody who changes the job or what is offered."""

from __future__ import annotations

from dataclasses import replace

from suanmesh_kernel.reasons import NO_REASON
from suanmesh_kernel.texts import Text
from suanmesh_scheduler.domain.decide import weigh
from suanmesh_scheduler.domain.values import NUMBER_MAX, Blocked, JobSpec, Pool, Situation, Verdict


def with_outlook(verdict: Verdict, job: JobSpec, situation: Situation) -> Verdict:
    """Say of a verdict that admits nothing where that will last: not even the idle mesh could take the job."""
    if verdict.chosen is not None or not situation.pools or _may_fit(job, situation):
        return verdict
    count = len(situation.pools)
    reason = Text(f"none of {count} pools could ever take it, even idle", f"{count} 个资源池即使空闲也都不能接纳")
    return replace(verdict, reason=reason.en, reason_zh=reason.zh, never_fits=True)


def _may_fit(job: JobSpec, situation: Situation) -> bool:
    """Whether some pool would take it were all that passes by itself over: load, failures, full links, low balances."""
    willing = replace(job, refused_by=frozenset())
    idle = replace(situation, free_micros=NUMBER_MAX)
    obstacles = ((pool, weigh(willing, _idle(pool), idle).obstacle) for pool in situation.pools)
    return any(obstacle is None or _passes(obstacle.code, pool, situation) for pool, obstacle in obstacles)


def _idle(pool: Pool) -> Pool:
    hosts = tuple(replace(host, free=host.capacity) for host in pool.hosts)
    return replace(pool, hosts=hosts, active=True, alive=True, trouble=NO_REASON, failing=None, on_trial=None)


def _passes(code: str, pool: Pool, situation: Situation) -> bool:
    """Data that moves may arrive, and a link that is full may become free."""
    full = (way for (_, target), way in situation.paths.items() if target == pool.site)
    return code == "NO_REPLICA" or (
        code == "PATH" and any(isinstance(way, Blocked) and way.kind == "bandwidth" for way in full)
    )
