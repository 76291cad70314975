"""Which placements that ended long ago move from etcd to the records, behind the same Get."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import structlog

from suanmesh.scheduler.v1 import placement_pb2
from suanmesh_chassis.archiving import MOVED_AT_ONCE, Archiver
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.refusals import Unavailable
from suanmesh_scheduler import wire
from suanmesh_scheduler.mirrors import Mirrors
from suanmesh_scheduler.settings import SchedulerSettings
from suanmesh_store import Held, Store
from suanmesh_store.layout import holds_of

log = structlog.get_logger()

Placement = Held[placement_pb2.Placement]


class Archiving:
    """Sweeps ended placements out of etcd once their jobs tell of their ends."""

    def __init__(
        self,
        store: Store,
        mirrors: Mirrors,
        archiver: Archiver[placement_pb2.Placement],
        clock: Clock,
        settings: SchedulerSettings,
    ) -> None:
        self._store = store
        self._jobs = mirrors.jobs
        self._placements = mirrors.placements
        self._archiver = archiver
        self._clock = clock
        self._every_s = settings.sweep_s
        self._retention = timedelta(seconds=settings.retention_s)

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            await asyncio.sleep(self._every_s)
            await self._sweep()

    async def _sweep(self) -> None:
        """Move the placements whose time has come; one that cannot be moved now waits for the next sweep."""
        before = self._clock.now() - self._retention
        due = [held for held in self._placements.values() if self._is_due(held.message, before)]
        for start in range(0, len(due), MOVED_AT_ONCE):
            try:
                await self._archiver.move(await self._released(due[start : start + MOVED_AT_ONCE]))
            except Unavailable as refusal:
                log.info("archiving put off", reason=refusal.reason, message=refusal.message)

    def _is_due(self, placement: placement_pb2.Placement, before: datetime) -> bool:
        """Whether it ended long enough ago, and its job has gone on from it."""
        if not placement.HasField("end_time") or placement.end_time.ToDatetime(UTC) >= before:
            return False
        job = self._jobs.get(placement.job)
        return job is None or not (job.message.placement == placement.name or wire.tells_not(job.message, placement))

    async def _released(self, due: Sequence[Placement]) -> list[Placement]:
        """Those without a hold: an ended placement is the order to release, which a hold's owner has still to read."""
        found = await asyncio.gather(*(self._store.tokens(holds_of(held.name)) for held in due))
        for held, standing in zip(due, found, strict=True):
            for token in standing.tokens[:1]:
                log.info("archiving put off", placement=held.name, message=f"{token.key} still stands")
        return [held for held, standing in zip(due, found, strict=True) if not standing.tokens]
