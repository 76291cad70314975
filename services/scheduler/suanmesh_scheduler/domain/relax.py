"""The smallest single change that admits a job which nothing admitted, found by trying it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from suanmesh_scheduler.domain.decide import weigh
from suanmesh_scheduler.domain.values import (
    AdmittingChange,
    Blocked,
    Candidate,
    JobSpec,
    Path,
    Pool,
    Situation,
    Verdict,
)


@dataclass(frozen=True, slots=True)
class _Try:
    """One change and what job and situation are then."""

    field: str
    before: str
    after: str
    size: float
    job: JobSpec
    situation: Situation


def with_change(verdict: Verdict, job: JobSpec, situation: Situation) -> Verdict:
    """Add to a verdict that admits nothing the smallest change that would; ties go by pool, then by field."""
    if verdict.chosen is not None:
        return verdict
    pools = {pool.name: pool for pool in situation.pools}
    found: list[tuple[float, str, str, AdmittingChange]] = []
    for candidate in verdict.candidates:
        pool = pools[candidate.pool]
        for attempt in _tries(job, pool, candidate, situation):
            if weigh(attempt.job, pool, attempt.situation).obstacle is None:
                found.append((attempt.size, pool.name, attempt.field, _told(attempt, pool)))
    return replace(verdict, change=min(found, key=lambda f: f[:3])[3]) if found else verdict


def _tries(job: JobSpec, pool: Pool, candidate: Candidate, situation: Situation) -> list[_Try]:
    obstacle = candidate.obstacle
    if obstacle is None:
        return []
    needed, available = obstacle.needed or 0, obstacle.available or 0
    match obstacle.code:
        case "CPU" if job.gang and job.count > 1 and available >= job.ask.cpu_milli:
            count = available // job.ask.cpu_milli
            return [_number("task.count", job.count, count, replace(job, count=count), situation)]
        case "CPU" if available > 0:
            return [_ask("cpu_milli", needed, available, job, situation)]
        case "MEMORY" if available > 0:
            return [_ask("memory_bytes", needed, available, job, situation)]
        case "SCRATCH" if available > 0:
            return [_ask("scratch_bytes", needed, available, job, situation)]
        case "BUDGET":
            return [
                _number("constraints.budget_micros", available, needed, replace(job, budget_micros=needed), situation)
            ]
        case "BALANCE":
            richer = replace(situation, free_micros=needed)
            return [_number(f"{job.account}.balance_micros", available, needed, job, richer)]
        case "DURATION":
            return [_number("max_duration_s", needed, available, replace(job, max_duration_s=available), situation)]
        case "PATH":
            return _path(job, pool, situation)
        case "SITE_DENIED":
            return [_allowed(job, pool, situation)]
        case "DEADLINE" if job.deadline is not None and candidate.finish_ms:
            longer = (candidate.finish_ms - available) / max(available, 1)
            text = f"{candidate.finish_ms} ms from now"
            return [
                _Try(
                    "constraints.deadline",
                    f"{available} ms from now",
                    text,
                    longer,
                    replace(job, deadline=None),
                    situation,
                )
            ]
        case _:
            return []


def _ask(field: str, before: int, after: int, job: JobSpec, situation: Situation) -> _Try:
    smaller = replace(job, ask=replace(job.ask, **{field: after}))  # type: ignore[arg-type]
    return _number(f"ask.{field}", before, after, smaller, situation)


def _number(field: str, before: int, after: int, job: JobSpec, situation: Situation) -> _Try:
    return _Try(field, str(before), str(after), abs(after - before) / max(abs(before), 1), job, situation)


def _path(job: JobSpec, pool: Pool, situation: Situation) -> list[_Try]:
    """Ask for less bandwidth, or allow more latency, as far as the blocked path gives."""
    found = []
    for (source, target), blocked in situation.paths.items():
        if target != pool.site or not isinstance(blocked, Blocked):
            continue
        if blocked.kind == "bandwidth" and blocked.available_bps > 0:
            opened = Path((blocked.link,), 0, blocked.available_bps)
            relaxed = replace(job, min_bandwidth_bps=blocked.available_bps)
            field, before, after = "constraints.min_bandwidth_bps", job.min_bandwidth_bps, blocked.available_bps
        elif blocked.kind == "latency" and blocked.least_latency_us > 0:
            opened = Path((), blocked.least_latency_us, max(job.min_bandwidth_bps, 1))
            relaxed = replace(job, max_latency_us=blocked.least_latency_us)
            field, before, after = "constraints.max_latency_us", job.max_latency_us, blocked.least_latency_us
        else:
            continue
        paths = {**situation.paths, (source, target): opened}
        found.append(_number(field, before, after, relaxed, replace(situation, paths=paths)))
    return found


def _allowed(job: JobSpec, pool: Pool, situation: Situation) -> _Try:
    if pool.site in job.deny_sites:
        left = job.deny_sites - {pool.site}
        return _Try(
            "constraints.deny_sites", _list(job.deny_sites), _list(left), 1.0, replace(job, deny_sites=left), situation
        )
    more = job.allow_sites | {pool.site}
    return _Try(
        "constraints.allow_sites", _list(job.allow_sites), _list(more), 1.0, replace(job, allow_sites=more), situation
    )


def _list(names: frozenset[str]) -> str:
    return ", ".join(sorted(names))


def _told(attempt: _Try, pool: Pool) -> AdmittingChange:
    change = f"{attempt.field} from {attempt.before or 'none'} to {attempt.after or 'none'}"
    changed = f"将 {attempt.field} 由 {attempt.before or '无'} 改为 {attempt.after or '无'}"
    return AdmittingChange(
        attempt.field,
        attempt.before,
        attempt.after,
        pool.name,
        f"{pool.name} would take it with {change}",
        f"{changed} 后,{pool.name} 可以接纳",
    )
