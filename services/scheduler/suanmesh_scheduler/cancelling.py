"""Ending jobs by request: one write for a job that only waited, an order for one that has a place."""

from __future__ import annotations

from suanmesh.scheduler.v1 import job_pb2
from suanmesh_chassis import Call
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.reasons import StateReason
from suanmesh_scheduler import wire
from suanmesh_scheduler.domain.rates import Rate
from suanmesh_scheduler.domain.states import JobState, job_moved
from suanmesh_scheduler.jobs import Job, Jobs, shown
from suanmesh_scheduler.mirrors import Attempts
from suanmesh_scheduler.queueing import Rates
from suanmesh_scheduler.settings import SchedulerSettings
from suanmesh_telemetry import names, span

WHILE_WAITING = StateReason("CANCELLED", {"while": "PENDING"})


class Cancelling:
    """Ends jobs of a party, not more in a time than it may."""

    def __init__(self, jobs: Jobs, attempts: Attempts, clock: Clock, settings: SchedulerSettings) -> None:
        self._jobs = jobs
        self._attempts = attempts
        self._clock = clock
        self._rates = Rates(clock, Rate(settings.cancels_per_s, settings.cancels_burst), "cancelled jobs")

    async def cancel(self, job: Job, call: Call, *, again: bool) -> job_pb2.Job:
        """The job as it is after that; the reconciler brings the end of a placed one about.

        Where a round commits a placement of it in this moment, whoever has written the job first has decided: it ends
        here, and the reconciler ends the placement; or this is refused and asked again of a job that has a place.
        Raises ResourceExhausted (`RATE_EXCEEDED`), Conflict where the job has changed meanwhile; one that is tried
        `again` for that was counted before.
        """
        if not again:
            self._rates.take(call, job.name, 1)
        changed = job.draft()
        if job.message.placement or self._attempts.untold(job.message):
            changed.cancel_requested = True
            return shown(await self._jobs.put_one(job, changed, call.author()))
        state = job_moved(wire.job_state(changed), JobState.CANCELLED)
        wire.set_job_state(changed, state, WHILE_WAITING, self._clock.now())
        with span(names.SETTLE_JOB, parent=job.traceparent, job=job.name, state=state):
            return shown(await self._jobs.put_one(job, changed, call.author()))
