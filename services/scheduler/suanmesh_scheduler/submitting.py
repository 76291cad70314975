"""Taking batches of jobs: every item is answered by itself, and once; what could not be settled is done on a repeat."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence, Set
from datetime import datetime
from typing import TypeVar

from suanmesh.accounting.v1 import account_pb2
from suanmesh.registry.v1 import party_pb2
from suanmesh.scheduler.v1 import decision_pb2, job_pb2, secret_pb2
from suanmesh.scheduler.v1 import scheduler_service_pb2 as pb
from suanmesh.transport.v1 import dataset_pb2
from suanmesh_chassis import Call
from suanmesh_kernel.clock import Clock, Rng
from suanmesh_kernel.identifiers import sortable_id
from suanmesh_kernel.names import of_version, versioned
from suanmesh_kernel.refusals import (
    AlreadyExists,
    FailedPrecondition,
    NotFound,
    PermissionDenied,
    Refusal,
    ResourceExhausted,
    is_final,
)
from suanmesh_scheduler.bounding import require_size
from suanmesh_scheduler.checking import draft_of, require_deadline, require_names
from suanmesh_scheduler.domain.admission import Bounds, Pace
from suanmesh_scheduler.domain.rates import Rate
from suanmesh_scheduler.jobs import Jobs
from suanmesh_scheduler.mirrors import Mirrors
from suanmesh_scheduler.ports import Peers
from suanmesh_scheduler.queueing import Queue, Rates
from suanmesh_scheduler.rounds import Rounds
from suanmesh_scheduler.secrets import Secrets
from suanmesh_scheduler.settings import SchedulerSettings
from suanmesh_scheduler.sharing import each, found
from suanmesh_sdk import deadlines
from suanmesh_sdk.status import refusal_of, status_of
from suanmesh_sdk.values import timestamp
from suanmesh_store import Conflict, Store
from suanmesh_store.layout import SITES
from suanmesh_telemetry import current_trace_id

AREA = "scheduler"
ENVELOPE_BYTES = 512
TOKEN_BYTES = 640
CONFLICTS_MAX = 3
"""How often a batch is committed anew without the jobs that somebody else had made meanwhile."""
LOOK_UP_S_MAX = 5.0
"""Longest time for all look-ups of a batch; what is not known by then is left to a repeat."""
LOOK_UP_SHARE = 0.7
"""Part of the time left that look-ups may take: what they found is to be kept and answered."""
TURN_ITEMS = 10
"""Items checked before other calls have their turn."""
Outcome = job_pb2.Job | Refusal
S = TypeVar("S")
T = TypeVar("T")
SUBMIT_GUESS_S = 0.01
"""First guess of what one job takes to be submitted."""
PLAN_GUESS_S = 0.05
"""First guess of what one plan takes."""


class Submitting:
    """Checks jobs and keeps those that can be."""

    def __init__(
        self,
        store: Store,
        jobs: Jobs,
        mirrors: Mirrors,
        rounds: Rounds,
        peers: Peers,
        clock: Clock,
        rng: Rng,
        settings: SchedulerSettings,
        secrets: Secrets,
    ) -> None:
        self._store = store
        self._jobs = jobs
        self._secrets = secrets
        self._sites = mirrors.sites
        self._parties = mirrors.parties
        self._rounds = rounds
        self._peers = peers
        self._clock = clock
        self._rng = rng
        self._live_jobs_max = settings.live_jobs_max
        self._live = mirrors.live_jobs_of
        self._reserved: Counter[str] = Counter()
        bounds = Bounds(settings.queued_items_max, settings.queued_items_of_party_max)
        rates = Rates(clock, Rate(settings.jobs_per_s, settings.jobs_burst), "submitted jobs")
        self._queue = Queue(clock, bounds, Pace(SUBMIT_GUESS_S, settings.parallel_batches_max), rates)
        self._plans = Queue(clock, bounds, Pace(PLAN_GUESS_S, settings.parallel_batches_max))

    async def plan(self, items: Sequence[pb.SubmitJob], call: Call) -> pb.SubmitJobsResponse:
        """What would be decided of each item now; stores nothing. Raises ResourceExhausted (`QUEUE_FULL`)."""
        results = []
        async with self._plans.turn(call, len(items)):
            outcomes = await self._checked(dict(enumerate(items)), call)
            jobs = [outcome for outcome in outcomes if isinstance(outcome, job_pb2.Job)]
            plans = iter(await self._rounds.plan(jobs))
            for outcome in outcomes:
                planned = outcome if isinstance(outcome, Refusal) else next(plans)
                results.append(_planned(planned))
        return pb.SubmitJobsResponse(results=results)

    async def submit(self, items: Sequence[pb.SubmitJob], call: Call) -> pb.SubmitJobsResponse:
        """Keep all jobs that can be in one transaction, with what is settled of the batch.

        Raises ResourceExhausted (`QUEUE_FULL`, `RATE_EXCEEDED`) before anything is done of it.
        """
        outcomes = {i: _as_before(items[i], entry) for i, entry in call.earlier.items()}
        news = {i: item for i, item in enumerate(items) if i not in outcomes}
        if news:
            async with self._queue.turn(call, len(news), sum(map(_tokens, news.values()))):
                outcomes |= await self._settled(news, outcomes, call)
        return pb.SubmitJobsResponse(results=[_result(outcomes[i]) for i in range(len(items))])

    async def _settled(
        self, items: Mapping[int, pb.SubmitJob], earlier: Mapping[int, Outcome], call: Call
    ) -> dict[int, Outcome]:
        news = dict(zip(items, await self._checked(items, call), strict=True))
        news = dict(zip(news, self._with_room(news.values()), strict=True))
        secrets: dict[str, secret_pb2.JobSecrets] = {}
        news = {i: self._with_secrets(outcome, items[i], secrets) for i, outcome in news.items()}
        reserved = Counter(outcome.party for outcome in news.values() if isinstance(outcome, job_pb2.Job))
        self._reserved += reserved
        try:
            for _ in range(CONFLICTS_MAX):
                try:
                    await self._keep(news, earlier, call, secrets)
                except Conflict as conflict:
                    news = {i: _unless_taken(outcome, conflict) for i, outcome in news.items()}
                else:
                    return news
        finally:
            self._reserved -= reserved
        raise Conflict({}, name="the batch", expected="free names", found="names taken meanwhile")

    async def _keep(
        self,
        news: Mapping[int, Outcome],
        earlier: Mapping[int, Outcome],
        call: Call,
        secrets: Mapping[str, secret_pb2.JobSecrets],
    ) -> None:
        """One transaction for all jobs, and the record of what is settled; nothing where nothing is."""
        made = [job for job in news.values() if isinstance(job, job_pb2.Job)]
        if made or any(isinstance(outcome, Refusal) and is_final(outcome.code) for outcome in news.values()):
            both = {**earlier, **news}
            remembered = pb.SubmitJobsResponse(results=[_remembered(both[i]) for i in sorted(both)])
            await self._jobs.submit(made, call.idempotency(remembered), call.author(), secrets)

    async def _checked(self, items: Mapping[int, pb.SubmitJob], call: Call) -> list[Outcome]:
        """The jobs as they would be kept, or why not; what they name is looked up once for all of them."""
        drafts: list[Outcome] = []
        async for item in _in_turns(items.values()):
            drafts.append(_attempt(draft_of, item.job))
        jobs = [draft for draft in drafts if isinstance(draft, job_pb2.Job)]
        with deadlines.within(min(LOOK_UP_S_MAX, LOOK_UP_SHARE * call.time_left())):
            accounts = await each(self._peers.account, sorted({job.account for job in jobs}))
            datasets = await each(self._peers.dataset, sorted({part.dataset for job in jobs for part in job.inputs}))
        wanted = {f"jobs/{item.job_id}" for item in items.values() if item.job_id}
        taken = set(await self._jobs.get_many(wanted))
        sites = await self._known_sites(jobs)
        outcomes: list[Outcome] = []
        now, trace_id = self._clock.now(), current_trace_id()
        async for item, draft in _in_turns(zip(items.values(), drafts, strict=True)):
            try:
                job = found(draft)
                party = _party_of(job, accounts, datasets, call)
                self._require_active(party)
                _pin(job, datasets)
                _require_sites(job, sites)
                job_id = item.job_id or sortable_id(now, self._rng)
                _accept(job, f"jobs/{job_id}", party, trace_id, now)
                require_deadline(job, now)
                require_names(job_id, job)
                require_size(job)
                if job.name in taken:
                    raise _taken(job.name)
            except Refusal as refusal:
                outcomes.append(refusal)
            else:
                taken.add(job.name)
                outcomes.append(job)
        return outcomes

    def _with_room(self, outcomes: Iterable[Outcome]) -> Iterator[Outcome]:
        """Refuse (`JOBS_TOO_MANY`) what is more than a party may have of live jobs."""
        more: Counter[str] = Counter()
        for outcome in outcomes:
            if not isinstance(outcome, job_pb2.Job):
                yield outcome
                continue
            party = outcome.party
            live = self._live[party] + self._reserved[party] + more[party]
            if live >= self._live_jobs_max:
                message = f"{party} has {live} jobs that have not ended, at most {self._live_jobs_max} are allowed"
                yield ResourceExhausted("JOBS_TOO_MANY", message, name=party, most=self._live_jobs_max)
            else:
                more[party] += 1
                yield outcome

    def _with_secrets(self, outcome: Outcome, item: pb.SubmitJob, kept: dict[str, secret_pb2.JobSecrets]) -> Outcome:
        """The same job with its secrets among those that are `kept`, or why they cannot be."""
        if isinstance(outcome, job_pb2.Job) and (outcome.secrets or item.secrets):
            try:
                kept[outcome.name] = self._secrets.checked(outcome, item.secrets)
            except Refusal as refusal:
                return refusal
        return outcome

    def _require_active(self, party: str) -> None:
        """Refuse new jobs of a party that is suspended. Raises FailedPrecondition (`PARTY_SUSPENDED`)."""
        known = self._parties.get(party)
        if known is not None and known.message.state == party_pb2.Party.STATE_SUSPENDED:
            raise FailedPrecondition("PARTY_SUSPENDED", f"{party} is suspended: it submits no new jobs", name=party)

    async def _known_sites(self, jobs: Iterable[job_pb2.Job]) -> set[str]:
        """Those that there are of the sites which jobs name; one that has just joined is read anew."""
        named = {site for job in jobs for _, site in _sites_of(job)}
        unknown = {site for site in named if self._sites.get(site) is None}
        return (named - unknown) | (await self._store.get_many(SITES, unknown)).keys() if unknown else named


def _sites_of(job: job_pb2.Job) -> Iterator[tuple[str, str]]:
    """Every site that a job names, behind the field that does."""
    for i, output in enumerate(job.outputs):
        if output.deliver_to:
            yield f"outputs[{i}].deliver_to", output.deliver_to
    for field in ("allow_sites", "deny_sites"):
        for i, site in enumerate(getattr(job.constraints, field)):
            yield f"constraints.{field}[{i}]", site


def _require_sites(job: job_pb2.Job, known: Set[str]) -> None:
    """Refuse a job that names a site there is none of: it would wait for ever, or run where it must not.

    Raises NotFound (`SITE_UNKNOWN`).
    """
    for field, site in _sites_of(job):
        if site not in known:
            raise NotFound("SITE_UNKNOWN", f"{field}: there is no {site}", name=site, field=field)


def _accept(job: job_pb2.Job, name: str, party: str, trace_id: str, now: datetime) -> None:
    """Fill in what makes a draft the job as it is kept: the same again for the same values."""
    job.name, job.party, job.trace_id = name, party, trace_id
    job.create_time.FromDatetime(now)
    job.state = job_pb2.Job.STATE_PENDING
    job.history.add(state=job.state, time=timestamp(now))


def _party_of(
    job: job_pb2.Job,
    accounts: Mapping[str, account_pb2.Account | Refusal],
    datasets: Mapping[str, dataset_pb2.Dataset | Refusal],
    call: Call,
) -> str:
    """Whose job it is. Raises what its account or an input was refused with, PermissionDenied, NotFound,
    FailedPrecondition.
    """
    account = found(accounts[job.account])
    if account.party != call.party and not call.is_("operator"):
        raise PermissionDenied("NOT_OWNER", f"{job.account} is not an account of {call.party}", name=job.account)
    if account.HasField("close_time"):
        closed = f"{job.account} is closed"
        raise FailedPrecondition("ACCOUNT_CLOSED", closed, name=job.account)
    for part in job.inputs:
        if found(datasets[part.dataset]).party != account.party:
            message = f"there is no dataset {part.dataset}"
            raise NotFound("DATASET_UNKNOWN", message, domain="transport.suanmesh", name=part.dataset)
    return account.party


def _pin(job: job_pb2.Job, datasets: Mapping[str, dataset_pb2.Dataset | Refusal]) -> None:
    """Name the version of each input that is the newest: what is published later is another job's."""
    for part in job.inputs:
        part.dataset = of_version(versioned(part.dataset)[0], max(1, found(datasets[part.dataset]).version))


def _remembered(outcome: Outcome) -> pb.SubmitJobResult:
    """What tells a job from what was asked for; the rest is in the request, which is the same when it is repeated."""
    if isinstance(outcome, Refusal):
        return _refused(outcome)
    job = job_pb2.Job(name=outcome.name, party=outcome.party, trace_id=outcome.trace_id)
    job.create_time.CopyFrom(outcome.create_time)
    job.inputs.extend(job_pb2.Input(dataset=part.dataset) for part in outcome.inputs)
    return pb.SubmitJobResult(job=job)


def _as_before(item: pb.SubmitJob, entry: object) -> Outcome:
    """The outcome as it was answered the first time."""
    assert isinstance(entry, pb.SubmitJobResult)
    if entry.HasField("error"):
        return refusal_of(entry.error)
    job = draft_of(item.job)
    for part, pinned in zip(job.inputs, entry.job.inputs, strict=False):
        part.dataset = pinned.dataset
    _accept(job, entry.job.name, entry.job.party, entry.job.trace_id, entry.job.create_time.ToDatetime())
    return job


def _unless_taken(outcome: Outcome, conflict: Conflict) -> Outcome:
    taken = isinstance(outcome, job_pb2.Job) and outcome.name in conflict.keys
    return _taken(outcome.name) if taken and isinstance(outcome, job_pb2.Job) else outcome


def _taken(name: str) -> AlreadyExists:
    return AlreadyExists("JOB_EXISTS", f"{name} is there already", name=name)


def _result(outcome: Outcome) -> pb.SubmitJobResult:
    return _refused(outcome) if isinstance(outcome, Refusal) else pb.SubmitJobResult(job=outcome)


def _planned(planned: decision_pb2.Decision | Refusal) -> pb.SubmitJobResult:
    return _refused(planned) if isinstance(planned, Refusal) else pb.SubmitJobResult(decision=planned)


def _refused(refusal: Refusal) -> pb.SubmitJobResult:
    return pb.SubmitJobResult(error=status_of(refusal, area=AREA))


def _attempt(make: Callable[[S], T], of: S) -> T | Refusal:
    try:
        return make(of)
    except Refusal as refusal:
        return refusal


def _tokens(item: pb.SubmitJob) -> int:
    """What a job takes of its party's rate: one, and one more for each `TOKEN_BYTES` beyond a few hundred bytes.

    A job is written when it is submitted and when it is decided, each time with an envelope of its own.
    """
    return max(1, -(-(item.ByteSize() + ENVELOPE_BYTES) // TOKEN_BYTES))


async def _in_turns(items: Iterable[T]) -> AsyncIterator[T]:
    """The items, with a pause for other calls after every few."""
    for count, item in enumerate(items, 1):
        yield item
        if count % TURN_ITEMS == 0:
            await asyncio.sleep(0)
