"""Ends transfers that nobody waits for any more, and moves those that ended long ago to the records."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from datetime import timedelta
from functools import partial

import structlog

from suanmesh.registry.v1.site_pb2 import Site
from suanmesh.scheduler.v1.placement_pb2 import Placement
from suanmesh.transport.v1.transfer_pb2 import Transfer
from suanmesh_chassis import FailureBackoff
from suanmesh_kernel.refusals import Aborted, Unavailable
from suanmesh_store import Groups, Mirror, WorkQueue
from suanmesh_transport.repository import Repository

log = structlog.get_logger()


class Reconciler:
    """Looks at every transfer that may have to end; a lost event costs one resync of delay."""

    def __init__(
        self,
        repository: Repository,
        kept: Mirror[Transfer],
        by_placement: Groups[Transfer],
        placements: Mirror[Placement],
        sites: Mirror[Site],
        *,
        resync_s: float,
        retention_s: float,
        backoff: FailureBackoff,
    ) -> None:
        self._repository = repository
        self._kept = kept
        self._by_placement = by_placement
        self._placements = placements
        self._sites = sites
        self._resync_s = resync_s
        self._retention = timedelta(seconds=retention_s)
        self._backoff = backoff
        self._queue = WorkQueue()

    async def run(self) -> None:
        """Settle transfers until cancelled."""
        with self._kept.following(self._queue):
            self._queue.add(self._kept.names())
            await self._work()

    async def settle(self, name: str) -> None:
        """Bring one transfer to where it belongs."""
        held = self._kept.get(name)
        if held is None:
            return
        if held.message.HasField("end_time"):
            await self._repository.follow(held.message)
        else:
            await self._repository.settle(name)

    async def _work(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow(self._placements.changes(), self._of_placement))
            tasks.create_task(self._follow(self._sites.changes(), self._of_site))
            tasks.create_task(self._resync())
            while True:
                name = await self._queue.take()
                await self._backoff.run(name, partial(self._settle_or_put_off, name))

    async def _settle_or_put_off(self, name: str) -> None:
        try:
            await self.settle(name)
        except (Aborted, Unavailable) as refusal:
            log.info("transfer put off", transfer=name, reason=refusal.reason)

    async def _follow(self, changes: AsyncGenerator[str, None], transfers_of: Callable[[str], Iterable[str]]) -> None:
        async with aclosing(changes) as names:
            async for name in names:
                self._queue.add(transfers_of(name))

    async def _resync(self) -> None:
        while True:
            await asyncio.sleep(self._resync_s)
            await self._backoff.run("all transfers", self._look_again)

    async def _look_again(self) -> None:
        """At all but those that have ended and that nothing follows from any more: they are most, and move in time."""
        self._queue.add(held.name for held in self._kept.values() if not self._repository.is_over(held.message))
        try:
            await self._repository.archive(self._retention)
        except Unavailable as refusal:
            log.info("archiving put off", reason=refusal.reason, message=refusal.message)

    def _of_placement(self, placement: str) -> Iterable[str]:
        held = self._placements.get(placement)
        if held is None:
            return list(self._by_placement[placement])
        made = (*held.message.input_transfers, *held.message.output_transfers)
        return [name for name in made if self._kept.get(name) is not None]

    def _of_site(self, site: str) -> Iterable[str]:
        return [held.name for held in self._kept.values() if site in (held.message.source, held.message.target)]
