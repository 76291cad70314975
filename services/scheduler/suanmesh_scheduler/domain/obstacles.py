"""The reasons for which a pool cannot take a job, in the order in which they are looked for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import combinations

from suanmesh_kernel.cards import serves
from suanmesh_kernel.owner_limits import closed_until, kinds_of
from suanmesh_kernel.quantities import Capacity, Device
from suanmesh_scheduler.domain.fitting import MEASURES, Slots, first_tasks, room
from suanmesh_scheduler.domain.values import Ask, JobSpec, Obstacle, PartyBudget, Pool, Situation

CODES = {"cpu_milli": "CPU", "memory_bytes": "MEMORY", "scratch_bytes": "SCRATCH"}
BARRING = frozenset({"DISK_FULL", "JOURNAL_FAULT"})
"""What an agent may say of its site that keeps everything away from it."""

BY_ITS_OWNER = frozenset({"PARTY_NOT_ALLOWED", "KIND_REFUSED", "HOURS_CLOSED"})
"""Reasons of `suanmesh_kernel.owner_limits`, which are obstacles of the same name."""


@dataclass(frozen=True, slots=True)
class Lack:
    """A measure a task asks for, beside what is free of it; of cards also the models that would do."""

    code: str
    needed: int
    free: int
    models: str = ""

    @property
    def what(self) -> tuple[str, str]:
        """Which measure it is."""
        return self.code, self.models

    @property
    def facts(self) -> dict[str, str]:
        """What its sentence names beside the numbers."""
        return {"models": self.models} if self.models else {}

    @property
    def shortage(self) -> float:
        """The part that is missing; 0 or less when there is enough."""
        return (self.needed - self.free) / self.needed


def of_pool(job: JobSpec, pool: Pool) -> Obstacle | None:
    """What about the pool itself stands in the way, however much room it has."""
    return (
        _permission(job, pool)
        or _terms(job, pool)
        or _health(job, pool)
        or _package(job, pool)
        or _capability(job, pool)
    )


def of_share(job: JobSpec, pool: Pool, placed: Slots) -> tuple[Slots, Obstacle | None]:
    """The tasks for which the owner leaves the job's party room, of those that there is room for on the hosts."""
    terms = pool.terms
    if terms is None or job.party == terms.owner:
        return placed, None
    cards = tuple(Device(each.device_class, "", each.count) for each in job.ask.devices)
    one = Capacity(job.ask.cpu_milli, job.ask.memory_bytes, job.ask.scratch_bytes, cards)
    most = terms.limits.room(one, terms.whole, terms.held.get(job.party, Capacity()))
    wanted = job.count if job.gang else 1
    if most is None or most >= room(placed):
        return placed, None
    if most < wanted:
        facts = {"party": job.party, "share_milli": str(terms.limits.party_share_milli)}
        return placed, Obstacle("PARTY_SHARE", wanted, most, pool.name, facts)
    return first_tasks(placed, most), None


def of_offers(job: JobSpec, pool: Pool) -> Obstacle | None:
    """Whether the pool can be had for so long."""
    bounds = [offer.max_duration_s for offer in pool.offers]
    if not bounds:
        return Obstacle("NO_OFFER", resource=pool.name)
    if any(bound == 0 or bound >= job.max_duration_s for bound in bounds):
        return None
    return Obstacle("DURATION", job.max_duration_s, max(bounds), pool.name)


def of_cost(job: JobSpec, cost_micros: int, situation: Situation) -> Obstacle | None:
    """Whether budgets and balance cover the cost."""
    in_all = cost_micros + situation.spent_micros
    if job.budget_micros and in_all > job.budget_micros:
        facts = {"missing": str(in_all - job.budget_micros)}
        if situation.spent_micros:
            facts["spent"] = str(situation.spent_micros)
        return Obstacle("BUDGET", in_all, job.budget_micros, facts=facts)
    if cost_micros > situation.free_micros:
        facts = {"missing": str(cost_micros - situation.free_micros)}
        if situation.month is not None:
            facts |= {"budget": str(situation.month.amount_micros), "renews": moment(situation.month.renews)}
            return Obstacle("MONTH_BUDGET", cost_micros, situation.free_micros, job.account, facts)
        return Obstacle("BALANCE", cost_micros, situation.free_micros, job.account, facts)
    return _of_party_budget(cost_micros, situation.party_budget)


def _of_party_budget(cost_micros: int, budget: PartyBudget | None) -> Obstacle | None:
    if budget is None or cost_micros <= budget.left_micros:
        return None
    facts = {
        "missing": str(cost_micros - budget.left_micros),
        "budget": str(budget.amount_micros),
        "currency": budget.currency,
        "renews": moment(budget.renews),
    }
    return Obstacle("PARTY_BUDGET", cost_micros, budget.left_micros, budget.party, facts)


def of_deadline(job: JobSpec, finish_ms: int, situation: Situation) -> Obstacle | None:
    """Whether it ends in time."""
    if job.deadline is None:
        return None
    left_ms = int((job.deadline - situation.now).total_seconds() * 1000)
    if finish_ms <= left_ms:
        return None
    facts = {"deadline": moment(job.deadline)}
    if left_ms <= 0:
        return Obstacle("DEADLINE_PASSED", finish_ms, 0, facts=facts)
    return Obstacle("DEADLINE", finish_ms, left_ms, facts=facts)


def _permission(job: JobSpec, pool: Pool) -> Obstacle | None:
    if pool.site in job.refused_by:
        return Obstacle("REFUSED_BY_SITE", resource=pool.site)
    if pool.site in job.deny_sites or (job.allow_sites and pool.site not in job.allow_sites):
        return Obstacle("SITE_DENIED", resource=pool.site)
    if job.residency and not job.residency & pool.residency:
        return Obstacle("RESIDENCY", resource=pool.site, facts={"residency": ", ".join(sorted(job.residency))})
    for need in job.needs:
        if need.residency and not need.residency & pool.residency:
            where = {"residency": ", ".join(sorted(need.residency))}
            return Obstacle("DATA_RESIDENCY", resource=need.dataset, facts=where)
    return None


def _terms(job: JobSpec, pool: Pool) -> Obstacle | None:
    terms = pool.terms
    if terms is None or job.party == terms.owner:
        return None
    kinds = kinds_of(tasks=job.count, devices=bool(job.ask.devices), inputs=bool(job.needs))
    no = terms.limits.objection(job.party, kinds)
    if not no and terms.opens is not None:
        no = closed_until(terms.opens)
    return Obstacle(no.code, resource=pool.site, facts=no.facts) if no.code in BY_ITS_OWNER else None


def _health(job: JobSpec, pool: Pool) -> Obstacle | None:
    if pool.closed:
        return Obstacle("SITE_CORDONED", resource=pool.site, cause=pool.closed)
    if not pool.alive:
        return Obstacle("SITE_NOT_ALIVE", resource=pool.site)
    if not pool.active:
        return Obstacle("POOL_PHASE", resource=pool.name)
    if pool.failing is not None:
        facts = {"faults": str(pool.failing.faults), "retry_time": moment(pool.failing.retry_time)}
        return Obstacle("SITE_FAILING", resource=pool.site, facts=facts, cause=pool.failing.reason)
    if pool.trouble.code in BARRING:
        return Obstacle("SITE_IN_TROUBLE", resource=pool.site, cause=pool.trouble)
    return None


def _package(job: JobSpec, pool: Pool) -> Obstacle | None:
    if variant_for(job, pool) is not None:
        return None
    if not any(v.architecture in ("", pool.architecture) for v in job.variants):
        return Obstacle("ARCHITECTURE", resource=pool.name, facts={"architecture": pool.architecture})
    runtimes = ", ".join(sorted({v.runtime for v in job.variants}))
    facts = {"runtimes": runtimes} | ({"offered": ", ".join(sorted(pool.runtimes))} if pool.runtimes else {})
    return Obstacle("RUNTIME", resource=pool.name, facts=facts)


def variant_for(job: JobSpec, pool: Pool) -> int | None:
    """Index of the first variant that runs on the pool."""
    for index, variant in enumerate(job.variants):
        if variant.architecture in ("", pool.architecture) and (
            not variant.runtime or variant.runtime in pool.runtimes
        ):
            return index
    return None


def _capability(job: JobSpec, pool: Pool) -> Obstacle | None:
    for quantity, least in job.ask.min_capability:
        value = pool.capabilities.get(quantity, 0)
        if value < least:
            return Obstacle("CAPABILITY", least, value, pool.name, {"quantity": quantity})
    return None


def of_room(job: JobSpec, pool: Pool, placed: Slots) -> Obstacle | None:
    """Too little room: names a measure no host has enough of, else what the nearest host lacks, else the gang's."""
    wanted = job.count if job.gang else 1
    found = room(placed)
    if found >= wanted:
        return None
    if found:
        return _gang(job, pool, wanted, found)
    hosts = [measured(job.ask, host.free) for host in pool.hosts]
    for lack in measured(job.ask, Capacity()):
        most = max((have.free for host in hosts for have in host if have.what == lack.what), default=0)
        if lack.needed > most:
            return Obstacle(lack.code, lack.needed, most, pool.name, lack.facts)
    lacks = [
        (max(host, key=lambda lack: lack.shortage), free.name) for host, free in zip(hosts, pool.hosts, strict=True)
    ]
    nearest, name = min(lacks, key=lambda lack: (lack[0].shortage, lack[1]))
    return Obstacle(nearest.code, nearest.needed, nearest.free, pool.name, {**nearest.facts, "host": name})


def measured(ask: Ask, free: Capacity) -> list[Lack]:
    """Every measure one task asks for, with what is free of it; of cards also what several asks need together."""
    found = [Lack(CODES[measure], getattr(ask, measure), max(0, getattr(free, measure))) for measure in MEASURES]
    for size in range(1, len(ask.devices) + 1):
        for asks in combinations(ask.devices, size):
            usable = sum(c.count for c in free.devices if c.count > 0 and any(serves(c, wanted) for wanted in asks))
            models = " + ".join("/".join(wanted.any_of_models) or wanted.device_class for wanted in asks)
            found.append(Lack("DEVICE", sum(wanted.count for wanted in asks), usable, models))
    return [lack for lack in found if lack.needed > 0]


def _gang(job: JobSpec, pool: Pool, wanted: int, found: int) -> Obstacle:
    """Some tasks of a gang fit, not all: names the measure that lets the fewest in."""
    alone = [
        (sum(have.free // have.needed for host in pool.hosts for have in measured(job.ask, host.free)
             if have.what == lack.what), lack)
        for lack in measured(job.ask, Capacity())
    ]  # fmt: skip
    _, binding = min(alone, key=lambda pair: pair[0])
    facts = {**binding.facts, "tasks": str(wanted), "tasks_fit": str(found), "per_task": str(binding.needed)}
    return Obstacle(binding.code, wanted * binding.needed, found * binding.needed, pool.name, facts)


def moment(at: datetime) -> str:
    """A moment as a fact tells it, to the second."""
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
