"""Ending jobs by request: one write for a job that only waited, an order for one that has a place."""

from __future__ import annotations

from suanmesh.scheduler.v1 import job_pb2
from suanmesh_chassis import Call
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.reasons import StateReason
from suanmesh_scheduler import wire
from suanmesh_scheduler.domain.rates import Rate
from suanmesh_scheduler.domain.states import JobState, job_moved
from suanmesh_scheduler.queueing import Rates
from suanmesh_scheduler.record_kinds import ENDED_JOBS
from suanmesh_scheduler.settings import SchedulerSettings
from suanmesh_store import Delete, Held, Store, Update
from suanmesh_store.archive import Archive
from suanmesh_store.records import Put
from suanmesh_telemetry import names, span

WHILE_WAITING = StateReason("CANCELLED", {"while": "PENDING"})


class Cancelling:
    """Ends jobs of a party, not more in a time than it may."""

    def __init__(self, store: Store, archive: Archive, clock: Clock, settings: SchedulerSettings) -> None:
        self._store = store
        self._archive = archive
        self._clock = clock
        self._rates = Rates(clock, Rate(settings.cancels_per_s, settings.cancels_burst), "cancelled jobs")

    async def cancel(self, held: Held[job_pb2.Job], call: Call) -> job_pb2.Job:
        """The job as it is after that; the reconciler brings the end of a placed one about.

        Raises ResourceExhausted (`RATE_EXCEEDED`), Conflict where the job has changed meanwhile.
        """
        self._rates.take(call.party or call.principal, call.principal, held.name, 1)
        if not held.message.placement:
            with span(names.SETTLE_JOB, parent=held.traceparent, job=held.name, state=JobState.CANCELLED):
                return await self._ended(held, call)
        changed = held.draft()
        changed.cancel_requested = True
        return await self._updated(held, changed, call)

    async def _ended(self, held: Held[job_pb2.Job], call: Call) -> job_pb2.Job:
        """One that never had a place moves to the archive at once: nothing of it is to be wound up.

        It is kept, then deleted: where the deletion fails, the job in etcd is the one that counts, and what was kept is
        replaced at its end.
        """
        job = held.draft()
        wire.set_job_state(job, job_moved(wire.job_state(job), JobState.CANCELLED), WHILE_WAITING, self._clock.now())
        if job.attempt:
            return await self._updated(held, job, call)
        await self._archive.keep(Put(ENDED_JOBS, job.name, job))
        await self._store.commit(Delete(held), author=call.author())
        return job

    async def _updated(self, held: Held[job_pb2.Job], job: job_pb2.Job, call: Call) -> job_pb2.Job:
        committed = await self._store.commit(Update(held, job), author=call.author())
        stored: Held[job_pb2.Job] = committed.held[0]
        job = stored.draft()
        job.etag = stored.etag
        return job
