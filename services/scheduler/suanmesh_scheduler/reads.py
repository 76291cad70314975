"""What any instance of the scheduler answers: jobs, what was decided, where they run and what they write."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from suanmesh.agent.v1 import agent_service_pb2 as agent_pb
from suanmesh.registry.v1 import site_pb2
from suanmesh.scheduler.v1 import decision_pb2, job_pb2, placement_pb2, secret_pb2
from suanmesh.scheduler.v1 import scheduler_service_pb2 as pb
from suanmesh_chassis import Call
from suanmesh_kernel import pages
from suanmesh_kernel.filter_fields import Keeps, predicate
from suanmesh_kernel.names import SETUP_LOG, checked_name, last, log_file
from suanmesh_kernel.refusals import FailedPrecondition, NotFound, PermissionDenied, Unavailable, invalid_field
from suanmesh_scheduler import wire
from suanmesh_scheduler.domain.job_fields import FIELDS
from suanmesh_scheduler.domain.job_pages import Part, part_of
from suanmesh_scheduler.domain.states import HOLDING, JOB_ENDS
from suanmesh_scheduler.jobs import Job, Jobs, shown
from suanmesh_scheduler.mirrors import Mirrors
from suanmesh_scheduler.ports import Peers
from suanmesh_scheduler.record_kinds import BY_JOB, ENDED_PLACEMENTS, TASK_RESULTS
from suanmesh_scheduler.secrets import Secrets
from suanmesh_scheduler.task_blocks import blocks_of, joined
from suanmesh_scheduler.task_lists import TaskList
from suanmesh_store import Store
from suanmesh_store.archive import Archive
from suanmesh_store.layout import PLACEMENTS

PLACEMENTS_MAX = 100
"""Placements of one job that are looked through: more than its attempts and its sites' refusals."""
FILTERED_STEP = 500
FILTERED_MAX = 10_000
"""Jobs that one call looks at with a filter, so many at a time."""
ANSWER_S_MAX, ANSWER_SHARE = 15.0, 0.8
"""A site that says nothing of a log for so long, or for so much of the time its reader has, cannot be reached."""
TOLD_MAX = 100
"""Placements that an agent is told of in one message: what one commit writes, 800 KiB at most."""


class SchedulerReads:
    """The calls that change nothing."""

    def __init__(
        self, store: Store, mirrors: Mirrors, peers: Peers, jobs: Jobs, archive: Archive, secrets: Secrets
    ) -> None:
        self._store = store
        self._jobs = jobs
        self._live = mirrors.jobs
        self._placements = mirrors.placements
        self._attempts = mirrors.attempts
        self._sites = mirrors.sites
        self._peers = peers
        self._archive = archive
        self._secrets = secrets

    async def GetJob(self, request: pb.GetJobRequest, call: Call) -> job_pb2.Job:
        return shown(await self._job(request.name, call))

    async def ListJobs(self, request: pb.ListJobsRequest, call: Call) -> pb.ListJobsResponse:
        size = pages.checked_size(request.page_size)
        scope = f"{call.method} {call.party} {request.filter}"
        keeps = predicate(request.filter, FIELDS) if request.filter else None
        part = part_of(request.filter, "" if call.is_("operator") or call.is_("service") else call.party)
        after = pages.after(request.page_token, scope)
        jobs, seen = await self._jobs_after(after, size + 1, keeps, part)
        places, token = pages.cut(jobs, size, scope)
        token = token or (pages.token(seen, scope) if seen else "")
        return pb.ListJobsResponse(jobs=[jobs[place] for place in places], next_page_token=token)

    async def _jobs_after(
        self, after: str, most: int, keeps: Keeps | None, part: Part
    ) -> tuple[dict[str, job_pb2.Job], str]:
        """The next jobs that are kept, by place, and up to where they were looked at where that is not the end."""
        found: dict[str, job_pb2.Job] = {}
        step = most if keeps is None else FILTERED_STEP
        for _ in range(1 if keeps is None else FILTERED_MAX // FILTERED_STEP):
            page = await self._jobs.page(part, after=after, most=step)
            found |= {
                wire.place_of(job.message): shown(job)
                for job in page
                if keeps is None or keeps(wire.filtered_from(job.message))
            }
            if len(page) < step or len(found) >= most:
                return found, ""
            after = wire.place_of(page[-1].message)
        return found, after

    async def WatchJob(self, request: pb.WatchJobRequest, call: Call) -> AsyncIterator[job_pb2.Job]:
        with self._live.following_one(request.name) as changed:
            job = await self._job(request.name, call)
            if job.etag != request.resume_token:
                yield shown(job)
            while wire.job_state(job.message) not in JOB_ENDS:
                await changed.take()
                standing = self._live.get(request.name) or await self._job(request.name, call)
                if standing.sequence > job.sequence:
                    job = standing
                    yield shown(job)

    async def GetDecision(self, request: pb.GetDecisionRequest, call: Call) -> decision_pb2.Decision:
        name = request.name
        job = await self._job(name.partition("/decisions/")[0], call)
        if name.endswith("/decisions/-"):  # a site that was lost may have come back after another decision
            placement = await self._placement(job.message.placement) if job.message.placement else None
            name = job.message.decision if placement is None else placement.decision
        found = await self._jobs.decision(name)
        if found is None:
            raise NotFound("DECISION_UNKNOWN", f"no decision {request.name}", name=request.name)
        return found

    async def GetPlacement(self, request: pb.GetPlacementRequest, call: Call) -> placement_pb2.Placement:
        placement = await self._placement(checked_name(request.name, "placements"))
        if placement is None or not (_may_see(call, placement.party) or placement.site == call.site):
            raise NotFound("PLACEMENT_UNKNOWN", f"no placement {request.name}", name=request.name)
        return placement

    async def ListSitePlacements(
        self, request: pb.ListSitePlacementsRequest, call: Call
    ) -> pb.ListSitePlacementsResponse:
        name = checked_name(request.site, "sites", field="site")
        site = self._sites.get(name)
        owns = site is not None and _may_see(call, site.message.party)
        living = {
            f"{held.message.create_time.ToMicroseconds():020d} {held.name}": held.message
            for held in self._placements.values()
            if held.message.site == name and not held.message.HasField("end_time")
        }
        seen = {place: each for place, each in living.items() if owns or _may_see(call, each.party)}
        scope = f"{call.method} {call.party} {name}"
        places, token = pages.of(seen, request.page_size, request.page_token, scope)
        placements = [wire.site_placement_to(seen[place]) for place in places]
        return pb.ListSitePlacementsResponse(placements=placements, total=len(seen), next_page_token=token)

    async def ListTasks(self, request: pb.ListTasksRequest, call: Call) -> pb.ListTasksResponse:
        job = (found := await self._job(request.job, call)).message
        placement = await self._last_placement(found)
        spilled = await self._spilled(placement) if placement is not None else {}
        tasks, wanted = TaskList(job, placement, spilled), frozenset(request.states)
        places = (f"{index:06d}" for index in tasks.indexes(wanted))
        scope = f"{call.method} {job.name} {sorted(wanted)}"
        names, token = pages.of(places, request.page_size, request.page_token, scope)
        return pb.ListTasksResponse(tasks=[tasks.task(int(name)) for name in names], next_page_token=token)

    async def WatchPlacements(
        self, request: pb.WatchPlacementsRequest, call: Call
    ) -> AsyncIterator[pb.WatchPlacementsResponse]:
        if request.site != call.site:
            message = f"{call.site} cannot watch the placements of {request.site}"
            raise PermissionDenied("NOT_OWNER", message, name=request.site)
        with self._placements.following() as changed:
            live = [
                wire.told_to_site(held.message)
                for held in self._placements.values()
                if held.message.site == call.site
                and (not held.message.HasField("end_time") or self._waits_for(held.message))
            ]
            yield pb.WatchPlacementsResponse(placements=live, snapshot=True)
            while True:
                await changed.some()
                news = [self._placements.get(name) for name in changed.take_many(TOLD_MAX)]
                told = (held.message for held in news if held is not None and held.message.site == call.site)
                own = [wire.told_to_site(each) for each in told]
                if own:
                    yield pb.WatchPlacementsResponse(placements=own)

    async def GetSealingKey(self, _request: pb.GetSealingKeyRequest, _call: Call) -> secret_pb2.SealingKey:
        return self._secrets.key()

    async def FetchSecrets(self, request: pb.FetchSecretsRequest, call: Call) -> pb.FetchSecretsResponse:
        placement = await self._placement(checked_name(request.placement, "placements", field="placement"))
        if placement is None or placement.site != call.site:
            raise NotFound("PLACEMENT_UNKNOWN", f"no placement {request.placement}", name=request.placement)
        runs = wire.placement_state(placement) in HOLDING
        kept = await self._jobs.secrets(placement.job) if runs else secret_pb2.JobSecrets()
        return self._secrets.resealed(placement, kept, request.public_key)

    async def ReadJobLogs(self, request: pb.ReadJobLogsRequest, call: Call) -> AsyncIterator[pb.ReadJobLogsResponse]:
        job = await self._job(request.name, call)
        placement, asked = await self._log_asked(job, request)
        try:
            async with aclosing(self._log(placement, asked, call)) as pieces:
                async for piece in pieces:
                    token = f"{last(placement.name)}.{piece.resume_token}" if piece.resume_token else ""
                    yield pb.ReadJobLogsResponse(content=piece.content, resume_token=token)
        except (NotFound, FailedPrecondition) as refusal:
            if placement.log_dataset:
                retry = asked.retry if asked.HasField("retry") else None
                file = SETUP_LOG if asked.setup else log_file(asked.task, retry)
                refusal.facts |= {"dataset": placement.log_dataset, "file": file}
            raise

    async def _log(
        self, placement: placement_pb2.Placement, asked: agent_pb.ReadLogRequest, call: Call
    ) -> AsyncGenerator[agent_pb.ReadLogResponse, None]:
        """From the site of a placement."""
        site = self._sites.get(placement.site)
        if site is None or site.message.liveness == site_pb2.Site.LIVENESS_LOST or not site.message.data_endpoint:
            raise _unreachable(placement.site)
        endpoint = site.message.data_endpoint
        pieces = self._peers.read_log(endpoint, site.name, asked)
        async with aclosing(pieces):
            try:
                piece = await self._first(pieces, site.name, answer_within_s(call.time_left()), follow=asked.follow)
                while piece is not None:
                    yield piece
                    piece = await anext(pieces, None)
            except Unavailable:
                raise _unreachable(placement.site) from None

    async def _first(
        self, pieces: AsyncGenerator[agent_pb.ReadLogResponse, None], site: str, answer_s: float, *, follow: bool
    ) -> agent_pb.ReadLogResponse | None:
        """The first piece. A task that is followed may write nothing for long: then its site has to be alive."""

        async def first() -> agent_pb.ReadLogResponse | None:
            return await anext(pieces, None)

        step = asyncio.get_running_loop().create_task(first())
        try:
            while not (await asyncio.wait({step}, timeout=answer_s))[0]:
                known = self._sites.get(site)
                alive = known is not None and known.message.liveness == site_pb2.Site.LIVENESS_ALIVE
                if not (follow and alive):
                    raise _unreachable(site)
            return step.result()
        finally:
            step.cancel()
            await asyncio.wait({step})

    async def _log_asked(
        self, job: Job, request: pb.ReadJobLogsRequest
    ) -> tuple[placement_pb2.Placement, agent_pb.ReadLogRequest]:
        """Which placement has the log of the run that is asked for, and what is asked of its site."""
        count = max(1, job.message.task.count)
        if request.task >= count:
            message = f"{job.name} has no task {request.task}: its tasks are 0 to {count - 1}"
            raise NotFound("TASK_UNKNOWN", message, name=job.name, tasks=count)
        if request.resume_token:
            return await self._resumed(job, request)
        placement = await self._last_placement(job)
        if placement is None:
            raise FailedPrecondition("LOG_NOT_READY", f"no task of {job.name} has started", name=job.name)
        if request.attempt and request.attempt != placement.attempt:
            placement = await self._attempt(job.name, request.attempt)
        asked = agent_pb.ReadLogRequest(
            task=request.task,
            follow=request.follow,
            tail_lines=request.tail_lines,
            timestamps=request.timestamps,
            setup=request.setup,
        )
        if request.HasField("since"):
            asked.since.CopyFrom(request.since)
        if request.previous:
            tasks = TaskList(job.message, placement, await self._spilled(placement))
            if retries := tasks.task(request.task).result.retries:
                asked.retry = retries - 1
            else:
                placement = await self._attempt(job.name, placement.attempt - 1)
        asked.placement = placement.name
        return placement, asked

    async def _resumed(
        self, job: Job, request: pb.ReadJobLogsRequest
    ) -> tuple[placement_pb2.Placement, agent_pb.ReadLogRequest]:
        """The same, where a reader goes on behind what he has read."""
        id_, _, token = request.resume_token.partition(".")
        placement = await self._placement(checked_name(f"placements/{id_}", "placements", field="resume_token"))
        if placement is None or placement.job != job.name:
            raise invalid_field("resume_token", f"is of no log of {job.name}")
        return placement, agent_pb.ReadLogRequest(
            placement=placement.name,
            task=request.task,
            follow=request.follow,
            timestamps=request.timestamps,
            setup=request.setup,
            resume_token=token,
        )

    async def _attempt(self, job: str, attempt: int) -> placement_pb2.Placement:
        """The newest placement of an attempt of a job. Raises NotFound (`ATTEMPT_UNKNOWN`)."""
        live = [held.message for held in self._placements.values() if held.message.job == job]
        made = [*live, *await self._archive.found(ENDED_PLACEMENTS, BY_JOB, job, most=PLACEMENTS_MAX)]
        found = [placement for placement in made if placement.attempt == attempt]
        if not found:
            raise NotFound("ATTEMPT_UNKNOWN", f"{job} has no attempt {attempt}", name=job, attempt=str(attempt))
        return max(found, key=lambda placement: wire.decision_number(placement.decision))

    async def _job(self, name: str, call: Call) -> Job:
        job = await self._jobs.get(checked_name(name, "jobs"))
        if job is None or not _may_see(call, job.message.party):
            raise NotFound("JOB_UNKNOWN", f"no job {name}", name=name)
        return job

    def _waits_for(self, placement: placement_pb2.Placement) -> bool:
        """Whether it was lost and would be taken back: its job has neither ended nor been placed elsewhere."""
        job = self._live.get(placement.job)
        lost = placement.state == placement_pb2.Placement.STATE_LOST and not placement.replaced_by
        return lost and job is not None and job.message.placement in ("", placement.name)

    async def _last_placement(self, job: Job) -> placement_pb2.Placement | None:
        """That of a job, or where it waits for another the last that it was given."""
        if job.message.placement:
            return await self._placement(job.message.placement)
        last = self._attempts.last(job.name)
        return None if last is None else last.message

    async def _spilled(self, placement: placement_pb2.Placement) -> dict[int, placement_pb2.TaskResult]:
        names = blocks_of(placement)
        kept = await self._archive.get_many(TASK_RESULTS, names)
        return joined(kept[name] for name in names if name in kept)

    async def _placement(self, name: str) -> placement_pb2.Placement | None:
        """A placement, live or archived."""
        held = await self._store.get(PLACEMENTS, name)
        return held.message if held else await self._archive.get(ENDED_PLACEMENTS, name)


def _unreachable(site: str) -> FailedPrecondition:
    return FailedPrecondition("SITE_UNREACHABLE", f"{site}, which has the log, cannot be reached", site=site)


def answer_within_s(left_s: float) -> float:
    """How long a site may take to begin to tell a log, where its reader has `left_s` to wait: he is to hear of it."""
    return min(ANSWER_S_MAX, left_s * ANSWER_SHARE)


def _may_see(call: Call, party: str) -> bool:
    return call.is_("operator") or call.is_("service") or call.party == party
