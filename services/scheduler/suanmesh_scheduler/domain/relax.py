"""The smallest single change that admits a job which nothing admitted, found by trying it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from suanmesh_scheduler.domain.decide import weigh
from suanmesh_scheduler.domain.fitting import MEASURES, room, slots
from suanmesh_scheduler.domain.obstacles import moment
from suanmesh_scheduler.domain.values import AdmittingChange, Candidate, JobSpec, Pool, Situation, Verdict

GRACE = timedelta(seconds=60)
"""A later deadline leaves so much time to be asked for."""
WHOLE = 1.0
"""The size of a change that no number measures: the field is another one then."""
ROOM_CODES = frozenset({"CPU", "MEMORY", "SCRATCH", "DEVICE"})


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
    """Add to a verdict that admits nothing the smallest change that would; ties go to the pool that then wins."""
    if verdict.chosen is not None:
        return verdict
    pools = {pool.name: pool for pool in situation.pools}
    found: list[tuple[float, tuple[int, int, int, str], str, AdmittingChange]] = []
    for candidate in verdict.candidates:
        pool = pools[candidate.pool]
        for attempt in _tries(job, pool, candidate, situation):
            weighed = weigh(attempt.job, pool, attempt.situation)
            if weighed.obstacle is None:
                change = AdmittingChange(attempt.field, attempt.before, attempt.after, pool.name)
                found.append((attempt.size, weighed.rank, attempt.field, change))
    return replace(verdict, change=min(found, key=lambda f: f[:3])[3]) if found else verdict


def _tries(job: JobSpec, pool: Pool, candidate: Candidate, situation: Situation) -> Iterator[_Try]:
    """What may be changed about the obstacle that stands in the way."""
    obstacle = candidate.obstacle
    if obstacle is None:
        return
    needed, available = obstacle.needed or 0, obstacle.available or 0
    match obstacle.code:
        case code if code in ROOM_CODES:
            yield from _smaller(job, pool, situation)
        case "CAPABILITY":
            yield from _capability(job, pool, situation)
        case "BUDGET":
            relaxed = replace(job, budget_micros=needed)
            yield _number("constraints.budget_micros", available, needed, relaxed, situation)
        case "BALANCE":
            kept = situation.held_micros
            richer = replace(situation, free_micros=needed)
            yield _number(f"{job.account}.balance_micros", available + kept, needed + kept, job, richer)
        case "DURATION":
            yield _number("max_duration_s", needed, available, replace(job, max_duration_s=available), situation)
        case "DEADLINE" | "DEADLINE_PASSED":
            yield from _in_time(job, candidate, situation)
        case "BANDWIDTH" | "LATENCY":
            yield from _path(job, pool, situation)
        case "SITE_DENIED":
            yield _allowed(job, pool, situation)
        case "RESIDENCY" if job.residency and pool.residency:
            more = job.residency | {min(pool.residency)}
            yield _names("constraints.residency", job.residency, more, replace(job, residency=more), situation)


def _smaller(job: JobSpec, pool: Pool, situation: Situation) -> Iterator[_Try]:
    """Ask for less of one measure, as little less as some host has room for, or for a smaller gang."""
    for measure in MEASURES:
        asked = getattr(job.ask, measure)
        frees = {getattr(host.free, measure) for host in pool.hosts}
        shares = {free // together for free in frees for together in range(1, (job.count if job.gang else 1) + 1)}
        make = _with_measure(job, measure)
        most = _most([v for v in shares if 0 < v < asked], make, pool)
        if most is not None:
            yield _number(f"ask.{measure}", asked, most, make(most), situation)
    for index, device in enumerate(job.ask.devices):
        make = _with_cards(job, index)
        most = _most(range(1, device.count), make, pool)
        if most is not None:
            yield _number(f"ask.devices[{index}].count", device.count, most, make(most), situation)
    fitting = room(slots(job.ask, pool.hosts, job.count))
    if job.gang and 0 < fitting < job.count:
        yield _number("task.count", job.count, fitting, replace(job, count=fitting), situation)


def _with_measure(job: JobSpec, measure: str) -> Callable[[int], JobSpec]:
    return lambda value: replace(job, ask=replace(job.ask, **{measure: value}))  # type: ignore[arg-type]


def _with_cards(job: JobSpec, index: int) -> Callable[[int], JobSpec]:
    def fewer(count: int) -> JobSpec:
        devices = list(job.ask.devices)
        devices[index] = replace(devices[index], count=count)
        return replace(job, ask=replace(job.ask, devices=tuple(devices)))

    return fewer


def _fits(job: JobSpec, pool: Pool) -> bool:
    return room(slots(job.ask, pool.hosts, job.count)) >= (job.count if job.gang else 1)


def _most(values: Sequence[int], make: Callable[[int], JobSpec], pool: Pool) -> int | None:
    """The greatest value with which the job fits; it fits with all that are less."""
    ordered = sorted(values)
    low, high = 0, len(ordered)
    while low < high:
        middle = (low + high) // 2
        if _fits(make(ordered[middle]), pool):
            low = middle + 1
        else:
            high = middle
    return ordered[low - 1] if low else None


def _capability(job: JobSpec, pool: Pool, situation: Situation) -> Iterator[_Try]:
    for index, (quantity, least) in enumerate(job.ask.min_capability):
        value = pool.capabilities.get(quantity, 0)
        if value < least:
            lower = list(job.ask.min_capability)
            lower[index] = (quantity, value)
            relaxed = replace(job, ask=replace(job.ask, min_capability=tuple(lower)))
            yield _number(f"ask.min_capability[{index}].value", least, value, relaxed, situation)


def _in_time(job: JobSpec, candidate: Candidate, situation: Situation) -> Iterator[_Try]:
    """A later deadline, as long as the calendar has one."""
    last = datetime.max.replace(tzinfo=UTC) - 2 * GRACE
    if job.deadline is None or candidate.finish_ms >= (last - situation.now) / timedelta(milliseconds=1):
        return
    end = situation.now + timedelta(milliseconds=candidate.finish_ms) + GRACE
    later = end.replace(microsecond=0) + timedelta(seconds=1)
    left_ms = (job.deadline - situation.now) // timedelta(milliseconds=1)
    size = (candidate.finish_ms - left_ms) / max(abs(left_ms), 1)
    before, after = moment(job.deadline), moment(later)
    yield _Try("constraints.deadline", before, after, size, replace(job, deadline=later), situation)


def _path(job: JobSpec, pool: Pool, situation: Situation) -> Iterator[_Try]:
    """Ask for less bandwidth, or allow more latency, with the paths as they were found under that bound."""
    for opening in situation.openings.get(pool.site, ()):
        relaxed = replace(job, **{opening.field: opening.value})  # type: ignore[arg-type]
        opened = replace(situation, paths={**situation.paths, **opening.paths})
        yield _number(f"constraints.{opening.field}", getattr(job, opening.field), opening.value, relaxed, opened)


def _allowed(job: JobSpec, pool: Pool, situation: Situation) -> _Try:
    if pool.site in job.deny_sites:
        left = job.deny_sites - {pool.site}
        return _names("constraints.deny_sites", job.deny_sites, left, replace(job, deny_sites=left), situation)
    more = job.allow_sites | {pool.site}
    return _names("constraints.allow_sites", job.allow_sites, more, replace(job, allow_sites=more), situation)


def _number(field: str, before: int, after: int, job: JobSpec, situation: Situation) -> _Try:
    return _Try(field, str(before), str(after), abs(after - before) / max(abs(before), 1), job, situation)


def _names(field: str, before: frozenset[str], after: frozenset[str], job: JobSpec, situation: Situation) -> _Try:
    return _Try(field, ", ".join(sorted(before)), ", ".join(sorted(after)), WHOLE, job, situation)
