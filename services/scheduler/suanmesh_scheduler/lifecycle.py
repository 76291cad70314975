"""What becomes of a job that has a placement: followed, staged, delivered, given up, placed anew."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp

from suanmesh.registry.v1 import site_pb2
from suanmesh.scheduler.v1 import job_pb2, placement_pb2
from suanmesh.transport.v1 import dataset_pb2, transfer_pb2
from suanmesh.transport.v1 import transport_service_pb2 as transport
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.names import last
from suanmesh_kernel.reasons import NO_REASON, StateReason
from suanmesh_kernel.refusals import FailedPrecondition, InvalidArgument, NotFound, ResourceExhausted
from suanmesh_scheduler import wire
from suanmesh_scheduler.bounding import bound_job
from suanmesh_scheduler.commits import Part
from suanmesh_scheduler.delivery import Delivery, sends_of
from suanmesh_scheduler.domain import lifecycle as steps
from suanmesh_scheduler.domain.lifecycle import UNDELIVERED, Call, next_step
from suanmesh_scheduler.domain.states import (
    JOB_ENDS,
    PLACEMENT_ENDS,
    JobState,
    PlacementState,
    job_moved,
    placement_moved,
)
from suanmesh_scheduler.jobs import Change, Job, Jobs
from suanmesh_scheduler.mirrors import Mirrors
from suanmesh_scheduler.ports import Peers
from suanmesh_scheduler.settings import SchedulerSettings
from suanmesh_sdk.state_reasons import reason_from, reason_to
from suanmesh_store import Held, Store, Update
from suanmesh_store.layout import PLACEMENTS
from suanmesh_telemetry import names, span

FAILED_TRANSFERS = frozenset({transfer_pb2.Transfer.STATE_FAILED, transfer_pb2.Transfer.STATE_CANCELLED})
STEPS_MAX = 8
"""Steps of a job that are written at once: more than the states it has."""


@dataclass(slots=True)
class Course:
    """A job and its placement, as they were read and as they are to be written."""

    job: Job | None
    """None where it is no more, or has gone on to another placement: this one is brought to its end."""
    placement: Held[placement_pb2.Placement]
    new_job: job_pb2.Job
    new_placement: placement_pb2.Placement
    site: Held[site_pb2.Site] | None = None
    """Read as LOST, where that decided: only while it is may the placement be put down."""
    call: Call | None = None
    """The step to take once all this is written."""

    @property
    def job_moved(self) -> Change | None:
        """The job, where it is to be written; from its placement on its trace goes on from the commit."""
        if self.job is None or self.new_job == self.job.message:
            return None
        given = self.placement.message
        job = self.job if self.job.message.placement == given.name else replace(self.job, traceparent=given.traceparent)
        return job, self.new_job

    def part(self) -> Part:
        """What is written of the placement; the job follows it."""
        if self.new_placement == self.placement.message:
            return []
        return [Update(self.placement, self.new_placement), *([self.site] if self.site is not None else [])]


class Lifecycle:
    """Takes the steps of jobs that have a placement."""

    def __init__(
        self,
        store: Store,
        jobs: Jobs,
        peers: Peers,
        mirrors: Mirrors,
        clock: Clock,
        settings: SchedulerSettings,
        delivery: Delivery,
    ) -> None:
        self._store = store
        self._jobs = jobs
        self._peers = peers
        self._delivery = delivery
        self._placements = mirrors.placements
        self._attempts = mirrors.attempts
        self._sites = mirrors.sites
        self._transfers = mirrors.transfers
        self._clock = clock
        self._accept_max = timedelta(seconds=settings.accept_s_max)
        self._deliver_max = timedelta(seconds=settings.deliver_s_max)
        self._return_max = timedelta(seconds=settings.return_s_max)

    def course(self, job: Job | None, placement: Held[placement_pb2.Placement]) -> Course:
        """Both as they were read, to go on from; the job only where this is its placement, or none is any more."""
        if job is not None and (_ended(job.message) or _its_own(job.message, placement.message)):
            return Course(job, placement, job.draft(), placement.draft())
        gone = job_pb2.Job(state=job_pb2.Job.STATE_CANCELLED)
        return Course(None, placement, gone, placement.draft())

    def take_back(self, course: Course, job: Job | None) -> None:
        """A site has come back with what a lost placement came to: its job has that again.

        Raises FailedPrecondition (`PLACEMENT_REPLACED`) where the job has ended, or was placed elsewhere.
        """
        placement = course.placement.message
        if not may_return(job, course.placement, self._attempts.last(placement.job)):
            message = f"{placement.name} was lost, and its job has gone on without it"
            raise FailedPrecondition(
                "PLACEMENT_REPLACED", message, name=placement.name, state="LOST", replaced_by=placement.replaced_by
            )
        if job is not None and course.job is None:
            course.job, course.new_job = job, job.draft()

    def go_on(self, course: Course) -> Course:
        """Take every step that can be taken without asking anybody; nothing is written."""
        for _ in range(STEPS_MAX):
            job, placement = course.new_job, course.new_placement
            if not _ended(job) and not _its_own(job, placement):
                break
            if not _ended(job) and job.placement != placement.name:
                wire.tell_place(job, placement)
            step = next_step(_job_facts(job, self._clock.now()), self._facts(placement), self._world(course))
            if step is None or isinstance(step, Call):
                course.call = step
                break
            self._take(step, course)
        return course

    async def placement_of(self, job: Job) -> Held[placement_pb2.Placement] | None:
        """The placement that a job tells of; None where etcd does not know it, put back to an older copy."""
        placement = self._placements.get(job.message.placement)
        return await self._store.get(PLACEMENTS, job.message.placement) if placement is None else placement

    async def ask(self, job: Job) -> None:
        """Take a step for which others are asked, if that is the next."""
        placement = await self.placement_of(job)
        if placement is None:
            await self._place_anew(job)
            return
        match self._call(job, placement):
            case Call.STAGE:
                await self._stage(placement)
            case Call.DELIVER:
                await self._send_off(job, placement)

    async def _place_anew(self, job: Job) -> None:
        """The job waits again: what it was given is forgotten, and an agent that still runs it is told to stop."""
        changed = job.draft()
        changed.placement, changed.attempt = "", max(0, job.message.attempt - 1)
        state = job_moved(wire.job_state(changed), JobState.PENDING)
        reason = StateReason("PLACEMENT_UNKNOWN", {"name": job.message.placement})
        wire.set_job_state(changed, state, reason, self._clock.now())
        with told([(job, changed)]):
            await self._jobs.put_one(job, changed)

    async def fail(self, job: Job, reason: StateReason) -> None:
        """End a job's placement for a reason of our own; the next step ends the job."""
        placement = await self._store.get(PLACEMENTS, job.message.placement)
        if placement is not None and wire.placement_state(placement.message) not in PLACEMENT_ENDS:
            await self._move(placement, PlacementState.FAILED, reason)

    def _call(self, job: Job, placement: Held[placement_pb2.Placement]) -> Call | None:
        """The step to ask others for; None where there is none, or another is to be written first."""
        course = self.go_on(self.course(job, placement))
        return None if course.part() or course.job_moved else course.call

    def _take(self, step: steps.Step, course: Course) -> None:
        now, job = self._clock.now(), course.new_job
        match step:
            case steps.MovePlacement(to, reason):
                if to is PlacementState.LOST:
                    course.site = self._sites.get(course.new_placement.site)
                _set_placement(course.new_placement, to, reason, now)
            case steps.StopPlacement():
                course.new_placement.stop_requested = True
            case steps.ForgetTrouble():
                job.ClearField("state_reason")
            case steps.TellJob(reason):
                job.state_reason.CopyFrom(reason_to(reason))
                bound_job(job)
            case steps.MoveJob():
                if step.refused:
                    job.refused_by.append(course.new_placement.site)
                job.attempt -= step.uncounted
                if course.new_placement.output_datasets:
                    del job.output_datasets[:]
                    job.output_datasets.extend(course.new_placement.output_datasets)
                job.log_dataset = course.new_placement.log_dataset or job.log_dataset
                wire.set_job_state(job, job_moved(wire.job_state(job), step.to), step.reason, now)
                if step.unplaced:
                    job.placement = ""

    def _facts(self, placement: placement_pb2.Placement) -> steps.PlacementFacts:
        return steps.PlacementFacts(
            state=wire.placement_state(placement),
            site=placement.site,
            reason=reason_from(placement.state_reason),
            age=self._age(placement.create_time),
            begun=wire.has_begun(placement),
            queued_for=wire.queued_for(placement),
            stop_requested=placement.stop_requested,
            has_inputs=bool(placement.work.inputs),
            has_results=bool(placement.output_datasets),
            ended_for=self._age(placement.end_time) if placement.HasField("end_time") else timedelta(0),
        )

    def _age(self, moment: Timestamp) -> timedelta:
        return self._clock.now() - moment.ToDatetime(UTC)

    def _world(self, course: Course) -> steps.World:
        placement = course.new_placement
        site = self._sites.get(placement.site)
        return steps.World(
            site_lost=site is None or site.message.liveness == site_pb2.Site.LIVENESS_LOST,
            site_draining=site is not None and site.message.admission == site_pb2.Site.ADMISSION_DRAINING,
            site_lost_for=timedelta.max if site is None else self._clock.now() - site.update_time,
            failed_input=self._failure("TRANSFER_FAILED", placement.input_transfers),
            failed_output=self._failure(UNDELIVERED, placement.output_transfers),
            results=self._results(placement),
            sends=sends_of(placement),
            accept_max=self._accept_max,
            return_max=self._return_max,
        )

    def _results(self, placement: placement_pb2.Placement) -> steps.Results:
        made = placement.output_transfers
        if not made and self._delivery.wanted(placement):
            return steps.Results.UNSENT
        return steps.Results.DONE if all(map(self._done, made)) else steps.Results.UNDER_WAY

    async def _stage(self, placement: Held[placement_pb2.Placement]) -> None:
        """Make the transfers of inputs that are not at the site; the agent runs when it has them all."""
        message = placement.message
        missing: list[tuple[int, dataset_pb2.Dataset, placement_pb2.InputRoute]] = []
        for index, each in enumerate(message.work.inputs):
            dataset = await self._peers.dataset(each.dataset)
            sites = {r.site for r in dataset.replicas if r.state == dataset_pb2.Replica.STATE_COMPLETE}
            if message.site not in sites:
                route = next((r for r in message.routes if r.source in sites), placement_pb2.InputRoute())
                missing.append((index, dataset, route))
        asks = [
            _input_transfer(message, index, dataset, route, [d for _, d, r in missing if r.source == route.source])
            for index, dataset, route in missing
        ]
        if not asks:
            return
        with span(names.STAGE_INPUTS, parent=message.traceparent, placement=message.name):
            transfers = await self._created(placement, asks)
            if transfers is not None:
                made = [transfer.name for transfer in transfers]
                await self._move(placement, PlacementState.STAGING, NO_REASON, transfers=made)

    async def _created(
        self, placement: Held[placement_pb2.Placement], asks: Sequence[transport.TransferAsk]
    ) -> Sequence[transfer_pb2.Transfer] | None:
        """The transfers; None when they cannot be made, which fails the placement."""
        try:
            return await self._peers.create_transfers(asks)
        except (FailedPrecondition, InvalidArgument, NotFound) as refusal:
            await self._move(placement, PlacementState.FAILED, StateReason.of(refusal))
            return None

    async def _send_off(self, job: Job, placement: Held[placement_pb2.Placement]) -> None:
        """Take the next step towards the results' transfers."""
        try:
            await self._delivery.step(placement, frozenset(filter(self._failed, placement.message.output_transfers)))
        except ResourceExhausted as refusal:
            await self._wait_for_way(job, placement, refusal)
        except (FailedPrecondition, InvalidArgument, NotFound) as refusal:
            if refusal.reason == "HOLD_LAPSED":
                raise
            await self._move(placement, PlacementState.FAILED, StateReason(UNDELIVERED, cause=StateReason.of(refusal)))

    async def _wait_for_way(
        self, job: Job, placement: Held[placement_pb2.Placement], refusal: ResourceExhausted
    ) -> None:
        """Say what the results wait for; the next looks at the job ask again, for no longer than there is patience."""
        if self._clock.now() - job.message.history[-1].time.ToDatetime(UTC) > self._deliver_max:
            await self._move(placement, PlacementState.FAILED, StateReason(UNDELIVERED, cause=StateReason.of(refusal)))
            return
        changed = job.draft()
        changed.state_reason.CopyFrom(reason_to(StateReason("WAITS_FOR_PATH", cause=StateReason.of(refusal))))
        bound_job(changed)
        if changed.state_reason != job.message.state_reason:
            await self._jobs.put_one(job, changed)

    async def _move(
        self,
        placement: Held[placement_pb2.Placement],
        to: PlacementState,
        reason: StateReason,
        transfers: Sequence[str] = (),
    ) -> None:
        changed = placement.draft()
        changed.input_transfers.extend(transfers)
        _set_placement(changed, to, reason, self._clock.now())
        with span(names.SETTLE_PLACEMENT, parent=placement.traceparent, placement=placement.name, state=to):
            await self._store.commit(Update(placement, changed))

    def _failure(self, code: str, transfers: Sequence[str]) -> StateReason:
        """Of transfers that failed, the one that is not made again where there is one."""
        held = [held for name in transfers if self._failed(name) and (held := self._transfers.get(name)) is not None]
        reasons = [
            StateReason(code, {"transfer": each.name}).after(reason_from(each.message.state_reason)) for each in held
        ]
        return min(reasons, key=lambda reason: reason.names_any(steps.AWAY), default=NO_REASON)

    def _failed(self, transfer: str) -> bool:
        held = self._transfers.get(transfer)
        return held is not None and held.message.state in FAILED_TRANSFERS

    def _done(self, name: str) -> bool:
        held = self._transfers.get(name)
        return held is not None and held.message.state == transfer_pb2.Transfer.STATE_DONE


@contextmanager
def told(moved: Iterable[Change | None]) -> Iterator[None]:
    """A span for each job that goes on, in its own trace; calls made inside are told in that of the last."""
    with ExitStack() as spans:
        for held, job in filter(None, moved):
            state = wire.job_state(job)
            spans.enter_context(span(names.SETTLE_JOB, parent=held.traceparent, job=held.name, state=state))
        yield


def may_return(
    job: Job | None, placement: Held[placement_pb2.Placement], last: Held[placement_pb2.Placement] | None
) -> bool:
    """Whether the job of a lost placement still waits, for it or for another place. `last` is the last it was given."""
    message = placement.message
    if job is None or _ended(job.message) or job.message.cancel_requested or message.replaced_by:
        return False
    return job.message.placement == message.name or (
        not job.message.placement and (last is None or last.name == message.name)
    )


def _ended(job: job_pb2.Job) -> bool:
    return wire.job_state(job) in JOB_ENDS


def _its_own(job: job_pb2.Job, placement: placement_pb2.Placement) -> bool:
    """Whether a placement is the job's last, told of by the job or not yet."""
    return job.placement == placement.name or wire.tells_not(job, placement)


def _job_facts(job: job_pb2.Job, now: datetime) -> steps.JobFacts:
    return steps.JobFacts(
        state=wire.job_state(job),
        reason=reason_from(job.state_reason),
        attempt=job.attempt,
        max_attempts=job.max_attempts,
        refusals=len(job.refused_by),
        keeps_going=wire.keeps_going(job),
        cancel_requested=job.cancel_requested,
        missed=wire.missed_deadline(job, now),
    )


def _set_placement(placement: placement_pb2.Placement, to: PlacementState, reason: StateReason, now: datetime) -> None:
    state = placement_moved(wire.placement_state(placement), to, placement.name)
    wire.set_placement_state(placement, state, reason, now, ended=state in PLACEMENT_ENDS)


def _input_transfer(
    placement: placement_pb2.Placement,
    index: int,
    dataset: dataset_pb2.Dataset,
    route: placement_pb2.InputRoute,
    beside: Sequence[dataset_pb2.Dataset],
) -> transport.TransferAsk:
    """The transfer of one input, at its part of the rate reserved for all that come from the same source."""
    rate_bps = route.rate_bps * dataset.bytes // max(1, sum(other.bytes for other in beside))
    return transport.TransferAsk(
        transfer_id=f"{last(placement.name)}-in-{index}",
        dataset=placement.work.inputs[index].dataset,
        source=route.source,
        target=placement.site,
        placement=placement.name,
        purpose=transfer_pb2.Transfer.PURPOSE_INPUT,
        reservation=route.reservation,
        rate_bps=max(1, rate_bps) if route.rate_bps else 0,
        account=placement.account,
        traceparent=placement.traceparent,
    )
