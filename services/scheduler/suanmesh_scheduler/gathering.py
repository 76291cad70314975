"""Reading the situation a decision is made from: mirrors, and one batched call to each other area."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from suanmesh.accounting.v1 import accounting_service_pb2 as accounting
from suanmesh.accounting.v1 import usage_pb2
from suanmesh.network_orchestrator.v1 import network_orchestrator_service_pb2 as network
from suanmesh.registry.v1 import pool_pb2, site_pb2
from suanmesh.scheduler.v1 import booking_pb2, decision_pb2, job_pb2
from suanmesh.transport.v1 import dataset_pb2
from suanmesh.type.v1 import money_pb2
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.names import parent
from suanmesh_kernel.reasons import NO_REASON
from suanmesh_kernel.refusals import NotFound, Unavailable
from suanmesh_scheduler import wire
from suanmesh_scheduler.circuits import Circuits
from suanmesh_scheduler.domain.bookings import Booked, free_hosts
from suanmesh_scheduler.domain.decide import RESULT_BPS_MIN
from suanmesh_scheduler.domain.values import Blocked, Host, JobSpec, Need, Offer, Opening, Path, Pool, Quote, Situation
from suanmesh_scheduler.mirrors import Mirrors
from suanmesh_scheduler.ports import Areas
from suanmesh_sdk.state_reasons import reason_from
from suanmesh_store import Held

MEBIBYTE = 1 << 20
MIRROR_S_MAX = 5.0
"""How long the mirrors may disagree about what was committed last."""
Pair = tuple[str, str]
_KINDS = {
    network.PathObstacle.KIND_DISCONNECTED: "disconnected",
    network.PathObstacle.KIND_BANDWIDTH: "bandwidth",
    network.PathObstacle.KIND_LATENCY: "latency",
}


@dataclass(frozen=True, slots=True)
class Gathered:
    """A job as the rules see it, the situation, and what was read for them."""

    spec: JobSpec
    situation: Situation
    read: decision_pb2.Revisions
    bookings: dict[str, Held[booking_pb2.SiteBooking]]
    """Books of the sites as they were read: the commit compares them."""


class Gathering:
    """Reads situations."""

    def __init__(self, mirrors: Mirrors, areas: Areas, clock: Clock, circuits: Circuits) -> None:
        self._mirrors = mirrors
        self._areas = areas
        self._clock = clock
        self._circuits = circuits

    async def gather(self, job: job_pb2.Job) -> Gathered:
        """Read everything one decision is made from. Raises what the other areas refuse."""
        needs = [await self._need(each.dataset) for each in job.inputs]
        spec = wire.spec_from(job, needs, self._clock.now())
        account = await self._areas.account(job.account)
        reported = await self._areas.reported_pools()
        bookings, booked = await self._booked()
        pools = tuple(
            self._pool(held.message, booked.get(held.name, []), reported) for held in self._mirrors.pools.values()
        )
        paths, homes, topology = await self._paths(spec, pools)
        situation = Situation(
            pools=pools,
            now=self._clock.now(),
            free_micros=account.balance_micros - account.held_micros,
            paths=paths,
            quotes=await self._quotes(spec, pools, account.currency),
            held_micros=account.held_micros,
            spent_micros=await self._areas.spent(job.account, job.name) if job.attempt else 0,
            openings=await self._openings(spec, paths),
            homes=homes,
        )
        read = decision_pb2.Revisions(
            registry=self._mirrors.pools.revision,
            scheduler=self._mirrors.placements.revision,
            network_orchestrator=topology,
        )
        return Gathered(spec, situation, read, bookings)

    async def _need(self, name: str) -> Need:
        """A dataset that is gone since is nowhere: its job waits with that obstacle."""
        try:
            dataset = await self._areas.dataset(name)
        except NotFound:
            return Need(name, 0, frozenset())
        complete = [r.site for r in dataset.replicas if r.state == dataset_pb2.Replica.STATE_COMPLETE]
        return Need(dataset.name, dataset.bytes, frozenset(complete), frozenset(dataset.residency))

    async def _booked(self) -> tuple[dict[str, Held[booking_pb2.SiteBooking]], dict[str, list[Booked]]]:
        """The books, and what is booked by pool: placements as of the books or later, so that none is overlooked."""
        books = {held.name: held for held in self._mirrors.bookings.values()}
        newest = max((held.mod_revision for held in books.values()), default=0)
        try:
            async with asyncio.timeout(MIRROR_S_MAX):
                await self._mirrors.placements.wait_for(newest)
        except TimeoutError:
            raise Unavailable("NOT_READY", "the placements' mirror is behind", domain="mesh.suanmesh") from None
        booked: dict[str, list[Booked]] = {}
        for booking in wire.booked_from(held.message for held in self._mirrors.placements.values()):
            booked.setdefault(booking.pool, []).append(booking)
        return books, booked

    def _pool(self, pool: pool_pb2.Pool, booked: Sequence[Booked], reported: Mapping[str, pool_pb2.PoolState]) -> Pool:
        state = reported.get(pool.name)
        site_name = parent(pool.name)
        site = self._mirrors.sites.get(site_name)
        capacities = [
            (host.name, wire.capacity_from(host.capacity if host.HasField("capacity") else pool.host_capacity))
            for host in pool.hosts
        ]
        alive = site is not None and site.message.liveness == site_pb2.Site.LIVENESS_ALIVE
        return Pool(
            name=pool.name,
            site=site_name,
            architecture=pool.architecture,
            hosts=_with_disk(free_hosts(pool.name, capacities, booked), state),
            offers=tuple(Offer(o.name, o.price_book, o.max_duration_s) for o in pool.offers),
            engines=frozenset(pool.engines),
            capabilities={c.quantity: c.value for c in pool.capabilities},
            residency=frozenset(site.message.residency) if site else frozenset(),
            active=pool.phase == pool_pb2.Pool.PHASE_ACTIVE,
            alive=alive and state is not None,
            trouble=reason_from(state.reason) if state else NO_REASON,
            failing=self._circuits.failing(site_name),
        )

    async def _paths(
        self, spec: JobSpec, pools: Sequence[Pool]
    ) -> tuple[dict[Pair, Path | Blocked], dict[Pair, Path | Blocked], int]:
        """Paths from every replica to every site that lacks it, and from every site to where results are wanted."""
        sites = {pool.site for pool in pools}
        pairs = sorted({(s, t) for need in spec.needs for s in need.sites for t in sites if t not in need.sites})
        homes = sorted({(s, result.target) for result in spec.results for s in sites if s != result.target})
        queries = [_query(pair, spec) for pair in pairs]
        queries += [network.PathQuery(source=source, target=target) for source, target in homes]
        if not queries:
            return {}, {}, 0
        answer = await self._areas.find_paths(queries)
        found = [_path(result) for result in answer.results]
        capacities = {link.name: link.capacity_bps for link in await self._areas.links()} if homes else {}
        wide = [_wide_enough(each, capacities) for each in found[len(pairs) :]]
        return (
            dict(zip(pairs, found[: len(pairs)], strict=True)),
            dict(zip(homes, wide, strict=True)),
            answer.revision,
        )

    async def _openings(self, spec: JobSpec, paths: dict[Pair, Path | Blocked]) -> dict[str, tuple[Opening, ...]]:
        """Ask again for blocked sites, under the bounds with which their paths open: the very query of such a job."""
        relaxed = sorted({(pair[1], *bound) for pair, found in paths.items() for bound in _bounds_that_open(found)})
        asks = [
            (bound, pair, _query(pair, replace(spec, **{bound[1]: bound[2]})))  # type: ignore[arg-type]
            for bound in relaxed
            for pair in paths
            if pair[1] == bound[0]
        ]
        if not asks:
            return {}
        answer = await self._areas.find_paths([query for _, _, query in asks])
        opened: dict[tuple[str, str, int], dict[Pair, Path | Blocked]] = {}
        for (bound, pair, _), result in zip(asks, answer.results, strict=True):
            opened.setdefault(bound, {})[pair] = _path(result)
        openings: dict[str, tuple[Opening, ...]] = {}
        for (site, field, value), found in opened.items():
            openings[site] = (*openings.get(site, ()), Opening(field, value, found))
        return openings

    async def _quotes(self, spec: JobSpec, pools: Sequence[Pool], currency: str) -> dict[str, Quote]:
        """What the job costs at most under each offer that the account can pay: one in its currency."""
        offers = [offer for pool in pools for offer in pool.offers]
        if not offers:
            return {}
        readings = most_readings(spec)
        asks = [accounting.QuoteAsk(price_book=offer.price_book, readings=readings) for offer in offers]
        results = await self._areas.quote(asks)
        return {
            offer.name: Quote(result.quote.amount_micros)
            for offer, result in zip(offers, results, strict=True)
            if result.HasField("quote") and result.quote.currency == currency
        }


def most_readings(spec: JobSpec) -> list[usage_pb2.MeterReading]:
    """The most a job can use: everything it asks for, for as long as it may run, by every task.

    Money is held for this. What a site lets a task use beyond it is not charged.
    """
    seconds = spec.max_duration_s * spec.count
    memory_mib = -(-spec.ask.memory_bytes // MEBIBYTE)
    cards = sum(device.count for device in spec.ask.devices)
    amounts = (
        (money_pb2.METER_CPU_US, spec.ask.cpu_milli * 1000 * seconds),
        (money_pb2.METER_MEMORY_MIB_S, memory_mib * seconds),
        (money_pb2.METER_DEVICE_MILLI_S, cards * 1000 * seconds),
    )
    return [usage_pb2.MeterReading(meter=meter, quantity=quantity) for meter, quantity in amounts if quantity]


def _with_disk(hosts: tuple[Host, ...], state: pool_pb2.PoolState | None) -> tuple[Host, ...]:
    """A lone host has no more scratch free than its agent finds on the disk, whoever else has filled it."""
    if state is None or len(hosts) != 1 or not state.HasField("free"):
        return hosts
    host = hosts[0]
    disk_bytes = min(host.free.scratch_bytes, state.free.scratch_bytes)
    return (replace(host, free=replace(host.free, scratch_bytes=disk_bytes)),)


def _wide_enough(home: Path | Blocked, capacities: Mapping[str, int]) -> Path | Blocked:
    """A way that results could never be held on is none, however free it is."""
    if isinstance(home, Blocked):
        return home
    capacity_bps, link = min(((capacities.get(link, 0), link) for link in home.links), default=(RESULT_BPS_MIN, ""))
    return home if capacity_bps >= RESULT_BPS_MIN else Blocked("bandwidth", link, capacity_bps)


def _query(pair: Pair, spec: JobSpec) -> network.PathQuery:
    return network.PathQuery(
        source=pair[0],
        target=pair[1],
        min_bandwidth_bps=spec.min_bandwidth_bps,
        max_latency_us=spec.max_latency_us,
    )


def _bounds_that_open(found: Path | Blocked) -> list[tuple[str, int]]:
    """The field of the job and its value with which a blocked path opens."""
    if isinstance(found, Path):
        return []
    if found.kind == "bandwidth" and found.available_bps > 0:
        return [("min_bandwidth_bps", found.available_bps)]
    if found.kind == "latency" and found.least_latency_us > 0:
        return [("max_latency_us", found.least_latency_us)]
    return []


def _path(result: network.PathResult) -> Path | Blocked:
    if result.HasField("path"):
        return wire.path_from(result.path)
    blocked = result.obstacle
    return Blocked(
        _KINDS.get(blocked.kind, "disconnected"), blocked.link, blocked.available_bps, blocked.least_latency_us
    )
