"""Moves placements that ended long ago from etcd to the records, behind the same Get."""

from __future__ import annotations

import asyncio
from datetime import UTC, timedelta
from functools import partial

import structlog

from suanmesh.scheduler.v1 import placement_pb2
from suanmesh_chassis import FailureBackoff
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.refusals import Refusal
from suanmesh_scheduler import wire
from suanmesh_scheduler.mirrors import Mirrors
from suanmesh_scheduler.record_kinds import ENDED_PLACEMENTS
from suanmesh_scheduler.settings import SchedulerSettings
from suanmesh_store import Delete, Held, Store
from suanmesh_store.archive import Archive
from suanmesh_store.layout import holds_of
from suanmesh_store.records import Put

log = structlog.get_logger()

Placement = Held[placement_pb2.Placement]


class Archiving:
    """Sweeps ended placements out of etcd once their jobs tell of their ends."""

    def __init__(
        self,
        store: Store,
        mirrors: Mirrors,
        archive: Archive,
        clock: Clock,
        settings: SchedulerSettings,
        backoff: FailureBackoff,
    ) -> None:
        self._store = store
        self._jobs = mirrors.jobs
        self._placements = mirrors.placements
        self._archive = archive
        self._clock = clock
        self._every_s = settings.sweep_s
        self._retention = timedelta(seconds=settings.retention_s)
        self._backoff = backoff

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            await asyncio.sleep(self._every_s)
            await self._sweep()

    async def _sweep(self) -> None:
        """Move each placement whose time has come; one that cannot be moved now waits for the next sweep."""
        before = self._clock.now() - self._retention
        for held in self._placements.values():
            message = held.message
            if message.HasField("end_time") and message.end_time.ToDatetime(UTC) < before and self._is_told(message):
                await self._backoff.run(held.name, partial(self._move_or_put_off, held))

    def _is_told(self, placement: placement_pb2.Placement) -> bool:
        """Whether its job has gone on from it."""
        job = self._jobs.get(placement.job)
        return job is None or not (job.message.placement == placement.name or wire.tells_not(job.message, placement))

    async def _move_or_put_off(self, placement: Placement) -> None:
        try:
            await self._move(placement)
        except Refusal as refusal:
            log.info("archiving put off", placement=placement.name, reason=refusal.reason, message=refusal.message)

    async def _move(self, placement: Placement) -> None:
        """Keep, then delete: a crash in between leaves both, and the next sweep does it again.

        An ended placement is the order to release: while a hold of it stands, the hold's owner has still to read it.
        """
        standing = (await self._store.tokens(holds_of(placement.name))).tokens
        if standing:
            log.info("archiving put off", placement=placement.name, message=f"{standing[0].key} still stands")
            return
        await self._archive.keep(Put(ENDED_PLACEMENTS, placement.name, placement.message))
        await self._store.commit(Delete(placement))
