"""The calls of the scheduler: wire in, one decision, wire out."""

from __future__ import annotations

from collections.abc import AsyncIterator

from suanmesh.scheduler.v1 import decision_pb2, job_pb2, placement_pb2
from suanmesh.scheduler.v1 import scheduler_service_pb2 as pb
from suanmesh_chassis import Call
from suanmesh_kernel import pages
from suanmesh_kernel.clock import Clock, Rng
from suanmesh_kernel.identifiers import sortable_id
from suanmesh_kernel.names import checked_id, checked_name
from suanmesh_kernel.refusals import (
    Aborted,
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    Refusal,
    ResourceExhausted,
)
from suanmesh_scheduler import wire
from suanmesh_scheduler.bounding import check_size
from suanmesh_scheduler.checking import check, check_names, fill_in
from suanmesh_scheduler.domain.states import JOB_ENDS, JobState
from suanmesh_scheduler.mirrors import Mirrors
from suanmesh_scheduler.placing import Placing
from suanmesh_scheduler.ports import Areas
from suanmesh_scheduler.reporting import TURNS_MAX, Reporting
from suanmesh_sdk.status import status_of
from suanmesh_store import Conflict, Create, Held, Store, Update
from suanmesh_store.archive import Archive
from suanmesh_store.layout import DECISIONS, JOBS, PLACEMENTS
from suanmesh_telemetry import current_trace_id

ITEMS_MAX = 100


class SchedulerService:
    """Takes jobs and tells what became of them."""

    def __init__(
        self,
        store: Store,
        mirrors: Mirrors,
        placing: Placing,
        reporting: Reporting,
        areas: Areas,
        archive: Archive,
        clock: Clock,
        rng: Rng,
        *,
        live_jobs_max: int,
    ) -> None:
        self._store = store
        self._jobs = mirrors.jobs
        self._placements = mirrors.placements
        self._sites = mirrors.sites
        self._placing = placing
        self._reporting = reporting
        self._areas = areas
        self._archive = archive
        self._clock = clock
        self._rng = rng
        self._live_jobs_max = live_jobs_max

    async def SubmitJobs(self, request: pb.SubmitJobsRequest, call: Call) -> pb.SubmitJobsResponse:
        _within("items", len(request.items))
        results: list[pb.SubmitJobResult] = []
        accepted: list[Create[job_pb2.Job]] = []
        for item in request.items:
            try:
                job = await self._checked(item, call)
                if any(other.name == job.name for other in accepted):
                    raise AlreadyExists("JOB_EXISTS", f"{job.name} is asked for twice", name=job.name)
                if request.validate_only:
                    results.append(pb.SubmitJobResult(decision=(await self._placing.decide(job)).decision))
                    continue
                self._check_room(job.party, len(accepted))
            except Refusal as refusal:
                results.append(pb.SubmitJobResult(error=status_of(refusal, area="scheduler")))
                continue
            accepted.append(Create(JOBS, job.name, job))
            results.append(pb.SubmitJobResult(job=job))
        answer = pb.SubmitJobsResponse(results=results)
        if accepted:
            await self._store.commit(*accepted, remember=call.memo(answer), author=call.author())
        return answer

    async def GetJob(self, request: pb.GetJobRequest, call: Call) -> job_pb2.Job:
        return await self._job(request.name, call)

    async def ListJobs(self, request: pb.ListJobsRequest, call: Call) -> pb.ListJobsResponse:
        size = pages.checked_size(request.page_size)
        scope = f"{call.method} {call.party}"
        after = pages.after(request.page_token, scope)
        party = "" if call.is_("operator") or call.is_("service") else call.party
        live = {wire.place_of(h.message): _shown(h) for h in self._jobs.values() if _may_see(call, h.message.party)}
        found = await self._archive.page(JOBS, live, party=party, after=after, most=size + 1)
        places, token = pages.cut(found, size, scope)
        return pb.ListJobsResponse(jobs=[found[place] for place in places], next_page_token=token)

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
        if found is None and name:
            held = await self._store.get(DECISIONS, name)
            found = held.message if held else None
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
        changed = held.draft()
        changed.cancel_requested = True
        committed = await self._store.commit(Update(held, changed), author=call.author())
        return _shown(committed.held[0])

    async def _checked(self, item: pb.SubmitJob, call: Call) -> job_pb2.Job:
        """The job as it will be kept: the caller's fields checked, ours filled in."""
        job = job_pb2.Job()
        job.CopyFrom(item.job)
        for field in _OURS:
            job.ClearField(field)  # type: ignore[arg-type]
        check(job)
        fill_in(job)
        account = await self._areas.account(job.account)
        if account.party != call.party and not call.is_("operator"):
            message = f"{job.account} is not an account of {call.party}"
            raise PermissionDenied("NOT_OWNER", message, name=job.account)
        for each in job.inputs:
            dataset = await self._areas.dataset(each.dataset)
            if dataset.party != account.party:
                message = f"there is no dataset {each.dataset}"
                raise NotFound("DATASET_UNKNOWN", message, domain="transport.suanmesh", name=each.dataset)
        self._check_targets(job)
        now = self._clock.now()
        job_id = checked_id(item.job_id, field="job_id") if item.job_id else sortable_id(now, self._rng)
        check_names(job_id, job)
        job.name = f"jobs/{job_id}"
        if await self._store.get(JOBS, job.name) or await self._archive.get(JOBS, job.name):
            raise AlreadyExists("JOB_EXISTS", f"{job.name} is there already", name=job.name)
        job.party = account.party
        job.trace_id = current_trace_id()
        job.create_time.FromDatetime(now)
        job.state = job_pb2.Job.STATE_PENDING
        job.history.add(state=job.state, time=wire.stamp(now), reason="submitted")
        check_size(job)
        return job

    def _check_room(self, party: str, more: int) -> None:
        """Raises ResourceExhausted (`JOBS_TOO_MANY`) where the party has as many live jobs as it may have."""
        mine = (held.message for held in self._jobs.values() if held.message.party == party)
        live = sum(wire.job_state(job) not in JOB_ENDS for job in mine) + more
        if live >= self._live_jobs_max:
            message = f"{party} has {live} jobs that have not ended, at most {self._live_jobs_max} are allowed"
            raise ResourceExhausted("JOBS_TOO_MANY", message, name=party, most=self._live_jobs_max)

    def _check_targets(self, job: job_pb2.Job) -> None:
        """Results cannot go to a site there is none of. Raises NotFound (`SITE_UNKNOWN`)."""
        for i, output in enumerate(job.outputs):
            if output.deliver_to and self._sites.get(output.deliver_to) is None:
                field = f"outputs[{i}].deliver_to"
                message = f"{field}: there is no {output.deliver_to}"
                raise NotFound("SITE_UNKNOWN", message, name=output.deliver_to, field=field)

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


_OURS = (
    "name",
    "party",
    "state",
    "state_reason",
    "history",
    "decision",
    "placement",
    "output_datasets",
    "trace_id",
    "attempt",
    "refused_by",
    "cancel_requested",
    "create_time",
    "end_time",
    "etag",
)


def _within(field: str, count: int) -> None:
    if not 1 <= count <= ITEMS_MAX:
        raise InvalidArgument("FIELD_INVALID", f"{field}: {count} is not within 1 to {ITEMS_MAX}", field=field)


def _may_see(call: Call, party: str) -> bool:
    return call.is_("operator") or call.is_("service") or call.party == party


def _shown(held: Held[job_pb2.Job]) -> job_pb2.Job:
    job = held.draft()
    job.etag = held.etag
    return job
