"""How a job's data gets to a pool and its results get away: the routes, their rates, and what stands in the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from suanmesh_scheduler.domain.values import Blocked, JobSpec, Obstacle, Path, PlannedTransfer, Pool, Situation, told

TRANSFER_S = 5
"""A transfer is given the rate at which it takes about so long, where the path has it."""
RATE_BPS_MIN = 10_000_000
"""A transfer asks for no less where the path has it: small datasets should not dawdle."""
RESULT_BPS_MIN = 1_000_000
"""Results wait until their way has so much left."""
MEBIBYTE = 1 << 20
TOO_NARROW_TO = "target"
"""Fact of an obstacle of bandwidth that does not pass: where no way could carry so much, however idle it is."""


class Moves(NamedTuple):
    """What is moved for a job on one pool; one is made for every pool that is weighed."""

    routes: tuple[PlannedTransfer, ...] = ()
    """Of its inputs, by source."""
    homes: tuple[PlannedTransfer, ...] = ()
    """Of its results, by target."""
    blocked: Obstacle | None = None
    """The first of them that cannot be."""

    @property
    def took_ms(self) -> int:
        """How long both take: inputs come side by side, and so do results leave."""
        return sum(max(route.transfer_ms for route in ways) for ways in (self.routes, self.homes) if ways)

    @property
    def micros(self) -> int:
        """What they cost by the links' prices, rounded up: it is a bound, not a bill."""
        ways = (*self.routes, *self.homes)
        return told(sum(-(-way.bytes * way.path.price_micros_per_mib // MEBIBYTE) for way in ways))


STAYS = Moves()


def moves_of(job: JobSpec, pool: Pool, situation: Situation) -> Moves:
    """What has to move for the job to run on a pool, its results as large as they may be."""
    if not job.needs and not job.results:
        return STAYS
    routes, blocked = _routes(job, pool, situation) if job.needs else ((), None)
    homes, stranded = _homes(job, pool, situation) if job.results else ((), None)
    return Moves(routes, homes, blocked or stranded)


def rate_for(available_bps: int, size: int, least_bps: int) -> int:
    """The rate a transfer of `size` bytes is given: what it can use, never more than its path has."""
    useful = max(least_bps, RATE_BPS_MIN, size * 8 // TRANSFER_S)
    return max(1, min(available_bps, useful))


def shared(routes: Sequence[PlannedTransfer], least_bps: int) -> tuple[PlannedTransfer, ...] | Blocked:
    """The routes with rates that fit together: each has the least rate, the rest goes by what each could use.

    Of a link no more is known than what its widest path has left; together they stay within that. Blocked where a link
    cannot give every route the least rate.
    """
    rates = [route.rate_bps for route in routes]
    for link in sorted({link for route in routes for link in route.path.links}):
        over = [index for index, route in enumerate(routes) if link in route.path.links]
        has_bps = max(routes[index].path.available_bps for index in over)
        wanted = sum(routes[index].rate_bps for index in over)
        if wanted <= has_bps:
            continue
        floors = [min(least_bps, routes[index].rate_bps) for index in over]
        spare = has_bps - sum(floors)
        if spare < 0:
            return Blocked("bandwidth", link, has_bps // len(over))
        for index, floor in zip(over, floors, strict=True):
            extra = (routes[index].rate_bps - floor) * spare // (wanted - sum(floors))
            rates[index] = min(rates[index], floor + extra)
    return tuple(replace(route, rate_bps=rate) for route, rate in zip(routes, rates, strict=True))


def ways_home(homes: Sequence[PlannedTransfer]) -> tuple[PlannedTransfer, ...]:
    """Routes of results with rates that can be held together: a link they share is parted among them."""
    together = shared(homes, 1)
    return tuple(homes) if isinstance(together, Blocked) else together


def _routes(job: JobSpec, pool: Pool, situation: Situation) -> tuple[tuple[PlannedTransfer, ...], Obstacle | None]:
    """How every input gets there, grouped by source; the first that cannot is the obstacle."""
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
            return (), _obstacle(path, job, source, pool.site)
        routes.append(PlannedTransfer(source, path, size, rate_for(path.available_bps, size, job.min_bandwidth_bps)))
    together = shared(routes, job.min_bandwidth_bps)
    if isinstance(together, Blocked):
        return (), _obstacle(together, job, together.link, pool.site)
    return together, None


def _homes(job: JobSpec, pool: Pool, situation: Situation) -> tuple[tuple[PlannedTransfer, ...], Obstacle | None]:
    """How results get to where they are wanted, grouped by target, were they as large as they may be."""
    by_target: dict[str, int] = {}
    for result in job.results:
        if result.target != pool.site:
            by_target[result.target] = by_target.get(result.target, 0) + result.bytes
    homes = []
    for target, size in sorted(by_target.items()):
        path = situation.homes.get((pool.site, target), Blocked("disconnected"))
        if isinstance(path, Blocked):
            return (), _obstacle(path, replace(job, min_bandwidth_bps=RESULT_BPS_MIN), pool.site, target)
        homes.append(PlannedTransfer(target, path, size, rate_for(path.available_bps, size, RESULT_BPS_MIN)))
    return tuple(replace(home, rate_bps=max(RESULT_BPS_MIN, home.rate_bps)) for home in ways_home(homes)), None


def _nearest(sites: frozenset[str], target: str, situation: Situation) -> str | None:
    """The source with a path and the least latency; one without a path only where there is no other."""

    def distance(site: str) -> tuple[int, int, str]:
        path = situation.paths.get((site, target))
        return (0, path.latency_us, site) if isinstance(path, Path) else (1, 0, site)

    return min(sites, key=distance, default=None)


def _obstacle(blocked: Blocked, job: JobSpec, source: str, target: str) -> Obstacle:
    """Why the data cannot get there."""
    if blocked.kind == "bandwidth" and job.min_bandwidth_bps > blocked.most_bps:
        ends = {"source": source, TOO_NARROW_TO: target}
        return Obstacle("BANDWIDTH", job.min_bandwidth_bps, blocked.most_bps, blocked.link, ends)
    if blocked.kind == "bandwidth":
        return Obstacle("BANDWIDTH", job.min_bandwidth_bps, blocked.available_bps, blocked.link)
    if blocked.kind == "latency":
        return Obstacle("LATENCY", job.max_latency_us, blocked.least_latency_us, source)
    return Obstacle("NO_PATH", resource=source, facts={"target": target})
