"""Moves what ended long ago to the archive, behind the same Get and List."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial

import structlog

from suanmesh.scheduler.v1 import job_pb2, placement_pb2
from suanmesh_chassis import FailureBackoff
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.refusals import Refusal
from suanmesh_scheduler import wire
from suanmesh_scheduler.domain.states import JOB_ENDS
from suanmesh_scheduler.mirrors import Mirrors
from suanmesh_scheduler.record_kinds import ENDED_JOBS, ENDED_PLACEMENTS
from suanmesh_scheduler.settings import SchedulerSettings
from suanmesh_store import Change, Delete, Held, Store
from suanmesh_store.archive import Archive
from suanmesh_store.layout import holds_of
from suanmesh_store.records import Put

log = structlog.get_logger()

Placements = Sequence[Held[placement_pb2.Placement]]


class Archiving:
    """Sweeps ended jobs out of etcd, each with the placements of all its attempts."""

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
        """Move each job whose time has come; one that cannot be moved now waits for the next sweep."""
        before = self._clock.now() - self._retention
        placements: dict[str, list[Held[placement_pb2.Placement]]] = {}
        for placement in self._placements.values():
            placements.setdefault(placement.message.job, []).append(placement)
        for job in self._jobs.values():
            if not _ended(job.message, before):
                continue
            await self._backoff.run(job.name, partial(self._move_or_put_off, job, placements.get(job.name, [])))

    async def _move_or_put_off(self, job: Held[job_pb2.Job], placements: Placements) -> None:
        try:
            await self._move(job, placements)
        except Refusal as refusal:
            log.info("archiving put off", job=job.name, reason=refusal.reason, message=refusal.message)

    async def _move(self, job: Held[job_pb2.Job], placements: Placements) -> None:
        """Keep, then delete: a crash in between leaves both, and the next sweep does it again.

        An ended placement is the order to release: while a hold of it stands, the hold's owner has still to read it.
        """
        for placement in placements:
            standing = (await self._store.tokens(holds_of(placement.name))).tokens
            if standing:
                log.info("archiving put off", job=job.name, message=f"{standing[0].key} still stands")
                return
        gone: list[Change] = [Delete(job), *map(Delete, placements)]
        await self._archive.keep(
            Put(ENDED_JOBS, job.name, job.message),
            *(Put(ENDED_PLACEMENTS, each.name, each.message) for each in placements),
        )
        await self._store.commit(*gone)


def _ended(job: job_pb2.Job, before: datetime) -> bool:
    return wire.job_state(job) in JOB_ENDS and job.end_time.ToDatetime(UTC) < before
