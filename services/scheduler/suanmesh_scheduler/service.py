"""The calls that only the leader takes: wire in, one decision, wire out."""

from __future__ import annotations

from suanmesh.scheduler.v1 import decision_pb2, job_pb2
from suanmesh.scheduler.v1 import scheduler_service_pb2 as pb
from suanmesh_chassis import Call
from suanmesh_kernel.names import checked_name
from suanmesh_kernel.refusals import (
    Aborted,
    FailedPrecondition,
    InvalidArgument,
    Refusal,
)
from suanmesh_scheduler import wire
from suanmesh_scheduler.cancelling import Cancelling
from suanmesh_scheduler.domain.states import JOB_ENDS, JobState
from suanmesh_scheduler.explaining import Explaining
from suanmesh_scheduler.jobs import Jobs, shown
from suanmesh_scheduler.mirrors import Mirrors
from suanmesh_scheduler.ports import Peers
from suanmesh_scheduler.reads import SchedulerReads
from suanmesh_scheduler.reporting import TURNS_MAX, Reporting, Taken
from suanmesh_scheduler.secrets import Secrets
from suanmesh_scheduler.submitting import Submitting
from suanmesh_sdk.status import status_of
from suanmesh_store import Conflict, Store
from suanmesh_store.archive import Archive

ITEMS_MAX = 100


class SchedulerService(SchedulerReads):
    """Takes jobs and tells what became of them."""

    def __init__(
        self,
        store: Store,
        mirrors: Mirrors,
        submitting: Submitting,
        cancelling: Cancelling,
        reporting: Reporting,
        explaining: Explaining,
        peers: Peers,
        jobs: Jobs,
        archive: Archive,
        secrets: Secrets,
    ) -> None:
        super().__init__(store, mirrors, peers, jobs, archive, secrets)
        self._submitting = submitting
        self._cancelling = cancelling
        self._reporting = reporting
        self._explaining = explaining

    async def SubmitJobs(self, request: pb.SubmitJobsRequest, call: Call) -> pb.SubmitJobsResponse:
        _within("items", len(request.items))
        if request.validate_only:
            return await self._submitting.plan(request.items, call)
        return await self._submitting.submit(request.items, call)

    async def CancelJob(self, request: pb.CancelJobRequest, call: Call) -> job_pb2.Job:
        for turn in range(TURNS_MAX - 1):
            try:
                return await self._cancelled(request, call, again=turn > 0)
            except Conflict:
                continue
        return await self._cancelled(request, call, again=True)

    async def ExplainCandidate(
        self, request: pb.ExplainCandidateRequest, call: Call
    ) -> decision_pb2.CandidateExplanation:
        pool = checked_name(request.pool, "sites", "pools", field="pool")
        decision = await self.GetDecision(pb.GetDecisionRequest(name=request.name), call)
        return await self._explaining.explain(decision, (await self._job(decision.job, call)).message, pool)

    async def ReportTasks(self, request: pb.ReportTasksRequest, call: Call) -> pb.ReportTasksResponse:
        _within("reports", len(request.reports))
        taken = await self._reporting.take(request.reports, call.site)
        return pb.ReportTasksResponse(results=list(map(_report_result, taken)))

    async def _cancelled(self, request: pb.CancelJobRequest, call: Call, *, again: bool) -> job_pb2.Job:
        """Ask once for the end; the reconciler brings it about."""
        job = await self._job(request.name, call)
        state = wire.job_state(job.message)
        if state is JobState.CANCELLED:
            return shown(job)
        if state in JOB_ENDS:
            raise FailedPrecondition("JOB_ENDED", f"{job.name} is {state} already", name=job.name, state=state)
        if request.etag and request.etag != job.etag:
            message = f"{job.name} has changed since it was read"
            raise Aborted("ETAG_STALE", message, name=job.name, etag=job.etag)
        if job.message.cancel_requested:
            return shown(job)
        return await self._cancelling.cancel(job, call, again=again)


def _report_result(taken: Taken) -> pb.TaskReportResult:
    if isinstance(taken, Refusal):
        return pb.TaskReportResult(error=status_of(taken, area="scheduler"))
    return pb.TaskReportResult(placement=taken)


def _within(field: str, count: int) -> None:
    if not 1 <= count <= ITEMS_MAX:
        raise InvalidArgument("FIELD_INVALID", f"{field}: {count} is not within 1 to {ITEMS_MAX}", field=field)
