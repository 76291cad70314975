"""What agents have reported lately, and the lease that stands for each of them."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC
from itertools import takewhile

from suanmesh.registry.v1 import pool_pb2
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.refusals import Refusal, Unavailable
from suanmesh_registry.catalogue import Catalogue
from suanmesh_registry.domain import clocks
from suanmesh_sdk.state_reasons import reason_to
from suanmesh_store import RoundLease, Store, WorkQueue
from suanmesh_store.layout import alive_key

CLOSE_S = 0.2
"""How long etcd is waited for at the end of a term; leases that are not ended by then lapse. Where the lead was lost
etcd was not to be reached, and all writes wait for this instance: it gives up its key in etcd when the term has ended.
"""


@dataclass(slots=True)
class _Ear:
    """One site as it is heard by this process."""

    lease: RoundLease | None = None
    heard_at: float = 0.0
    ahead_s: float = 0.0
    """Of its clock."""
    endpoint: str = ""
    pools: frozenset[str] = frozenset()
    opening: asyncio.Lock = field(default_factory=asyncio.Lock)


class Presence:
    """Keeps one lease an agent while its reports arrive, and what they say in the catalogue."""

    def __init__(self, store: Store, clock: Clock, catalogue: Catalogue, *, lease_s: float, silence_s: float) -> None:
        """`store` says by its leadership whether this process may speak for the registry."""
        self._store = store
        self._clock = clock
        self._catalogue = catalogue
        self._lease_s = lease_s
        self._silence_s = silence_s
        self._ears: OrderedDict[str, _Ear] = OrderedDict()
        """Who was heard longest ago comes first."""
        self._counted_out: set[str] = set()
        self.news = WorkQueue()
        """Sites of which something was reported that may change what is recorded."""

    async def hear(self, site: str, endpoint: str, states: Sequence[pool_pb2.PoolState]) -> None:
        """Take in a report, and open the site's lease where none stands.

        States in which nothing else is wrong say where the site's clock is. Raises Unavailable where the store cannot
        be reached.
        """
        ear = self._ears.setdefault(site, _Ear())
        ear.heard_at = self._clock.monotonic()
        self._ears.move_to_end(site)
        ear.ahead_s = clocks.ahead_s(
            (state.observe_time.ToDatetime(UTC) for state in states if state.HasField("observe_time")),
            self._clock.now(),
        )
        for state in states:
            if ear.ahead_s and not state.reason.code:
                state.reason.CopyFrom(reason_to(clocks.reason_of(ear.ahead_s)))
        said, before = (endpoint, frozenset(state.name for state in states)), (ear.endpoint, ear.pools)
        if self._catalogue.observe(states) or said != before:
            self.news.add((site,))
        if said != before:
            self._catalogue.forget(ear.pools - said[1])
            ear.endpoint, ear.pools = said
        async with ear.opening:
            if ear.lease is None or not ear.lease.alive:
                ear.lease = await self._mark_alive(site)
                self.news.add((site,))

    def endpoint(self, site: str) -> str | None:
        """Where the site's data plane listens by its last report; None while its agent is not heard."""
        ear = self._ears.get(site)
        return ear.endpoint if ear else None

    def ahead_s(self, site: str) -> float:
        """How far the site's clock is ahead by its last report; 0 where that can be borne, or the site is not heard."""
        ear = self._ears.get(site)
        return ear.ahead_s if ear else 0.0

    def stands(self, site: str) -> bool:
        """Whether the site's lease surely stands now, and this process leads and does not count it out."""
        if site in self._counted_out:
            return False
        ear, term = self._ears.get(site), self._store.leadership
        leads = term is None or term.alive
        return leads and ear is not None and ear.lease is not None and ear.lease.alive

    def count_out(self, site: str) -> bool:
        """From now on nothing the site reports stands, until `count_in`; refused where its lease stands after all."""
        if self.stands(site):
            return False
        self._counted_out.add(site)
        return True

    def count_in(self, site: str) -> None:
        """It is recorded as not lost."""
        self._counted_out.discard(site)

    async def sweep(self) -> None:
        """End the lease of every agent that has gone silent."""
        since = self._clock.monotonic() - self._silence_s
        for site, ear in list(takewhile(lambda each: each[1].heard_at <= since, self._ears.items())):
            if not ear.opening.locked():
                await self._hush(site, ear)

    async def close(self) -> None:
        """Keep no lease any more: at the end of a term agents report to the next leader, and who does not is lost."""
        leases = [ear.lease for ear in self._ears.values() if ear.lease is not None]
        self._ears.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S), asyncio.TaskGroup() as tasks:
                for lease in leases:
                    tasks.create_task(_let_go(lease))

    async def _mark_alive(self, site: str) -> RoundLease:
        lease = await self._store.open_lease(self._lease_s, kept=True)
        try:
            await self._store.put_token(alive_key(site), site.encode(), lease.id, must_not_exist=False)
        except Refusal:
            await lease.revoke()  # else it would be kept alive for nobody
            raise
        return lease

    async def _hush(self, site: str, ear: _Ear) -> None:
        """End the lease; it counts for nothing from before it is asked to end, lest a report that comes in meanwhile be
        answered as if it stood."""
        lease, ear.lease = ear.lease, None
        try:
            if lease is not None:
                await lease.revoke()
        except Unavailable:
            return  # it is kept no longer, and lapses by itself
        if self._ears.get(site) is ear and ear.lease is None:
            del self._ears[site]
            self._catalogue.forget(ear.pools)


async def _let_go(lease: RoundLease) -> None:
    with suppress(Unavailable):  # it is kept no longer, and lapses by itself
        await lease.revoke()
