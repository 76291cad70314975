"""The reasons for which a pool cannot take a job, in the order in which they are looked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from suanmesh_kernel.quantities import Capacity
from suanmesh_scheduler.domain.fitting import MEASURES, cards_free, slots
from suanmesh_scheduler.domain.values import Blocked, JobSpec, Obstacle, Pool, Situation

CODES = {"cpu_milli": "CPU", "memory_bytes": "MEMORY", "scratch_bytes": "SCRATCH"}
NOUNS = {
    "cpu_milli": ("milli-cores", "毫核"),
    "memory_bytes": ("bytes of memory", "字节内存"),
    "scratch_bytes": ("bytes of scratch disk", "字节临时盘"),
}


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
    if job.budget_micros and cost_micros > job.budget_micros:
        missing = cost_micros - job.budget_micros
        return Obstacle(
            "BUDGET",
            f"it may cost {cost_micros} micros, the budget is {job.budget_micros}: {missing} missing",
            f"最多可能花费 {cost_micros} 微元,预算为 {job.budget_micros},差 {missing}",
            cost_micros,
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
    return Obstacle(
        "DEADLINE",
        f"it may take {finish_ms} ms, the deadline is in {left_ms}",
        f"最长可能需要 {finish_ms} 毫秒,距截止只有 {left_ms}",
        finish_ms,
        left_ms,
    )


def _permission(job: JobSpec, pool: Pool) -> Obstacle | None:
    if pool.site in job.refused_by:
        return Obstacle(
            "REFUSED_BY_SITE",
            f"{pool.site} did not take it before",
            f"{pool.site} 曾拒绝或丢失该作业",
            resource=pool.site,
        )
    if pool.site in job.deny_sites or (job.allow_sites and pool.site not in job.allow_sites):
        return Obstacle(
            "SITE_DENIED", f"the job does not allow {pool.site}", f"作业不允许 {pool.site}", resource=pool.site
        )
    wanted: list[tuple[str, frozenset[str]]] = [("the job", job.residency)]
    wanted += [(need.dataset, need.residency) for need in job.needs]
    for who, residency in wanted:
        if residency and not residency & pool.residency:
            where = ", ".join(sorted(residency))
            return Obstacle("RESIDENCY", f"{who} must stay within {where}", f"{who} 必须留在 {where}", resource=who)
    return None


def _standing(job: JobSpec, pool: Pool) -> Obstacle | None:
    if not pool.alive:
        return Obstacle("SITE_NOT_ALIVE", f"{pool.site} is not heard of", f"{pool.site} 失联", resource=pool.site)
    if not pool.active:
        return Obstacle("POOL_PHASE", f"{pool.name} is not active", f"{pool.name} 未处于可用阶段", resource=pool.name)
    return None


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
    """Too little room: names the measure of which the best host lacks the most, or the number of tasks that fit."""
    wanted = job.count if job.gang else 1
    found = sum(count for _, count in slots(job.ask, pool.hosts, job.count))
    if found >= wanted:
        return None
    for measure in MEASURES:
        needed = getattr(job.ask, measure)
        best = _most((host.free for host in pool.hosts), measure)
        if needed > best:
            english, chinese = NOUNS[measure]
            return Obstacle(
                CODES[measure],
                f"a task needs {needed} {english}, no host of {pool.name} has more than {best} free",
                f"每个任务需要 {needed} {chinese},{pool.name} 的主机最多空闲 {best}",
                needed,
                best,
                pool.name,
            )
    for device in job.ask.devices:
        best = max((cards_free(device, host.free) for host in pool.hosts), default=0)
        if device.count > best:
            return Obstacle(
                "DEVICE",
                f"a task needs {device.count} {device.device_class} cards, no host has more than {best} that serve",
                f"每个任务需要 {device.count} 块 {device.device_class},单台主机最多 {best} 块可用",
                device.count,
                best,
                pool.name,
            )
    return Obstacle(
        "CPU",
        f"{wanted} tasks must run together, {pool.name} has room for {found}",
        f"{wanted} 个任务须同时运行,{pool.name} 只容得下 {found} 个",
        wanted * job.ask.cpu_milli,
        found * job.ask.cpu_milli,
        pool.name,
    )


def _most(capacities: Iterable[Capacity], measure: str) -> int:
    return max((max(0, getattr(capacity, measure)) for capacity in capacities), default=0)


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
