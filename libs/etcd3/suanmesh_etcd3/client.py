"""The client: all that can be asked of etcd, with the leases that it keeps alive."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Self

from suanmesh_etcd3 import endpoints as ep
from suanmesh_etcd3.bulk import bulk_put
from suanmesh_etcd3.calls import Calls
from suanmesh_etcd3.leases import Lease, LeaseKeeper
from suanmesh_etcd3.saving import copied
from suanmesh_etcd3.values import Key, raw
from suanmesh_etcd3.watch import Batch, Reset, Watch
from suanmesh_kernel.clock import Clock


class Client(Calls):
    """An etcd v3 client for one event loop. Use it as an async context manager."""

    @cached_property
    def _keeper(self) -> LeaseKeeper:
        return LeaseKeeper(self)

    async def __aenter__(self) -> Self:
        await self._keeper.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._keeper.__aexit__(None, None, None)
        await self.endpoints.close()

    def watch(
        self, prefix: Key, *, after_revision: int, known: Mapping[bytes, int] | None = None
    ) -> AsyncGenerator[Batch | Reset, None]:
        """What changes under `prefix` after a revision: nothing lost, doubled or out of order.

        `known` are the keys as of that revision with their mod_revisions; they let a Reset tell what was deleted.
        """
        return Watch(self, raw(prefix), after_revision, dict(known or {})).run()

    async def bulk_put(self, items: Iterable[tuple[Key, bytes]], *, lease: int = 0) -> int:
        """Write many keys, packed a few hundred a transaction and pipelined; answers how many were written."""
        return await bulk_put(self, items, lease=lease)

    def copied(self) -> AsyncGenerator[bytes, None]:
        """The whole store as one member has it now, piece by piece; what `etcdctl snapshot restore` takes."""
        return copied(self)

    async def lease(self, ttl_s: int) -> Lease:
        """Make a lease and keep it alive until it is revoked or lost."""
        return await self._keeper.grant(ttl_s)

    def lose_leases(self) -> None:
        """All that it keeps alive; whoever holds one learns it at once."""
        self._keeper.lose_all()


def connect(
    endpoints: Sequence[str],
    *,
    tls: ep.Tls | ep.CurrentTls | None = None,
    clock: Clock | None = None,
    timeout_s: float = 5.0,
    follows: bool = False,
) -> Client:
    """A client of the cluster at `endpoints`; enter it as an async context manager.

    `tls` may be asked for anew: where it answers another one, channels are made anew, and streams stay where they are.
    One that `follows` learns within seconds of members that come or go.
    """
    return Client(endpoints, tls=tls, clock=clock, timeout_s=timeout_s, follows=follows)
