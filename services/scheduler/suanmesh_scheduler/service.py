"""The calls of the scheduler: wire in, one decision, wire out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

from suanmesh.scheduler.v1 import decision_pb2, job_pb2, placement_pb2
from suanmesh.scheduler.v1 import scheduler_service_pb2 as pb
from suanmesh_chassis import Call
from suanmesh_kernel import pages
from suanmesh_kernel.names import checked_name
from suanmesh_kernel.refusals import (
    Aborted,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    Refusal,
)
from suanmesh_scheduler import wire
from suanmesh_scheduler.cancelling import Cancelling
from suanmesh_scheduler.domain.states import JOB_ENDS, JobState
from suanmesh_scheduler.mirrors import Mirrors
from suanmesh_scheduler.ports import Areas
from suanmesh_scheduler.reporting import TURNS_MAX, Reporting
from suanmesh_scheduler.submitting import Submitting
from suanmesh_sdk.status import status_of
from suanmesh_store import Conflict, Held, Store
from suanmesh_store.archive import Archive
from suanmesh_store.layout import DECISIONS, JOBS, PLACEMENTS

ITEMS_MAX = 100


class SchedulerService:
    """Takes jobs and tells what became of them."""

    def __init__(
        self,
        store: Store,
        mirrors: Mirrors,
        submitting: Submitting,
        cancelling: Cancelling,
        reporting: Reporting,
        areas: Areas,
        archive: Archive,
    ) -> None:
        self._store = store
        self._jobs = mirrors.jobs
        self._placements = mirrors.placements
        self._sites = mirrors.sites
        self._submitting = submitting
        self._cancelling = cancelling
        self._reporting = reporting
        self._areas = areas
        self._archive = archive

    async def SubmitJobs(self, request: pb.SubmitJobsRequest, call: Call) -> pb.SubmitJobsResponse:
        _within("items", len(request.items))
        if request.validate_only:
            return await self._submitting.plan(request.items, call)
        return await self._submitting.submit(request.items, call)

    async def GetJob(self, request: pb.GetJobRequest, call: Call) -> job_pb2.Job:
        return await self._job(request.name, call)

    async def ListJobs(self, request: pb.ListJobsRequest, call: Call) -> pb.ListJobsResponse:
        size = pages.checked_size(request.page_size)
        scope = f"{call.method} {call.party}"
        after = pages.after(request.page_token, scope)
        party = "" if call.is_("operator") or call.is_("service") else call.party
        live = {wire.place_of(h.message): h for h in self._jobs.values() if _may_see(call, h.message.party)}
        messages = {place: held.message for place, held in live.items()}
        found = await self._archive.page(JOBS, messages, party=party, after=after, most=size + 1)
        places, token = pages.cut(found, size, scope)
        jobs = [_shown(live[place]) if place in live else found[place] for place in places]
        return pb.ListJobsResponse(jobs=jobs, next_page_token=token)

    async def WatchJob(self, request: pb.WatchJobRequest, call: Call) -> AsyncIterator[job_pb2.Job]:
        with self._jobs.following_one(request.name) as changed:
            job = await self._job(request.name, call)
            yield job
            while wire.job_state(job) not in JOB_ENDS:
                await changed.take()
                held = self._jobs.get(request.name)
                now = _shown(held) if held else await self._job(request.name, call)
                if now.etag != job.etag:
                    job = now
                    yield job

    async def CancelJob(self, request: pb.CancelJobRequest, call: Call) -> job_pb2.Job:
        for _ in range(TURNS_MAX - 1):
            try:
                return await self._cancelled(request, call)
            except Conflict:
                continue
        return await self._cancelled(request, call)

    async def GetDecision(self, request: pb.GetDecisionRequest, call: Call) -> decision_pb2.Decision:
        name = request.name
        job = await self._job(name.partition("/decisions/")[0], call)
        name = job.decision if name.endswith("/decisions/-") else name
        found = await self._archive.get(DECISIONS, name)
        if found is None:
            raise NotFound("DECISION_UNKNOWN", f"no decision {request.name}", name=request.name)
        return found

    async def GetPlacement(self, request: pb.GetPlacementRequest, call: Call) -> placement_pb2.Placement:
        placement = await self._placement(checked_name(request.name, "placements"))
        if placement is None or not (_may_see(call, placement.party) or placement.site == call.site):
            raise NotFound("PLACEMENT_UNKNOWN", f"no placement {request.name}", name=request.name)
        return placement

    async def WatchPlacements(
        self, request: pb.WatchPlacementsRequest, call: Call
    ) -> AsyncIterator[pb.WatchPlacementsResponse]:
        if request.site != call.site:
            message = f"{call.site} cannot watch the placements of {request.site}"
            raise PermissionDenied("NOT_OWNER", message, name=request.site)
        with self._placements.following() as changed:
            live = [
                held.message
                for held in self._placements.values()
                if held.message.site == call.site and not held.message.HasField("end_time")
            ]
            yield pb.WatchPlacementsResponse(placements=live, snapshot=True)
            while True:
                held = self._placements.get(await changed.take())
                if held is not None and held.message.site == call.site:
                    yield pb.WatchPlacementsResponse(placements=[held.message])

    async def ReportTasks(self, request: pb.ReportTasksRequest, call: Call) -> pb.ReportTasksResponse:
        _within("reports", len(request.reports))
        results = []
        for report in request.reports:
            try:
                results.append(pb.TaskReportResult(placement=await self._reporting.take(report, call.site)))
            except Refusal as refusal:
                results.append(pb.TaskReportResult(error=status_of(refusal, area="scheduler")))
        return pb.ReportTasksResponse(results=results)

    async def ReadJobLogs(self, request: pb.ReadJobLogsRequest, call: Call) -> AsyncIterator[pb.ReadJobLogsResponse]:
        job = await self._job(request.name, call)
        placement = await self._placement(job.placement) if job.placement else None
        site = self._sites.get(placement.site) if placement else None
        if placement is None or site is None or not site.message.data_endpoint:
            raise FailedPrecondition("LOG_NOT_READY", f"no task of {job.name} has started", name=job.name)
        endpoint = site.message.data_endpoint
        pieces = self._areas.read_log(endpoint, site.name, placement.name, request.task, request.follow)
        async with aclosing(pieces):
            async for content in pieces:
                yield pb.ReadJobLogsResponse(content=content)

    async def _cancelled(self, request: pb.CancelJobRequest, call: Call) -> job_pb2.Job:
        """Ask once for the end; the reconciler brings it about."""
        job = await self._job(request.name, call)
        state = wire.job_state(job)
        if state is JobState.CANCELLED:
            return job
        held = await self._store.get(JOBS, request.name)
        if held is None or state in JOB_ENDS:
            raise FailedPrecondition("JOB_ENDED", f"{job.name} is {state} already", name=job.name, state=state)
        if request.etag and request.etag != held.etag:
            message = f"{job.name} has changed since it was read"
            raise Aborted("ETAG_STALE", message, name=job.name, etag=held.etag)
        if held.message.cancel_requested:
            return _shown(held)
        return await self._cancelling.cancel(held, call)

    async def _job(self, name: str, call: Call) -> job_pb2.Job:
        checked_name(name, "jobs")
        held = await self._store.get(JOBS, name)
        job = _shown(held) if held else await self._archive.get(JOBS, name)
        if job is None or not _may_see(call, job.party):
            raise NotFound("JOB_UNKNOWN", f"no job {name}", name=name)
        return job

    async def _placement(self, name: str) -> placement_pb2.Placement | None:
        """A placement, live or archived."""
        held = await self._store.get(PLACEMENTS, name)
        return held.message if held else await self._archive.get(PLACEMENTS, name)


def _within(field: str, count: int) -> None:
    if not 1 <= count <= ITEMS_MAX:
        raise InvalidArgument("FIELD_INVALID", f"{field}: {count} is not within 1 to {ITEMS_MAX}", field=field)


def _may_see(call: Call, party: str) -> bool:
    return call.is_("operator") or call.is_("service") or call.party == party


def _shown(held: Held[job_pb2.Job]) -> job_pb2.Job:
    job = held.draft()
    job.etag = held.etag
    return job
