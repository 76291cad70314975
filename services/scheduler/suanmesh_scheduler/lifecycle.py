"""Following a placement to its end: what the scheduler itself does at each state, told by the documents alone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, timedelta

from suanmesh.registry.v1 import site_pb2
from suanmesh.scheduler.v1 import job_pb2, placement_pb2
from suanmesh.transport.v1 import dataset_pb2, transfer_pb2
from suanmesh.transport.v1 import transport_service_pb2 as transport
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.names import last
from suanmesh_kernel.reasons import NO_REASON, StateReason
from suanmesh_kernel.refusals import FailedPrecondition, InvalidArgument, NotFound, ResourceExhausted
from suanmesh_scheduler import wire
from suanmesh_scheduler.bounding import REFUSALS_MAX, bound_job
from suanmesh_scheduler.delivery import Delivery
from suanmesh_scheduler.domain.states import (
    PLACEMENT_ENDS,
    JobState,
    PlacementState,
    counts,
    job_moved,
    job_state_of,
    placement_moved,
    tells_trouble,
)
from suanmesh_scheduler.mirrors import Mirrors
from suanmesh_scheduler.ports import Peers
from suanmesh_sdk.state_reasons import reason_from, reason_to
from suanmesh_store import Guard, Held, Store, Update
from suanmesh_store.layout import PLACEMENTS
from suanmesh_telemetry import names, span

UNTAKEN = frozenset({PlacementState.REFUSED, PlacementState.EXPIRED, PlacementState.LOST})
"""Ends of a placement after which its site is tried again later, after all others."""
SETBACKS = UNTAKEN | {PlacementState.FAILED, PlacementState.PREEMPTED}
"""Ends after which the job is placed anew."""
UNDELIVERED = "DELIVERY_FAILED"
"""Reason of an end after which another run would be paid for and be delivered no better."""
FAILED_TRANSFERS = frozenset({transfer_pb2.Transfer.STATE_FAILED, transfer_pb2.Transfer.STATE_CANCELLED})


class Lifecycle:
    """Takes the next step of a job that has a placement."""

    def __init__(
        self,
        store: Store,
        peers: Peers,
        mirrors: Mirrors,
        clock: Clock,
        accept_s_max: float,
        deliver_s_max: float,
        delivery: Delivery,
    ) -> None:
        self._store = store
        self._peers = peers
        self._delivery = delivery
        self._placements = mirrors.placements
        self._sites = mirrors.sites
        self._transfers = mirrors.transfers
        self._clock = clock
        self._accept_max = timedelta(seconds=accept_s_max)
        self._deliver_max = timedelta(seconds=deliver_s_max)

    async def step(self, job: Held[job_pb2.Job]) -> None:
        """Bring job and placement one step on, if there is one to take."""
        placement = self._placements.get(job.message.placement)
        if placement is None:  # the jobs' mirror may be ahead of the placements'
            placement = await self._store.get(PLACEMENTS, job.message.placement)
        if placement is None:
            raise NotFound("PLACEMENT_UNKNOWN", f"{job.name} has lost {job.message.placement}", name=job.name)
        state = wire.placement_state(placement.message)
        if state in PLACEMENT_ENDS:
            await self._ended(job, placement, state)
            return
        if await self._interrupted(job, placement, state):
            return
        match state:
            case PlacementState.ACCEPTED:
                await self._stage(job, placement)
            case PlacementState.STAGING:
                await self._watch_inputs(job, placement)
            case PlacementState.DELIVERING:
                await self._deliver(job, placement)
            case _:
                await self._follow(job, state)

    async def fail(self, job: Held[job_pb2.Job], reason: StateReason) -> None:
        """End a job's placement for a reason of our own; the next step ends the job."""
        placement = await self._store.get(PLACEMENTS, job.message.placement)
        if placement is not None and wire.placement_state(placement.message) not in PLACEMENT_ENDS:
            await self._move(placement, PlacementState.FAILED, reason)

    async def _ended(
        self, job: Held[job_pb2.Job], placement: Held[placement_pb2.Placement], state: PlacementState
    ) -> None:
        """Bring the job to where the placement leaves it; what it held is free with its end."""
        message = placement.message
        changed = job.draft()
        reason = reason_from(message.state_reason)
        counted = counts(state, reason, begun=_begun(job.message, message))
        left = not counted or job.message.attempt < max(1, job.message.max_attempts)
        left = left and reason.code != UNDELIVERED
        if state in UNTAKEN or (state is PlacementState.FAILED and not counted):
            changed.refused_by.append(message.site)
        if state in SETBACKS and not counted:
            changed.attempt -= 1
        target = job_state_of(state, attempts_left=left)
        if target is not JobState.DONE and job.message.cancel_requested:
            target = JobState.CANCELLED
        elif target is JobState.PENDING and len(changed.refused_by) >= REFUSALS_MAX:
            target = JobState.FAILED
            reason = StateReason("GIVEN_UP", {"placements": str(len(changed.refused_by))}, reason)
        if target is JobState.CANCELLED and not reason:
            reason = StateReason("CANCELLED", {"while": wire.job_state(job.message)})
        wire.set_job_state(changed, job_moved(wire.job_state(job.message), target), reason, self._clock.now())
        if target is JobState.PENDING:
            changed.placement = ""
        with span(names.SETTLE_JOB, parent=job.traceparent, job=job.name, state=target):
            await self._store.commit(Update(job, changed), guards=[placement])

    async def _interrupted(
        self, job: Held[job_pb2.Job], placement: Held[placement_pb2.Placement], state: PlacementState
    ) -> bool:
        """Whether a cancellation, a lost site or a silent agent decided the step."""
        message = placement.message
        site = self._sites.get(message.site)
        if site is None or site.message.liveness == site_pb2.Site.LIVENESS_LOST:
            reason = StateReason("SITE_LOST", {"site": message.site})
            # Only while it is recorded as lost has it no permission to run: a site that is back may have begun again.
            await self._move(placement, PlacementState.LOST, reason, guards=[site] if site else [])
            return True
        if job.message.cancel_requested:
            if state is PlacementState.COMMITTED:
                await self._move(placement, PlacementState.CANCELLED, StateReason("CANCELLED", {"while": state}))
                return True
            if state is PlacementState.DELIVERING:
                await self._move(placement, PlacementState.CANCELLED, StateReason("CANCELLED", {"while": state}))
                return True
            if not message.stop_requested:
                stopped = placement.draft()
                stopped.stop_requested = True
                await self._store.commit(Update(placement, stopped))
            return True
        age = self._clock.now() - message.create_time.ToDatetime(UTC)
        if state is PlacementState.COMMITTED and age > self._accept_max:
            await self._move(placement, PlacementState.EXPIRED, StateReason("NOT_ACCEPTED", {"site": message.site}))
            return True
        return False

    async def _stage(self, job: Held[job_pb2.Job], placement: Held[placement_pb2.Placement]) -> None:
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
            await self._follow(job, PlacementState.ACCEPTED)
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

    async def _watch_inputs(self, job: Held[job_pb2.Job], placement: Held[placement_pb2.Placement]) -> None:
        failed = self._failed(placement.message.input_transfers)
        if failed is not None:
            await self._move(placement, PlacementState.FAILED, _of_transfer("TRANSFER_FAILED", failed))
            return
        await self._follow(job, PlacementState.STAGING)

    async def _deliver(self, job: Held[job_pb2.Job], placement: Held[placement_pb2.Placement]) -> None:
        """Move the results to where they are wanted; DONE when all have arrived."""
        if wire.job_state(job.message) is not JobState.DELIVERING or tells_trouble(job.message.state_reason.code):
            await self._follow(job, PlacementState.DELIVERING)
            return
        made = placement.message.output_transfers
        if not made and await self._sent_off(job, placement):
            return
        failed = self._failed(made)
        if failed is not None:
            await self._move(placement, PlacementState.FAILED, _of_transfer(UNDELIVERED, failed))
        elif all(self._done(name) for name in made):
            await self._move(placement, *_delivered(placement.message))

    async def _sent_off(self, job: Held[job_pb2.Job], placement: Held[placement_pb2.Placement]) -> bool:
        """Take the next step towards the results' transfers; False where no result is wanted elsewhere."""
        try:
            return await self._delivery.step(job.message, placement)
        except ResourceExhausted as refusal:
            await self._wait_for_way(job, placement, refusal)
            return True
        except (FailedPrecondition, InvalidArgument, NotFound) as refusal:
            if refusal.reason == "LEASE_GONE":
                raise
            await self._move(placement, PlacementState.FAILED, StateReason(UNDELIVERED, cause=StateReason.of(refusal)))
            return True

    async def _wait_for_way(
        self, job: Held[job_pb2.Job], placement: Held[placement_pb2.Placement], refusal: ResourceExhausted
    ) -> None:
        """Say what the results wait for; the next looks at the job ask again, for no longer than there is patience."""
        if self._clock.now() - job.message.history[-1].time.ToDatetime(UTC) > self._deliver_max:
            await self._move(placement, PlacementState.FAILED, StateReason(UNDELIVERED, cause=StateReason.of(refusal)))
            return
        changed = job.draft()
        changed.state_reason.CopyFrom(reason_to(StateReason("WAITS_FOR_PATH", cause=StateReason.of(refusal))))
        bound_job(changed)
        if changed.state_reason != job.message.state_reason:
            await self._store.commit(Update(job, changed))

    async def _follow(self, job: Held[job_pb2.Job], state: PlacementState) -> None:
        """Bring the job's state to the placement's; a defect that has passed is not told any more."""
        target = job_state_of(state, attempts_left=True)
        changed = job.draft()
        if wire.job_state(job.message) is not target:
            wire.set_job_state(changed, job_moved(wire.job_state(job.message), target), NO_REASON, self._clock.now())
        elif tells_trouble(job.message.state_reason.code):
            changed.ClearField("state_reason")
        else:
            return
        with span(names.SETTLE_JOB, parent=job.traceparent, job=job.name, state=target):
            await self._store.commit(Update(job, changed))

    async def _move(
        self,
        placement: Held[placement_pb2.Placement],
        to: PlacementState,
        reason: StateReason,
        transfers: Sequence[str] = (),
        guards: Sequence[Guard] = (),
    ) -> None:
        changed = placement.draft()
        state = placement_moved(wire.placement_state(changed), to, placement.name)
        changed.input_transfers.extend(transfers)
        wire.set_placement_state(changed, state, reason, self._clock.now(), ended=state in PLACEMENT_ENDS)
        with span(names.SETTLE_PLACEMENT, parent=placement.traceparent, placement=placement.name, state=state):
            await self._store.commit(Update(placement, changed), guards=guards)

    def _failed(self, names: Sequence[str]) -> transfer_pb2.Transfer | None:
        for name in names:
            held = self._transfers.get(name)
            if held is not None and held.message.state in FAILED_TRANSFERS:
                return held.message
        return None

    def _done(self, name: str) -> bool:
        held = self._transfers.get(name)
        return held is not None and held.message.state == transfer_pb2.Transfer.STATE_DONE


def _delivered(placement: placement_pb2.Placement) -> tuple[PlacementState, StateReason]:
    """The end of a placement whose results have arrived: its agent has said where only some tasks ended well."""
    reason = reason_from(placement.state_reason)
    return (PlacementState.FAILED, reason) if reason else (PlacementState.DONE, StateReason("DONE"))


def _of_transfer(code: str, failed: transfer_pb2.Transfer) -> StateReason:
    return StateReason(code, {"transfer": failed.name}).after(reason_from(failed.state_reason))


def _begun(job: job_pb2.Job, placement: placement_pb2.Placement) -> bool:
    """Whether a task of the placement has begun, as far as it was told."""
    ran = wire.job_state(job) in (JobState.RUNNING, JobState.DELIVERING)
    return ran or any(task.HasField("start_time") for task in placement.tasks)


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
        dataset=dataset.name,
        source=route.source,
        target=placement.site,
        placement=placement.name,
        purpose=transfer_pb2.Transfer.PURPOSE_INPUT,
        reservation=route.reservation,
        rate_bps=max(1, rate_bps) if route.rate_bps else 0,
        account=placement.account,
        traceparent=placement.traceparent,
    )
