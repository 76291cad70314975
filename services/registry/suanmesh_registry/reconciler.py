"""Keeps sites' liveness and pools' phases true: written on transitions only, never per report."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC
from math import inf

import structlog

from suanmesh.registry.v1 import pool_pb2, site_pb2
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.names import last, parent
from suanmesh_kernel.reasons import StateReason
from suanmesh_kernel.refusals import Aborted, Unavailable
from suanmesh_registry import wire
from suanmesh_registry.catalogue import Catalogue
from suanmesh_registry.domain.expiry import Expiry
from suanmesh_registry.domain.liveness import Bounds, Liveness
from suanmesh_registry.domain.pools import settled
from suanmesh_registry.domain.revoked import agent_path, fault_of
from suanmesh_registry.mirrors import Mirrors
from suanmesh_registry.presence import Presence
from suanmesh_sdk.state_reasons import reason_to
from suanmesh_store import Held, LeasedKeys, Store, Update, WorkQueue
from suanmesh_store.layout import ALIVE

log = structlog.get_logger()

RETRY_S = 0.5
"""Pause before the leases are read again after the store could not be reached."""


class LivenessReconciler:
    """Judges sites from their leases and what they report, and records what has changed."""

    def __init__(
        self,
        store: Store,
        mirrors: Mirrors,
        catalogue: Catalogue,
        presence: Presence,
        bounds: Bounds,
        clock: Clock,
        *,
        tick_s: float,
    ) -> None:
        self._store = store
        self._sites = mirrors.sites
        self._pools = mirrors.pools
        self._pools_of = mirrors.pools_of
        self._revocations = mirrors.revocations
        self._catalogue = catalogue
        self._presence = presence
        self._clock = clock
        self._tick_s = tick_s
        self._news, self._pool_news, self._revoked_news = presence.news, WorkQueue(), WorkQueue()
        self._leased: set[str] = set()
        self._expiry = Expiry(bounds)
        self._again: set[str] = set()
        """Sites to look at once more, although nothing may be heard of them."""

    async def run(self) -> None:
        """Judge whenever there is news, and at every tick whose time has come."""
        with self.watching():
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._follow_leases())
                tasks.create_task(self._follow_pools())
                tasks.create_task(self._follow_revocations())
                while True:
                    await self._presence.sweep()
                    await self.judge()
                    with suppress(TimeoutError):
                        async with asyncio.timeout(self._tick_s):
                            await self._news.some()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """With news of every site there is, and of each of which a document changes."""
        with (
            self._sites.following(self._news),
            self._pools.following(self._pool_news),
            self._revocations.following(self._revoked_news),
        ):
            self._news.add(self._sites.names())
            yield

    async def judge(self) -> None:
        """Look at every site there is news of, or whose time has come, and record what is no longer as it says."""
        now = self._clock.monotonic()
        self._take_news_elsewhere()
        again, self._again = self._again, set()
        for name in {*again, *self._news.take_many(len(self._news))}:
            self._observe(name, now)
        for name, liveness in self._expiry.judge(now).items():
            try:
                await self._settle(name, liveness, list(self._pools_of[name].values()))
            except (Aborted, Unavailable) as refusal:
                self._again.add(name)
                log.info("site put off", site=name, reason=refusal.reason)

    async def read_leases(self) -> LeasedKeys:
        """Learn which agents have a lease; returns what was read."""
        tokens = await self._store.tokens(ALIVE)
        before, self._leased = self._leased, {f"sites/{last(token.key)}" for token in tokens.tokens}
        self._news.add(before ^ self._leased)
        return tokens

    def _observe(self, name: str, now: float) -> None:
        held = self._sites.get(name)
        if held is None:
            self._expiry.forget(name)
            return
        leased = name in self._leased
        if not leased and self._presence.stands(name):
            leased = True
            self._again.add(name)  # nobody says when it stands no more, before the watch has told that it does
        good_until = now + self._good_for_s(held)
        self._expiry.observe(
            name, wire.liveness_from(held.message.liveness), leased=leased, now=now, good_until=good_until
        )

    def _good_for_s(self, held: Held[site_pb2.Site]) -> float:
        """How long the certificate of a site's agent is good still, seconds; not above zero where it is not."""
        certificate = wire.certificate_from(held.message)
        if certificate is None:
            return inf
        if self._fault(held):
            return 0.0
        return (certificate.end - self._clock.now()).total_seconds()

    def _fault(self, held: Held[site_pb2.Site]) -> str:
        revoked = self._revocations.get(agent_path(held.name))
        revoked_from = None if revoked is None else revoked.message.valid_from.ToDatetime(UTC)
        return fault_of(wire.certificate_from(held.message), revoked_from, self._clock.now())

    async def _settle(self, name: str, liveness: Liveness, pools: list[Held[pool_pb2.Pool]]) -> None:
        held = self._sites.get(name)
        if held is None:
            return
        if liveness is Liveness.LOST and not self._presence.count_out(name):
            self._again.add(name)
            return  # it was heard, and may run, since this was judged
        site = self._settled_site(held, liveness)
        site_changes = [Update(held, site)] if site != held.message else []
        settled_pools = ((pool, self._settled_pool(pool, liveness)) for pool in pools)
        pool_changes = [Update(pool, after) for pool, after in settled_pools if after is not None]
        if not site_changes and not pool_changes:
            self._recorded(name, liveness)
            return
        committed = await self._store.commit(*site_changes, *pool_changes)
        log.info("site settled", site=name, state=liveness.value)
        # Without this the next round would decide from what it has just replaced.
        await self._sites.wait_for(committed.revision if site_changes else 0)
        await self._pools.wait_for(committed.revision if pool_changes else 0)
        self._recorded(name, liveness)

    def _recorded(self, name: str, liveness: Liveness) -> None:
        if liveness is not Liveness.LOST:
            self._presence.count_in(name)

    def _settled_site(self, held: Held[site_pb2.Site], liveness: Liveness) -> site_pb2.Site:
        site = site_pb2.Site()
        site.CopyFrom(held.message)
        site.liveness = wire.liveness_to(liveness)
        site.ClearField("liveness_reason")
        if liveness is not Liveness.ALIVE and (code := self._fault(held)):
            until = site.certificate_expire_time.ToJsonString()
            site.liveness_reason.CopyFrom(reason_to(StateReason(code, {"until": until})))
        endpoint = self._presence.endpoint(held.name)
        if endpoint is not None:
            site.data_endpoint = endpoint
        return site

    def _settled_pool(self, held: Held[pool_pb2.Pool], liveness: Liveness) -> pool_pb2.Pool | None:
        phase = wire.phase_from(held.message.phase)
        state = self._catalogue.state(held.name)
        after = settled(phase, liveness, wire.declared(held.message), wire.observed(state))
        if after is phase:
            return None
        pool = pool_pb2.Pool()
        pool.CopyFrom(held.message)
        pool.phase = wire.phase_to(after)
        return pool

    async def _follow_leases(self) -> None:
        while True:
            try:
                seen = await self.read_leases()
                async for batch in self._store.watch_tokens(ALIVE, seen.revision, seen.tokens):
                    names = {f"sites/{last(key)}": token is not None for key, token in batch.changes}
                    for name, stands in names.items():
                        (self._leased.add if stands else self._leased.discard)(name)
                    self._news.add(names)
            except Unavailable as refusal:
                log.info("leases out of sight", reason=refusal.reason)
                await asyncio.sleep(RETRY_S)

    async def _follow_pools(self) -> None:
        while True:
            await self._pool_news.some()
            self._take_news_elsewhere()

    async def _follow_revocations(self) -> None:
        while True:
            await self._revoked_news.some()
            self._take_news_elsewhere()

    def _take_news_elsewhere(self) -> None:
        self._news.add({parent(name) for name in self._pool_news.take_many(len(self._pool_news))})
        revoked = self._revoked_news.take_many(len(self._revoked_news))
        self._news.add({f"sites/{name.split('/')[1]}" for name in revoked if name.startswith("site/")})
