"""Taking batches of jobs: every item is answered by itself, and once; what could not be settled is done on a repeat."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import TypeVar

from suanmesh.accounting.v1 import account_pb2
from suanmesh.scheduler.v1 import job_pb2
from suanmesh.scheduler.v1 import scheduler_service_pb2 as pb
from suanmesh.transport.v1 import dataset_pb2
from suanmesh_chassis import Call
from suanmesh_kernel.clock import Clock, Rng
from suanmesh_kernel.identifiers import sortable_id
from suanmesh_kernel.names import checked_id
from suanmesh_kernel.refusals import AlreadyExists, NotFound, PermissionDenied, Refusal, ResourceExhausted, is_final
from suanmesh_scheduler import wire
from suanmesh_scheduler.bounding import check_size
from suanmesh_scheduler.checking import check, check_names, fill_in
from suanmesh_scheduler.domain.states import JOB_ENDS
from suanmesh_scheduler.mirrors import Mirrors
from suanmesh_scheduler.placing import Placing
from suanmesh_scheduler.ports import Areas
from suanmesh_sdk.status import refusal_of, status_of
from suanmesh_store import Conflict, Create, Store
from suanmesh_store.archive import Archive
from suanmesh_store.layout import JOBS
from suanmesh_telemetry import current_trace_id

AREA = "scheduler"
CONFLICTS_MAX = 3
"""How often a batch is committed anew without the jobs that somebody else had made meanwhile."""
Outcome = job_pb2.Job | Refusal
T = TypeVar("T")


class Submitting:
    """Checks jobs and keeps those that can be."""

    def __init__(
        self,
        store: Store,
        mirrors: Mirrors,
        placing: Placing,
        areas: Areas,
        archive: Archive,
        clock: Clock,
        rng: Rng,
        *,
        live_jobs_max: int,
    ) -> None:
        self._store = store
        self._jobs = mirrors.jobs
        self._sites = mirrors.sites
        self._placing = placing
        self._areas = areas
        self._archive = archive
        self._clock = clock
        self._rng = rng
        self._live_jobs_max = live_jobs_max

    async def plan(self, items: Sequence[pb.SubmitJob], call: Call) -> pb.SubmitJobsResponse:
        """What would be decided of each item now; stores nothing."""
        results = []
        for outcome in await self._checked(dict(enumerate(items)), call):
            try:
                results.append(pb.SubmitJobResult(decision=(await self._placing.decide(_job(outcome))).decision))
            except Refusal as refusal:
                results.append(_refused(refusal))
        return pb.SubmitJobsResponse(results=results)

    async def submit(self, items: Sequence[pb.SubmitJob], call: Call) -> pb.SubmitJobsResponse:
        """Keep all jobs that can be in one transaction, with what is settled of the batch."""
        outcomes = {i: _as_before(items[i], entry) for i, entry in call.earlier.items()}
        open_items = {i: item for i, item in enumerate(items) if i not in outcomes}
        news = dict(zip(open_items, await self._checked(open_items, call), strict=True))
        for _ in range(CONFLICTS_MAX):
            outcomes.update(news)
            answer = [outcomes[i] for i in range(len(items))]
            try:
                await self._keep(news, answer, call)
            except Conflict as conflict:
                news = {i: _unless_taken(outcome, conflict) for i, outcome in news.items()}
            else:
                return pb.SubmitJobsResponse(results=[_result(outcome) for outcome in answer])
        raise Conflict((), name="the batch", expected="free names", found="names taken meanwhile")

    async def _keep(self, news: Mapping[int, Outcome], answer: Sequence[Outcome], call: Call) -> None:
        """One transaction for all jobs, and the record of what is settled; nothing where nothing is."""
        made = [Create(JOBS, job.name, job) for job in news.values() if isinstance(job, job_pb2.Job)]
        if made or any(isinstance(outcome, Refusal) and is_final(outcome.code) for outcome in news.values()):
            remembered = pb.SubmitJobsResponse(results=[_remembered(outcome) for outcome in answer])
            await self._store.commit(*made, remember=call.memo(remembered), author=call.author())

    async def _checked(self, items: Mapping[int, pb.SubmitJob], call: Call) -> list[Outcome]:
        """The jobs as they would be kept, or why not; what they name is looked up once for all of them."""
        drafts = [_attempt(lambda item=item: _draft(item.job)) for item in items.values()]  # type: ignore[misc]
        jobs = [draft for draft in drafts if isinstance(draft, job_pb2.Job)]
        accounts = await _each(self._areas.account, {job.account for job in jobs})
        datasets = await _each(self._areas.dataset, {each.dataset for job in jobs for each in job.inputs})
        outcomes: list[Outcome] = []
        names: set[str] = set()
        now, trace_id = self._clock.now(), current_trace_id()
        for item, draft in zip(items.values(), drafts, strict=True):
            try:
                job = _job(draft)
                party = _party_of(job, accounts, datasets, call)
                self._check_targets(job)
                job_id = checked_id(item.job_id, field="job_id") if item.job_id else sortable_id(now, self._rng)
                check_names(job_id, job)
                _accept(job, f"jobs/{job_id}", party, trace_id, now)
                check_size(job)
                await self._check_free(job.name, names)
                self._check_room(party, len(names))
            except Refusal as refusal:
                outcomes.append(refusal)
            else:
                names.add(job.name)
                outcomes.append(job)
        return outcomes

    async def _check_free(self, name: str, taken: set[str]) -> None:
        """Raises AlreadyExists (`JOB_EXISTS`)."""
        if name in taken:
            raise AlreadyExists("JOB_EXISTS", f"{name} is asked for twice", name=name)
        if await self._store.get(JOBS, name) or await self._archive.get(JOBS, name):
            raise _taken(name)

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


def _draft(asked: job_pb2.Job) -> job_pb2.Job:
    """The caller's fields, checked, with what was left to us. Raises InvalidArgument (`FIELD_INVALID`)."""
    job = job_pb2.Job()
    job.CopyFrom(asked)
    for field in _OURS:
        job.ClearField(field)  # type: ignore[arg-type]
    check(job)
    fill_in(job)
    return job


def _accept(job: job_pb2.Job, name: str, party: str, trace_id: str, now: datetime) -> None:
    """Fill in what makes a draft the job as it is kept: the same again for the same values."""
    job.name, job.party, job.trace_id = name, party, trace_id
    job.create_time.FromDatetime(now)
    job.state = job_pb2.Job.STATE_PENDING
    job.history.add(state=job.state, time=wire.stamp(now), reason="submitted")


def _party_of(
    job: job_pb2.Job,
    accounts: Mapping[str, account_pb2.Account | Refusal],
    datasets: Mapping[str, dataset_pb2.Dataset | Refusal],
    call: Call,
) -> str:
    """Whose job it is. Raises what its account or an input was refused with, PermissionDenied, NotFound."""
    account = _found(accounts[job.account])
    if account.party != call.party and not call.is_("operator"):
        raise PermissionDenied("NOT_OWNER", f"{job.account} is not an account of {call.party}", name=job.account)
    for each in job.inputs:
        if _found(datasets[each.dataset]).party != account.party:
            message = f"there is no dataset {each.dataset}"
            raise NotFound("DATASET_UNKNOWN", message, domain="transport.suanmesh", name=each.dataset)
    return account.party


def _remembered(outcome: Outcome) -> pb.SubmitJobResult:
    """What tells a job from what was asked for; the rest is in the request, which is the same when it is repeated."""
    if isinstance(outcome, Refusal):
        return _refused(outcome)
    job = job_pb2.Job(name=outcome.name, party=outcome.party, trace_id=outcome.trace_id)
    job.create_time.CopyFrom(outcome.create_time)
    return pb.SubmitJobResult(job=job)


def _as_before(item: pb.SubmitJob, entry: object) -> Outcome:
    """The outcome as it was answered the first time."""
    assert isinstance(entry, pb.SubmitJobResult)
    if entry.HasField("error"):
        return refusal_of(entry.error)
    job = _draft(item.job)
    _accept(job, entry.job.name, entry.job.party, entry.job.trace_id, entry.job.create_time.ToDatetime())
    return job


def _unless_taken(outcome: Outcome, conflict: Conflict) -> Outcome:
    taken = isinstance(outcome, job_pb2.Job) and JOBS.key(outcome.name) in conflict.keys
    return _taken(outcome.name) if taken and isinstance(outcome, job_pb2.Job) else outcome


def _taken(name: str) -> AlreadyExists:
    return AlreadyExists("JOB_EXISTS", f"{name} is there already", name=name)


def _result(outcome: Outcome) -> pb.SubmitJobResult:
    return _refused(outcome) if isinstance(outcome, Refusal) else pb.SubmitJobResult(job=outcome)


def _refused(refusal: Refusal) -> pb.SubmitJobResult:
    return pb.SubmitJobResult(error=status_of(refusal, area=AREA))


def _job(outcome: Outcome) -> job_pb2.Job:
    return _found(outcome)


def _found(found: T | Refusal) -> T:
    if isinstance(found, Refusal):
        raise found
    return found


def _attempt(make: Callable[[], T]) -> T | Refusal:
    try:
        return make()
    except Refusal as refusal:
        return refusal


async def _each(look_up: Callable[[str], Awaitable[T]], names: set[str]) -> dict[str, T | Refusal]:
    """Look each name up once."""
    found: dict[str, T | Refusal] = {}
    for name in sorted(names):
        try:
            found[name] = await look_up(name)
        except Refusal as refusal:
            found[name] = refusal
    return found


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
