"""The pools as they can be placed on, kept up to date by changes: what has not changed stays the same object."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import replace
from datetime import datetime

from suanmesh.registry.v1 import pool_pb2, site_pb2
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.names import parent
from suanmesh_kernel.owner_limits import NO_LIMITS, OwnerLimits
from suanmesh_kernel.quantities import Capacity, total
from suanmesh_kernel.reasons import DETAIL, NO_REASON, StateReason
from suanmesh_scheduler.circuits import Circuits
from suanmesh_scheduler.domain.bookings import free_hosts, held_by_party
from suanmesh_scheduler.domain.values import Host, Offer, OwnersTerms, Pool
from suanmesh_scheduler.mirrors import Mirrors
from suanmesh_scheduler.ports import Peers
from suanmesh_scheduler.sharing import Shared
from suanmesh_sdk.state_reasons import reason_from
from suanmesh_sdk.values import capacity_from, limits_from
from suanmesh_store import Held

CLOSED = {
    site_pb2.Site.ADMISSION_CORDONED: "SITE_CORDONED",
    site_pb2.Site.ADMISSION_DRAINING: "SITE_DRAINING",
    site_pb2.Site.ADMISSION_REMOVED: "SITE_REMOVED",
}
"""Why nothing new comes to a site."""


class Reports:
    """The soft state of all pools, as the registry's leader has it when it is asked.

    It is asked each time anew, for what has changed: what it says is never older than the question, and after a
    failover it begins with everything.
    """

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        self._reads: Shared[None] = Shared()
        self._token = ""
        self._states: dict[str, pool_pb2.PoolState] = {}
        self._changed: set[str] = set()

    async def changed(self) -> set[str]:
        """Hear what is new: names of the pools with another state than when this was asked last.

        Raises what the registry refuses; what was heard by then is told the next time.
        """
        await self._reads.read((), self._hear)
        changed, self._changed = self._changed, set()
        return changed

    def get(self, pool: str) -> pool_pb2.PoolState | None:
        """What its agent reports; None while it is not heard."""
        return self._states.get(pool)

    async def _hear(self) -> None:
        states, token, anew, more = self._states, self._token, False, True
        while more:
            answer = await self._peers.pool_states(token)
            if answer.reset:
                states, anew = {}, True  # nobody sees it before it is whole
            states.update((state.name, state) for state in answer.states)
            for name in answer.silent:
                states.pop(name, None)
            token, more = answer.resume_token, answer.more
            if not anew:
                self._token = token
                self._changed.update(answer.silent, (state.name for state in answer.states))
        if anew:
            self._changed.update(states, self._states)
            self._states, self._token = states, token


class FleetReader:
    """All pools; rounds weigh anew only those that are other objects than before."""

    def __init__(self, mirrors: Mirrors, circuits: Circuits, peers: Peers, clock: Clock) -> None:
        self._clock = clock
        self._hours: dict[str, tuple[OwnerLimits, datetime | None]] = {}
        """Of pools whose owners keep hours: which, and when work is taken again."""
        self._documents = mirrors.pools
        self._sites = mirrors.sites
        self._bookings = mirrors.bookings
        self._circuits = circuits
        self._reports = Reports(peers)
        self._seen = (0, 0, 0)
        """Revisions of pools and sites, and the number of the bookings, up to which pools are made."""
        self._stale: set[str] = set()
        self._made: dict[str, tuple[Hashable, Pool]] = {}
        self._of_site: dict[str, set[str]] = {}

    async def pools(self) -> tuple[Pool, ...]:
        """All pools with what live placements leave of them and what their agents report by now.

        Raises what the registry refuses.
        """
        self._stale |= self._changed(await self._reports.changed()) | self._by_the_hour()
        for name in sorted(self._stale):
            self._make(name)
        self._stale.clear()
        return tuple(pool for _, pool in self._made.values())

    def _changed(self, reported: Iterable[str]) -> set[str]:
        """Names of the pools of which anything is different."""
        pools, sites, number = self._seen
        by_document, by_site = self._documents.changed_after(pools), self._sites.changed_after(sites)
        booked = self._bookings.changed_after(number)
        self._seen = (self._documents.revision, self._sites.revision, self._bookings.number)
        if by_document is None or by_site is None:
            return {*self._documents.names(), *self._made}
        of_sites = {name for site in (*by_site, *self._circuits.sites) for name in self._of_site.get(site, ())}
        return {*reported, *by_document, *booked, *of_sites}

    def _make(self, name: str) -> None:
        site = parent(name)
        held = self._documents.get(name)
        if held is None:
            self._made.pop(name, None)
            self._hours.pop(name, None)
            self._of_site.get(site, set()).discard(name)
            return
        self._of_site.setdefault(site, set()).add(name)
        self._made[name] = self._of(held, self._reports.get(name))

    def _of(self, held: Held[pool_pb2.Pool], state: pool_pb2.PoolState | None) -> tuple[Hashable, Pool]:
        site_name = parent(held.name)
        site = self._sites.get(site_name)
        circuit = (self._circuits.failing(site_name), self._circuits.on_trial(site_name))
        told = None if state is None else (state.reason.SerializeToString(deterministic=True), _disk_of(state))
        opens = self._opens(held.message)
        as_read = (
            held.mod_revision,
            site and site.mod_revision,
            self._bookings.version(held.name),
            circuit,
            told,
            opens,
        )
        known = self._made.get(held.name)
        if known is not None and known[0] == as_read:
            return known
        return as_read, self._made_of(held.message, site.message if site else None, state)

    def _made_of(self, pool: pool_pb2.Pool, site: site_pb2.Site | None, state: pool_pb2.PoolState | None) -> Pool:
        site_name = parent(pool.name)
        capacities = [
            (host.name, capacity_from(host.capacity if host.HasField("capacity") else pool.host_capacity))
            for host in pool.hosts
        ]
        alive = site is not None and site.liveness == site_pb2.Site.LIVENESS_ALIVE
        return Pool(
            name=pool.name,
            site=site_name,
            architecture=pool.architecture,
            hosts=_with_disk(free_hosts(pool.name, capacities, self._bookings.of(pool.name)), state),
            offers=tuple(Offer(o.name, o.price_book, o.max_duration_s) for o in pool.offers),
            runtimes=frozenset(pool.runtimes),
            capabilities={c.quantity: c.value for c in pool.capabilities},
            residency=frozenset(site.residency) if site else frozenset(),
            active=pool.phase == pool_pb2.Pool.PHASE_ACTIVE,
            alive=alive and state is not None,
            trouble=reason_from(state.reason) if state else NO_REASON,
            failing=self._circuits.failing(site_name),
            on_trial=self._circuits.on_trial(site_name),
            closed=_closed(site),
            terms=self._terms(pool, capacities),
        )

    def _terms(self, pool: pool_pb2.Pool, capacities: Iterable[tuple[str, Capacity]]) -> OwnersTerms | None:
        limits = limits_from(pool.limits)
        if limits is NO_LIMITS:
            return None
        whole = total(capacity for _, capacity in capacities) if limits.party_share_milli else Capacity()
        held = held_by_party(self._bookings.of(pool.name)) if limits.party_share_milli else {}
        return OwnersTerms(pool.party, limits, self._opens(pool), whole, held)

    def _opens(self, pool: pool_pb2.Pool) -> datetime | None:
        """When the owner of a pool takes work again; remembered, so that the pool is made anew then."""
        if not pool.limits.hours:
            self._hours.pop(pool.name, None)
            return None
        limits = limits_from(pool.limits)
        opens = limits.opens(self._clock.now())
        self._hours[pool.name] = (limits, opens)
        return opens

    def _by_the_hour(self) -> set[str]:
        """Pools whose owners take work now, and did not before; or the other way round."""
        now = self._clock.now()
        return {name for name, (limits, opens) in self._hours.items() if limits.opens(now) != opens}


def _closed(site: site_pb2.Site | None) -> StateReason:
    """Why nothing new comes to a site; nothing where it may."""
    if site is None or site.admission not in CLOSED:
        return NO_REASON
    return StateReason(CLOSED[site.admission], {DETAIL: site.admission_note} if site.admission_note else {})


def _disk_of(state: pool_pb2.PoolState) -> int | None:
    return state.free.scratch_bytes if state.HasField("free") else None


def _with_disk(hosts: tuple[Host, ...], state: pool_pb2.PoolState | None) -> tuple[Host, ...]:
    """A lone host has no more scratch free than its agent finds on the disk, whoever else has filled it."""
    if state is None or len(hosts) != 1 or not state.HasField("free"):
        return hosts
    host = hosts[0]
    disk_bytes = min(host.free.scratch_bytes, state.free.scratch_bytes)
    return (replace(host, free=replace(host.free, scratch_bytes=disk_bytes)),)
