"""The reasons for which a pool cannot take a job, in the order in which they are looked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import combinations

from suanmesh_kernel.quantities import Capacity
from suanmesh_scheduler.domain.fitting import MEASURES, room, serves, slots
from suanmesh_scheduler.domain.values import Ask, Blocked, Failing, JobSpec, Obstacle, Pool, Situation

CODES = {"cpu_milli": "CPU", "memory_bytes": "MEMORY", "scratch_bytes": "SCRATCH"}
NOUNS = {
    "cpu_milli": ("milli-cores", "毫核"),
    "memory_bytes": ("bytes of memory", "字节内存"),
    "scratch_bytes": ("bytes of scratch disk", "字节临时盘"),
}


BARRING = frozenset({"DISK_FULL", "JOURNAL_FAULT"})
"""What an agent may say of its site that keeps everything away from it."""


@dataclass(frozen=True, slots=True)
class Lack:
    """A measure a task asks for, beside what is free of it."""

    code: str
    english: str
    chinese: str
    needed: int
    free: int

    @property
    def what(self) -> str:
        """Which measure it is."""
        return self.code + self.english

    @property
    def shortage(self) -> float:
        """The part that is missing; 0 or less when there is enough."""
        return (self.needed - self.free) / self.needed


def of_pool(job: JobSpec, pool: Pool) -> Obstacle | None:
    """What about the pool itself stands in the way."""
    looks: tuple[Callable[[JobSpec, Pool], Obstacle | None], ...] = (
        _permission,
        _standing,
        _package,
        _capability,
        _room,
        _duration,
    )
    return next((obstacle for look in looks if (obstacle := look(job, pool)) is not None), None)


def of_path(blocked: Blocked, job: JobSpec, source: str, target: str) -> Obstacle:
    """Why the data cannot get there."""
    if blocked.kind == "bandwidth":
        return Obstacle(
            "PATH",
            f"{blocked.link} has {blocked.available_bps} bit/s left, {job.min_bandwidth_bps} are needed",
            f"{blocked.link} 只剩 {blocked.available_bps} bit/s,需要 {job.min_bandwidth_bps}",
            job.min_bandwidth_bps,
            blocked.available_bps,
            blocked.link,
        )
    if blocked.kind == "latency":
        return Obstacle(
            "PATH",
            f"the data is {blocked.least_latency_us} µs away, at most {job.max_latency_us} are allowed",
            f"数据相距 {blocked.least_latency_us} 微秒,上限为 {job.max_latency_us}",
            job.max_latency_us,
            blocked.least_latency_us,
            source,
        )
    return Obstacle(
        "PATH", f"no links join {source} and {target}", f"{source} 与 {target} 之间没有链路", resource=source
    )


def of_cost(job: JobSpec, cost_micros: int, situation: Situation) -> Obstacle | None:
    """Whether budget and balance cover the cost."""
    in_all = cost_micros + situation.spent_micros
    if job.budget_micros and in_all > job.budget_micros:
        missing = in_all - job.budget_micros
        before = f" after {situation.spent_micros} for earlier attempts" if situation.spent_micros else ""
        before_zh = f"(此前各次已花费 {situation.spent_micros})" if situation.spent_micros else ""
        return Obstacle(
            "BUDGET",
            f"it may cost {cost_micros} micros{before}, the budget is {job.budget_micros}: {missing} missing",
            f"最多可能花费 {cost_micros} 微元{before_zh},预算为 {job.budget_micros},差 {missing}",
            in_all,
            job.budget_micros,
        )
    if cost_micros > situation.free_micros:
        missing = cost_micros - situation.free_micros
        return Obstacle(
            "BALANCE",
            f"it may cost {cost_micros} micros, {job.account} has {situation.free_micros} free: {missing} missing",
            f"最多可能花费 {cost_micros} 微元,{job.account} 可用 {situation.free_micros},差 {missing}",
            cost_micros,
            situation.free_micros,
            job.account,
        )
    return None


def of_deadline(job: JobSpec, finish_ms: int, situation: Situation) -> Obstacle | None:
    """Whether it ends in time."""
    if job.deadline is None:
        return None
    left_ms = int((job.deadline - situation.now).total_seconds() * 1000)
    if finish_ms <= left_ms:
        return None
    if left_ms <= 0:
        was = job.deadline.strftime("%Y-%m-%dT%H:%M:%SZ")
        return Obstacle("DEADLINE", f"the deadline, {was}, has passed", f"截止时间 {was} 已过", finish_ms, 0)
    return Obstacle(
        "DEADLINE",
        f"it may take {finish_ms} ms, the deadline is in {left_ms} ms",
        f"最长可能需要 {finish_ms} 毫秒,距截止只有 {left_ms} 毫秒",
        finish_ms,
        left_ms,
    )


def _permission(job: JobSpec, pool: Pool) -> Obstacle | None:
    if pool.site in job.refused_by:
        return Obstacle(
            "REFUSED_BY_SITE",
            f"{pool.site} did not take it before, and is tried again later",
            f"{pool.site} 曾拒绝或丢失该作业,稍后再试",
            resource=pool.site,
        )
    if pool.site in job.deny_sites or (job.allow_sites and pool.site not in job.allow_sites):
        return Obstacle(
            "SITE_DENIED", f"the job does not allow {pool.site}", f"作业不允许 {pool.site}", resource=pool.site
        )
    wanted = [("the job", "作业", "", job.residency)]
    wanted += [(need.dataset, need.dataset, need.dataset, need.residency) for need in job.needs]
    for english, chinese, resource, residency in wanted:
        if residency and not residency & pool.residency:
            where = ", ".join(sorted(residency))
            return Obstacle(
                "RESIDENCY", f"{english} must stay within {where}", f"{chinese} 必须留在 {where}", resource=resource
            )
    return None


def _standing(job: JobSpec, pool: Pool) -> Obstacle | None:
    if not pool.alive:
        return Obstacle("SITE_NOT_ALIVE", f"{pool.site} is not heard of", f"{pool.site} 失联", resource=pool.site)
    if not pool.active:
        return Obstacle("POOL_PHASE", f"{pool.name} is not active", f"{pool.name} 未处于可用阶段", resource=pool.name)
    if pool.failing is not None:
        return _failing(pool, pool.failing)
    if pool.trouble.code in BARRING:
        return Obstacle(
            "SITE_IN_TROUBLE",
            f"{pool.site} says of itself: {pool.trouble}",
            f"{pool.site} 报告自身故障: {pool.trouble}",
            resource=pool.site,
        )
    return None


def _failing(pool: Pool, failing: Failing) -> Obstacle:
    again = failing.retry_time.strftime("%Y-%m-%dT%H:%M:%SZ")
    return Obstacle(
        "SITE_FAILING",
        f"{pool.site} failed {failing.faults} runs in a row before they began, and is tried again after {again}; "
        f"the last: {failing.reason}",
        f"{pool.site} 连续 {failing.faults} 次在运行开始之前失败,{again} 之后再试;最近一次: {failing.reason}",
        resource=pool.site,
    )


def _package(job: JobSpec, pool: Pool) -> Obstacle | None:
    if variant_for(job, pool) is not None:
        return None
    fits_architecture = any(v.architecture in ("", pool.architecture) for v in job.variants)
    if not fits_architecture:
        return Obstacle(
            "ARCHITECTURE", f"no variant runs on {pool.architecture}", f"没有可在 {pool.architecture} 上运行的变体"
        )
    engines = ", ".join(sorted({v.engine for v in job.variants}))
    return Obstacle("ENGINE", f"{pool.name} offers none of {engines}", f"{pool.name} 不提供 {engines}")


def variant_for(job: JobSpec, pool: Pool) -> int | None:
    """Index of the first variant that runs on the pool."""
    for index, variant in enumerate(job.variants):
        if variant.architecture in ("", pool.architecture) and (not variant.engine or variant.engine in pool.engines):
            return index
    return None


def _capability(job: JobSpec, pool: Pool) -> Obstacle | None:
    for quantity, least in job.ask.min_capability:
        value = pool.capabilities.get(quantity, 0)
        if value < least:
            return Obstacle(
                "CAPABILITY",
                f"{quantity} is {value}, {least} are needed",
                f"{quantity} 为 {value},需要 {least}",
                least,
                value,
                pool.name,
            )
    return None


def _room(job: JobSpec, pool: Pool) -> Obstacle | None:
    """Too little room: names a measure no host has enough of, else what the nearest host lacks, else the gang's."""
    wanted = job.count if job.gang else 1
    found = room(slots(job.ask, pool.hosts, job.count))
    if found >= wanted:
        return None
    if found:
        return _gang(job, pool, wanted, found)
    hosts = [measured(job.ask, host.free) for host in pool.hosts]
    for lack in measured(job.ask, Capacity()):
        most = max((have.free for host in hosts for have in host if have.what == lack.what), default=0)
        if lack.needed > most:
            return _lacking(replace(lack, free=most), pool, f"no host of {pool.name} has more than", "的主机最多空闲")
    lacks = [
        (max(host, key=lambda lack: lack.shortage), free.name) for host, free in zip(hosts, pool.hosts, strict=True)
    ]
    nearest, name = min(lacks, key=lambda lack: (lack[0].shortage, lack[1]))
    return _lacking(nearest, pool, f"{name} of {pool.name} comes nearest and has", f"的主机 {name} 最接近,空闲")


def measured(ask: Ask, free: Capacity) -> list[Lack]:
    """Every measure one task asks for, with what is free of it; of cards also what several asks need together."""
    found = [
        Lack(CODES[measure], *NOUNS[measure], getattr(ask, measure), max(0, getattr(free, measure)))
        for measure in MEASURES
    ]
    for size in range(1, len(ask.devices) + 1):
        for asks in combinations(ask.devices, size):
            usable = sum(c.count for c in free.devices if c.count > 0 and any(serves(c, wanted) for wanted in asks))
            models = " and ".join("/".join(wanted.any_of_models) or wanted.device_class for wanted in asks)
            needed = sum(wanted.count for wanted in asks)
            found.append(Lack("DEVICE", f"cards of {models}", f"块 {models}", needed, usable))
    return [lack for lack in found if lack.needed > 0]


def _lacking(lack: Lack, pool: Pool, english: str, chinese: str) -> Obstacle:
    return Obstacle(
        lack.code,
        f"a task needs {lack.needed} {lack.english}, {english} {lack.free} free",
        f"每个任务需要 {lack.needed} {lack.chinese},{pool.name} {chinese} {lack.free}",
        lack.needed,
        lack.free,
        pool.name,
    )


def _gang(job: JobSpec, pool: Pool, wanted: int, found: int) -> Obstacle:
    """Some tasks of a gang fit, not all: names the measure that lets the fewest in."""
    alone = [
        (sum(have.free // have.needed for host in pool.hosts for have in measured(job.ask, host.free)
             if have.what == lack.what), lack)
        for lack in measured(job.ask, Capacity())
    ]  # fmt: skip
    _, binding = min(alone, key=lambda pair: pair[0])
    return Obstacle(
        binding.code,
        f"{wanted} tasks of {binding.needed} {binding.english} must run together, {pool.name} has room for {found}",
        f"{wanted} 个各需 {binding.needed} {binding.chinese} 的任务须同时运行,{pool.name} 只容得下 {found} 个",
        wanted * binding.needed,
        found * binding.needed,
        pool.name,
    )


def _duration(job: JobSpec, pool: Pool) -> Obstacle | None:
    bounds = [offer.max_duration_s for offer in pool.offers]
    if not bounds:
        return Obstacle("NO_PRICE", f"{pool.name} makes no offer", f"{pool.name} 没有报价", resource=pool.name)
    if any(bound == 0 or bound >= job.max_duration_s for bound in bounds):
        return None
    return Obstacle(
        "DURATION",
        f"it may run {job.max_duration_s} s, no offer allows more than {max(bounds)}",
        f"最长运行 {job.max_duration_s} 秒,报价最多允许 {max(bounds)}",
        job.max_duration_s,
        max(bounds),
        pool.name,
    )
