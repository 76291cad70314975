"""The stream of changes of sites and pools, resumable by a token that holds both revisions."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass, replace

from suanmesh.registry.v1 import pool_pb2, site_pb2
from suanmesh.registry.v1 import registry_service_pb2 as pb
from suanmesh_kernel.refusals import Refusal
from suanmesh_registry import wire
from suanmesh_store import Changed, Store
from suanmesh_store.layout import POOLS, SITES, M

QUEUE_MAX = 64
"""Batches that wait for a slow reader; then the store's own watch waits with them."""
_TOKEN = re.compile(r"([0-9]{1,19})\.([0-9]{1,19})")


@dataclass(frozen=True, slots=True)
class _Seen:
    """Revisions up to which a reader knows everything."""

    sites: int
    pools: int

    def token(self) -> str:
        return f"{self.sites}.{self.pools}"


async def watched(store: Store, resume_token: str) -> AsyncGenerator[pb.WatchPoolsResponse, None]:
    """What changes after `resume_token`; the whole state first where the token is empty or no longer one of ours."""
    site_snapshot, pool_snapshot = await store.snapshot(SITES), await store.snapshot(POOLS)
    newest = _Seen(site_snapshot.revision, pool_snapshot.revision)
    seen = _resumed(resume_token, newest)
    if seen is None:
        seen = newest
        yield pb.WatchPoolsResponse(
            kind=pb.WatchPoolsResponse.KIND_RESET,
            pools=[wire.shown(held) for held in pool_snapshot.held],
            sites=[wire.shown(held) for held in site_snapshot.held],
            resume_token=seen.token(),
        )
    async for batch in _joined(store, seen):
        seen = replace(seen, **{batch.collection: batch.revision})
        change = pb.WatchPoolsResponse(kind=pb.WatchPoolsResponse.KIND_CHANGE, resume_token=seen.token())
        change.sites.extend(batch.sites)
        change.pools.extend(batch.pools)
        change.deleted.extend(batch.deleted)
        yield change


@dataclass(frozen=True, slots=True)
class _Part:
    """What one of the two watches saw."""

    collection: str
    revision: int
    sites: Sequence[site_pb2.Site]
    pools: Sequence[pool_pb2.Pool]
    deleted: Sequence[str]


async def _joined(store: Store, seen: _Seen) -> AsyncIterator[_Part]:
    """Both watches as one; a refusal of either ends it."""
    queue: asyncio.Queue[_Part | Refusal] = asyncio.Queue(QUEUE_MAX)
    async with asyncio.TaskGroup() as tasks:
        feeders = [
            tasks.create_task(_feed(queue, _sites(store, seen.sites))),
            tasks.create_task(_feed(queue, _pools(store, seen.pools))),
        ]
        try:
            while True:
                part = await queue.get()
                if isinstance(part, Refusal):
                    break
                yield part
        finally:
            for feeder in feeders:
                feeder.cancel()
    raise part


async def _feed(queue: asyncio.Queue[_Part | Refusal], parts: AsyncIterator[_Part]) -> None:
    try:
        async for part in parts:
            await queue.put(part)
    except Refusal as refusal:
        await queue.put(refusal)


async def _sites(store: Store, after: int) -> AsyncIterator[_Part]:
    async for batch in store.watch(SITES, after):
        written = [wire.shown(change.held) for change in batch.changes if change.held is not None]
        yield _Part("sites", batch.revision, written, (), _gone(batch.changes))


async def _pools(store: Store, after: int) -> AsyncIterator[_Part]:
    async for batch in store.watch(POOLS, after):
        written = [wire.shown(change.held) for change in batch.changes if change.held is not None]
        yield _Part("pools", batch.revision, (), written, _gone(batch.changes))


def _gone(changes: Sequence[Changed[M]]) -> list[str]:
    return [change.name for change in changes if change.held is None]


def _resumed(token: str, newest: _Seen) -> _Seen | None:
    """Where a token says to go on; None where it is none, or of a store that has been replaced since."""
    match = _TOKEN.fullmatch(token)
    if match is None:
        return None
    seen = _Seen(int(match.group(1)), int(match.group(2)))
    return seen if seen.sites <= newest.sites and seen.pools <= newest.pools else None
