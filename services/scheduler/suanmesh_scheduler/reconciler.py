"""Looks at every job that has not ended, whenever something it depends on may have changed."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial

import structlog

from suanmesh.scheduler.v1 import job_pb2, placement_pb2
from suanmesh_chassis import Guard
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.refusals import InvalidArgument, Refusal
from suanmesh_scheduler import wire
from suanmesh_scheduler.bounding import bound_job
from suanmesh_scheduler.circuits import Circuits
from suanmesh_scheduler.domain.line import Line
from suanmesh_scheduler.domain.states import FOR_A_PERSON, JOB_ENDS, JobState, job_moved, wait_reason
from suanmesh_scheduler.following import Following
from suanmesh_scheduler.mirrors import Mirrors
from suanmesh_scheduler.placing import Placing
from suanmesh_scheduler.settings import SchedulerSettings
from suanmesh_store import Conflict, Held, Store, Update, WorkQueue
from suanmesh_store.layout import JOBS
from suanmesh_telemetry import names, span

log = structlog.get_logger()


class Reconciler:
    """One job at a time each, several jobs side by side."""

    def __init__(
        self,
        store: Store,
        mirrors: Mirrors,
        placing: Placing,
        following: Following,
        circuits: Circuits,
        clock: Clock,
        settings: SchedulerSettings,
        guard: Guard,
    ) -> None:
        self._store = store
        self._jobs = mirrors.jobs
        self._placements = mirrors.placements
        self._transfers = mirrors.transfers
        self._placing = placing
        self._following = following
        self._circuits = circuits
        self._clock = clock
        self._settings = settings
        self._guard = guard
        self._queue = WorkQueue()
        self._line = Line()

    async def run(self) -> None:
        """Settle jobs until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow_jobs())
            tasks.create_task(self._follow_placements())
            tasks.create_task(self._follow_transfers())
            tasks.create_task(self._resync())
            for _ in range(self._settings.parallel_jobs_max):
                tasks.create_task(self._work())

    async def _follow_jobs(self) -> None:
        async for name in self._jobs.changes():
            held = self._jobs.get(name)
            self._line.stand(name, waits=held is not None and _waits(held.message))
            self._queue.add([name])

    async def _follow_placements(self) -> None:
        """Where one was just placed there may be room for the next, and where one ended there is."""
        async for name in self._placements.changes():
            held = self._placements.get(name)
            if held is None:
                self._circuits.forget(name)
            else:
                self._circuits.note(held.message)
                self._queue.add([held.message.job])
                if held.message.HasField("end_time") or held.message.state == placement_pb2.Placement.STATE_COMMITTED:
                    self._queue.add(self._line.next(1))

    async def _follow_transfers(self) -> None:
        """One that is gone had ended long before."""
        async for name in self._transfers.changes():
            transfer = self._transfers.get(name)
            held = None if transfer is None else self._placements.get(transfer.message.placement)
            if held is not None:
                self._queue.add([held.message.job])

    async def _resync(self) -> None:
        """Look again, lest an event was missed or the world around a job changed.

        A look at a job that waits asks every other area: a few of them have their turn at a time, and only as far as
        there is nothing else left to look at.
        """
        while True:
            await asyncio.sleep(self._settings.resync_s)
            self._queue.add(self._line.next(self._settings.waiting_jobs_max - len(self._queue)))
            placed = [held for held in self._jobs.values() if held.message.placement]
            self._queue.add([held.name for held in placed if wire.job_state(held.message) not in JOB_ENDS])

    async def _work(self) -> None:
        while True:
            async with self._queue.turn() as name:
                await self._guard.run(name, partial(self._settle_or_put_off, name), partial(self._tell_defect, name))

    async def _settle_or_put_off(self, name: str) -> None:
        try:
            await self._settle(name)
        except Conflict as conflict:
            log.info("job decided anew", job=name, message=conflict.message)
            self._queue.add([name])
        except Refusal as refusal:
            log.info("job put off", job=name, reason=refusal.reason, message=refusal.message)
            if refusal.reason in FOR_A_PERSON:
                with suppress(Refusal):  # it is tried again with the job
                    await self._tell_on_job(name, wait_reason(refusal.reason, refusal.message, refusal.facts))

    async def _tell_defect(self, name: str, defect: Exception) -> None:
        """Say on the job why it does not go on; it is looked at again later, and later still if that is in vain."""
        kind = type(defect).__name__
        await self._tell_on_job(name, f"DEFECT: {kind} in the scheduler; its operator can see it in the log")

    async def _tell_on_job(self, name: str, reason: str) -> None:
        held = await self._store.get(JOBS, name)
        if held is not None and wire.job_state(held.message) not in JOB_ENDS:
            job = held.draft()
            job.state_reason = reason
            bound_job(job)
            if job.state_reason != held.message.state_reason:
                await self._store.commit(Update(held, job))

    async def _settle(self, name: str) -> None:
        held = await self._store.get(JOBS, name)
        if held is None or wire.job_state(held.message) in JOB_ENDS:
            return
        try:
            await self._step(held)
        except InvalidArgument as refusal:
            if refusal.reason != "DOCUMENT_TOO_LARGE":
                raise
            await self._give_up(held, refusal)

    async def _step(self, held: Held[job_pb2.Job]) -> None:
        if held.message.placement:
            await self._following.step(held)
        elif held.message.cancel_requested:
            await self._end(held, JobState.CANCELLED, "CANCELLED: by request, while it waited")
        else:
            await self._placing.place(held)

    async def _give_up(self, held: Held[job_pb2.Job], refusal: Refusal) -> None:
        """What has no room in a document never will have: the job fails, its placement first."""
        log.info("job given up", job=held.name, reason=refusal.reason, message=refusal.message)
        if held.message.placement:
            await self._following.fail(held, str(refusal))
        else:
            await self._end(held, JobState.FAILED, f"{refusal.reason}: {refusal.message}")

    async def _end(self, held: Held[job_pb2.Job], state: JobState, reason: str) -> None:
        job = held.draft()
        wire.set_job_state(job, job_moved(wire.job_state(job), state), reason, self._clock.now())
        with span(names.SETTLE_JOB, parent=held.traceparent, job=held.name, state=state):
            await self._store.commit(Update(held, job))


def _waits(job: job_pb2.Job) -> bool:
    return not job.placement and wire.job_state(job) not in JOB_ENDS
