"""The smallest single change that admits a job which nothing admitted, found by trying it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from suanmesh_scheduler.domain.decide import weigh
from suanmesh_scheduler.domain.fitting import MEASURES, room, slots
from suanmesh_scheduler.domain.obstacles import moment
from suanmesh_scheduler.domain.rooms import EACH_HOST, RoomLookup, greatest
from suanmesh_scheduler.domain.values import AdmittingChange, Candidate, JobSpec, Pool, Situation, Verdict

GRACE = timedelta(seconds=60)
"""A later deadline leaves so much time to be asked for."""
WHOLE = 1.0
"""The size of a change that no number measures: the field is another one then."""
ROOM_CODES = frozenset({"CPU", "MEMORY", "SCRATCH", "DEVICE"})


_Changed = Callable[[], tuple[JobSpec, Situation]]


@dataclass(frozen=True, slots=True)
class _Try:
    """One change, and what job and situation are then."""

    field: str
    before: str
    after: str
    size: float
    changed: _Changed


def with_change(verdict: Verdict, job: JobSpec, situation: Situation, lookup: RoomLookup = EACH_HOST) -> Verdict:
    """Add to a verdict that admits nothing the smallest change that would; ties go to the pool that then wins."""
    if verdict.chosen is not None:
        return verdict
    pools = {pool.name: pool for pool in situation.pools}
    tries = [
        (attempt, pool)
        for candidate in verdict.candidates
        for pool in (pools[candidate.pool],)
        for attempt in _tries(job, pool, candidate, situation, lookup)
    ]
    found: list[tuple[float, tuple[int, int, int, str], str, AdmittingChange]] = []
    for attempt, pool in sorted(tries, key=lambda each: each[0].size):
        if found and attempt.size > found[0][0]:
            break
        changed_job, changed_situation = attempt.changed()
        weighed = weigh(changed_job, pool, changed_situation)
        if weighed.obstacle is None:
            change = AdmittingChange(attempt.field, attempt.before, attempt.after, pool.name)
            found.append((attempt.size, weighed.rank, attempt.field, change))
    return replace(verdict, change=min(found, key=lambda f: f[:3])[3]) if found else verdict


def _tries(job: JobSpec, pool: Pool, candidate: Candidate, situation: Situation, lookup: RoomLookup) -> Iterator[_Try]:
    """What may be changed about the obstacle that stands in the way."""
    obstacle = candidate.obstacle
    if obstacle is None:
        return
    needed, available = obstacle.needed or 0, obstacle.available or 0
    match obstacle.code:
        case code if code in ROOM_CODES:
            yield from _smaller(job, pool, situation, lookup)
        case "CAPABILITY":
            yield from _capability(job, pool, situation)
        case "BUDGET":
            yield _number("constraints.budget_micros", available, needed, _with(job, situation, budget_micros=needed))
        case "BALANCE":
            kept = situation.held_micros
            richer = replace(situation, free_micros=needed)
            yield _number(f"{job.account}.balance_micros", available + kept, needed + kept, lambda: (job, richer))
        case "MONTH_BUDGET" if situation.month is not None:
            before = situation.month.amount_micros
            richer = replace(situation, free_micros=needed)
            field = f"{job.account}.budget.amount_micros"
            yield _number(field, before, before + needed - available, lambda: (job, richer))
        case "PARTY_BUDGET" if (budget := situation.party_budget) is not None:
            more = budget.amount_micros + needed - available
            richer = replace(situation, party_budget=replace(budget, amount_micros=more, left_micros=needed))
            yield _number(f"{budget.party}.budget.amount_micros", budget.amount_micros, more, lambda: (job, richer))
        case "DURATION":
            yield _number("max_duration_s", needed, available, _with(job, situation, max_duration_s=available))
        case "DEADLINE" | "DEADLINE_PASSED":
            yield from _in_time(job, candidate, situation)
        case "BANDWIDTH" | "LATENCY":
            yield from _path(job, pool, situation)
        case "SITE_DENIED":
            yield _allowed(job, pool, situation)
        case "RESIDENCY" if job.residency and pool.residency:
            yield _names("residency", job, job.residency | {min(pool.residency)}, situation)


def _smaller(job: JobSpec, pool: Pool, situation: Situation, lookup: RoomLookup) -> Iterator[_Try]:
    """Ask for less of one measure, as little less as some host has room for, or for a smaller gang."""
    for measure in MEASURES:
        largest = lookup.largest(job, pool, measure)
        if largest is not None:
            changed = _with_ask(job, situation, **{measure: largest})
            yield _number(f"ask.{measure}", getattr(job.ask, measure), largest, changed)
    for index, device in enumerate(job.ask.devices):
        fewer = _with_cards(job, index)
        most = greatest(range(1, device.count), fewer, pool)
        if most is not None:
            changed = _with_ask(job, situation, devices=fewer(most).ask.devices)
            yield _number(f"ask.devices[{index}].count", device.count, most, changed)
    if job.gang:
        fitting = room(slots(job.ask, pool.hosts, job.count))
        if 0 < fitting < job.count:
            yield _number("task.count", job.count, fitting, _with(job, situation, count=fitting))


def _with_cards(job: JobSpec, index: int) -> Callable[[int], JobSpec]:
    def fewer(count: int) -> JobSpec:
        devices = list(job.ask.devices)
        devices[index] = replace(devices[index], count=count)
        return replace(job, ask=replace(job.ask, devices=tuple(devices)))

    return fewer


def _capability(job: JobSpec, pool: Pool, situation: Situation) -> Iterator[_Try]:
    for index, (quantity, least) in enumerate(job.ask.min_capability):
        value = pool.capabilities.get(quantity, 0)
        if value < least:
            lower = list(job.ask.min_capability)
            lower[index] = (quantity, value)
            changed = _with_ask(job, situation, min_capability=tuple(lower))
            yield _number(f"ask.min_capability[{index}].value", least, value, changed)


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
    yield _Try("constraints.deadline", before, after, size, _with(job, situation, deadline=later))


def _path(job: JobSpec, pool: Pool, situation: Situation) -> Iterator[_Try]:
    """Ask for less bandwidth, or allow more latency, with the paths as they were found under that bound."""
    for opening in situation.openings.get(pool.site, ()):
        opened = replace(situation, paths={**situation.paths, **opening.paths})
        changed = _with(job, opened, **{opening.field: opening.value})
        yield _number(f"constraints.{opening.field}", getattr(job, opening.field), opening.value, changed)


def _allowed(job: JobSpec, pool: Pool, situation: Situation) -> _Try:
    if pool.site in job.deny_sites:
        return _names("deny_sites", job, job.deny_sites - {pool.site}, situation)
    return _names("allow_sites", job, job.allow_sites | {pool.site}, situation)


def _number(field: str, before: int, after: int, changed: _Changed) -> _Try:
    return _Try(field, str(before), str(after), abs(after - before) / max(abs(before), 1), changed)


def _names(field: str, job: JobSpec, after: frozenset[str], situation: Situation) -> _Try:
    before = ", ".join(sorted(getattr(job, field)))
    changed = _with(job, situation, **{field: after})
    return _Try(f"constraints.{field}", before, ", ".join(sorted(after)), WHOLE, changed)


def _with(job: JobSpec, situation: Situation, **fields: object) -> _Changed:
    return lambda: (replace(job, **fields), situation)  # type: ignore[arg-type]


def _with_ask(job: JobSpec, situation: Situation, **fields: object) -> _Changed:
    return lambda: (replace(job, ask=replace(job.ask, **fields)), situation)  # type: ignore[arg-type]
