"""The steps of one placement. Each may be repeated after a crash: what it has done already is found, not done again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Container, Mapping, Sequence
from functools import partial

import structlog

from suanmesh.scheduler.v1 import placement_pb2
from suanmesh.scheduler.v1 import scheduler_service_pb2 as pb
from suanmesh_agent import task_looks, wire
from suanmesh_agent.carried import Carried, Reached, StepDeferred
from suanmesh_agent.delivery import STANDING_REFUSALS, Delivery, Results, lack_of
from suanmesh_agent.domain.endings import Ending, ending
from suanmesh_agent.domain.stages import Stage
from suanmesh_agent.domain.tasks import TaskKey
from suanmesh_agent.following import Pauses
from suanmesh_agent.meter import Meter
from suanmesh_agent.offers import Offers
from suanmesh_agent.permission import RunPermission
from suanmesh_agent.ports import Engine, SchedulerPort, TaskNotStarted
from suanmesh_agent.secrets import Secrets
from suanmesh_agent.setups import Inputs, Setups
from suanmesh_agent.staging import Staging
from suanmesh_agent.task_run import TaskRun, until_over
from suanmesh_agent.told_tasks import ToldTasks
from suanmesh_chassis.waiting import first_of
from suanmesh_content import FolderError, ManifestError
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.reasons import DETAIL, NO_REASON, StateReason
from suanmesh_kernel.refusals import Refusal
from suanmesh_sdk.state_reasons import reason_to
from suanmesh_sdk.status import refusal_of
from suanmesh_telemetry import current_traceparent, names, span

log = structlog.get_logger()

State = placement_pb2.Placement
_GONE_ON = ("COMMITTED", "ACCEPTED", "STAGING", "RUNNING", "DELIVERING")
"""States whose mention in a refusal says that the placement is past what was reported, and lives."""
_BEFORE_THE_RUN = (State.STATE_COMMITTED, State.STATE_ACCEPTED, State.STATE_STAGING)


class Steps:
    """Does the step that a stage asks for, and says what that reaches."""

    def __init__(
        self,
        *,
        offers: Offers,
        scheduler: SchedulerPort,
        engine: Engine,
        staging: Staging,
        secrets: Secrets,
        setups: Setups,
        delivery: Delivery,
        meter: Meter,
        meter_every_s: float,
        permission: RunPermission,
        clock: Clock,
    ) -> None:
        self._clock = clock
        self._offers = offers
        self._scheduler = scheduler
        self._engine = engine
        self._staging = staging
        self._secrets = secrets
        self._setups = setups
        self._delivery = delivery
        self._meter = meter
        self._meter_every_s = meter_every_s
        self._permission = permission
        self._queues = engine.capabilities().queues
        self._start_faults: dict[str, TaskNotStarted] = {}

    async def step(self, carried: Carried, stage: Stage) -> Reached:
        """Do what `stage` asks for. A call that cannot be made now is made again later."""
        steps = {
            Stage.SEEN: self._take,
            Stage.ACCEPTED: self._stage,
            Stage.STARTED: self._run,
            Stage.METERED: self._hand_over,
        }
        return await self._until_taken(carried, partial(steps[stage], carried), stage)

    async def wind_up(self, carried: Carried) -> None:
        """End what still runs of a placement that nobody carries on, and write down what it used."""
        keys = task_looks.keys_to_end(carried.placement)
        await self._engine.cancel(keys)
        await until_over(self._engine, keys)
        self._secrets.drop(carried.placement)
        await self._record(carried.placement, over=True)

    async def fail(self, carried: Carried, defect: Exception) -> Reached:
        """Tell the mesh that a defect of ours has ended the placement; nothing that may meet it again is looked at."""
        reason = reason_to(StateReason("AGENT_DEFECT", {"defect": type(defect).__name__}))

        async def tell() -> Reached:
            before = carried.placement.state in _BEFORE_THE_RUN
            state = State.STATE_CANCELLED if carried.to_stop else State.STATE_REFUSED if before else State.STATE_FAILED
            if not await self._tell(carried, pb.TaskReport(state=state, reason=reason)) and before:
                await self._tell(carried, pb.TaskReport(state=State.STATE_FAILED, reason=reason))
            return Reached(Stage.REPORTED)

        return await self._until_taken(carried, tell, Stage.REPORTED)

    async def _until_taken(self, carried: Carried, act: Callable[[], Awaitable[Reached]], stage: Stage) -> Reached:
        pauses = Pauses()
        while True:
            try:
                return await act()
            except StepDeferred:  # nothing of it runs here in the stages that come to this
                log.info("placement put down by the mesh", placement=carried.placement.name)
                return Reached(Stage.REPORTED)
            except Refusal as refusal:
                log.info("step put off", placement=carried.placement.name, reason=refusal.reason, state=stage.value)
            await pauses.wait()

    async def _take(self, carried: Carried) -> Reached:
        placement = carried.placement
        with span(names.TAKE_PLACEMENT, parent=placement.traceparent, placement=placement.name, site=placement.site):
            if carried.to_stop:
                await self._report(carried, State.STATE_CANCELLED)
                return Reached(Stage.REPORTED)
            if await self._begun(placement, task_looks.keys_to_end(placement)):
                await self._meter.recall(placement.name)  # it ran before the journal was set back
            if placement.state not in _BEFORE_THE_RUN:
                await self.wind_up(carried)  # what still runs of it from before the memory was lost
                await self._report(carried, State.STATE_FAILED, StateReason("STATE_LOST"))
                return Reached(Stage.REPORTED)
            if no := self._offers.objection(placement, self._clock.now()):
                await self._report(carried, State.STATE_REFUSED, no)
                return Reached(Stage.REPORTED)
            epoch = self._permission.epoch
            await self._report(carried, State.STATE_ACCEPTED)
            carried.confirmed = epoch
            return Reached(Stage.ACCEPTED if placement.work.inputs else Stage.STARTED)

    async def _stage(self, carried: Carried) -> Reached:
        """Wait for the inputs. That the tasks may run then is written down before the first is started."""
        placement = carried.placement
        with span(names.STAGE_INPUTS, parent=placement.traceparent, placement=placement.name, site=placement.site):
            while not carried.to_stop:
                missing = await self._staging.missing(wire.work_from(placement))
                if not missing:
                    return Reached(Stage.STARTED)
                await self._staging.wait_for_news(carried.changed)
            await self._report(carried, State.STATE_CANCELLED)
            return Reached(Stage.REPORTED)

    async def _run(self, carried: Carried) -> Reached:
        begun = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            beside = [
                tasks.create_task(self._heed(carried)),
                tasks.create_task(self._meter_run(carried.placement)),
            ]
            if self._queues or carried.placement.work.count > 1 or carried.placement.work.retry.times:
                beside.append(tasks.create_task(self._tell_tasks(carried, begun)))
            await self._all_over(carried, begun)
            for task in beside:
                task.cancel()
        placement, looks = carried.placement, await task_looks.metered(self._engine, carried.placement, over=True)
        held, parent = wire.held_of(placement), placement.traceparent
        record = partial(self._meter.write_tasks, placement.name, looks, held, parent)
        return Reached(Stage.METERED, record, partial(self._meter.written, looks))

    async def _hand_over(self, carried: Carried) -> Reached:
        """Publish the log, and the outputs of a run that ended well, then report the end."""
        placement = carried.placement
        self._secrets.drop(placement)
        how = await self._ending(carried)
        setup = await self._setups.ending(placement) if how.unbegun else None
        how = setup or how
        fault = self._start_faults.get(placement.name) if how.unbegun else None
        if fault is not None and fault.by_job:
            how = _failed("LAYOUT_INVALID", fault)
        elif fault is not None and not await self._begun(placement):
            await self._report(carried, State.STATE_REFUSED, _failed(how.reason.code, fault).reason)
            return self._forgotten(placement, {})
        with span(names.DELIVER_OUTPUTS, parent=placement.traceparent, placement=placement.name, site=placement.site):
            try:
                made = await self._delivery.results(placement, how.delivered)
                how = how.lacking(made.lacks) if made.delivered else how.undelivered(made.lacks)
            except (FolderError, ManifestError, OSError, Refusal) as fault:
                made = Results(lacks=lack_of(fault))
                how = how.undelivered(made.lacks)
            datasets = (*made.outputs, *made.log) if how.delivered else ()
            if how.cancelled:
                state, reason = State.STATE_CANCELLED, NO_REASON
            elif how.delivered:
                state, reason = State.STATE_DELIVERING, how.reason
            else:
                state, reason = State.STATE_LOST if how.lost else State.STATE_FAILED, how.reason
            await self._report(carried, state, reason, datasets, log_dataset="".join(made.log))
        return self._forgotten(placement, {**made.outputs, **made.log})

    async def _report(
        self,
        carried: Carried,
        state: State.State.ValueType,
        reason: StateReason = NO_REASON,
        datasets: Sequence[str] = (),
        *,
        log_dataset: str = "",
        traceparent: str = "",
    ) -> None:
        """Report, until it is taken. Raises PutDown where the mesh has put the placement down as ended."""
        over = state not in (State.STATE_ACCEPTED, State.STATE_RUNNING)
        tasks = await task_looks.results(self._engine, carried.placement, over=over)
        report = pb.TaskReport(
            state=state,
            reason=reason_to(reason),
            tasks=tasks,
            output_datasets=datasets,
            log_dataset=log_dataset,
            traceparent=traceparent,
        )
        await self._tell(carried, report)

    async def _tell(self, carried: Carried, report: pb.TaskReport) -> bool:
        """Report; False where the placement is past what is told, and lives."""
        placement = carried.placement
        report.placement = placement.name
        report.traceparent = report.traceparent or current_traceparent() or placement.traceparent
        result = await self._scheduler.report_tasks(report)
        if not result.HasField("error"):
            carried.answered(result.placement)
            return True
        refusal = refusal_of(result.error)
        if refusal.code not in STANDING_REFUSALS:
            raise refusal
        log.info("report refused", placement=carried.placement.name, reason=refusal.reason, message=refusal.message)
        if refusal.facts.get("state", "").removeprefix("STATE_") not in _GONE_ON:
            raise StepDeferred
        return False

    async def _all_over(self, carried: Carried, begun: asyncio.Event) -> None:
        placement = carried.placement
        work = wire.work_from(placement)
        inputs = self._staging.inputs(work)
        run = TaskRun(
            self._engine,
            task_looks.first_keys(placement),
            at_once=work.at_once,
            keep_going=work.keep_going,
            retrying=work.retrying,
            spec=lambda key: wire.task_of(
                placement, key, inputs, self._secrets.of(placement), self._setups.of(placement)
            ),
            may_start=partial(self._may_start, carried, inputs),
            stopped=lambda: carried.to_stop,
            begun=partial(self._tell_running, carried, begun),
            traceparent=placement.traceparent,
            site=placement.site,
        )
        await run.to_the_end()
        self._secrets.drop(placement)
        if run.start_fault is not None:
            fault = run.start_fault
            log.error("task not started", placement=placement.name, message=fault.detail or str(fault))
            self._start_faults[placement.name] = fault

    async def _may_start(self, carried: Carried, inputs: Inputs) -> bool:
        """Whether the site may run tasks of it, has what its setup makes, and its secrets."""
        if not await self._permitted(carried):
            return False
        fault = await self._setups.ready(carried, inputs) or await self._secrets.ready(carried)
        if fault is not None:
            self._start_faults[carried.placement.name] = fault
        return fault is None

    async def _permitted(self, carried: Carried) -> bool:
        """Wait until the site may run tasks, and the mesh has said since that this placement lives; False if it ended.

        While the site had no permission the mesh may have placed the job elsewhere: what it showed before counts for
        nothing then.
        """
        pauses = Pauses()
        while not carried.to_stop:
            renewed, epoch = self._permission.changed, self._permission.epoch
            if epoch is None:
                await first_of(renewed, carried.changed)
            elif epoch == carried.confirmed:
                return True
            else:
                try:
                    await self._report(carried, State.STATE_ACCEPTED)
                    carried.confirmed = epoch
                except StepDeferred:
                    return False
                except Refusal as refusal:
                    log.info("start put off", placement=carried.placement.name, reason=refusal.reason)
                    await pauses.wait()
        return False

    async def _tell_running(self, carried: Carried, begun: asyncio.Event, traceparent: str) -> None:
        """Report RUNNING, in the span of the first task; the end is not reported before that has been taken."""
        pauses = Pauses()
        while True:
            try:
                await self._report(carried, State.STATE_RUNNING, traceparent=traceparent)
                return begun.set()
            except StepDeferred:
                return await self._engine.cancel(task_looks.keys_to_end(carried.placement))
            except Refusal as refusal:
                log.info("start not told", placement=carried.placement.name, reason=refusal.reason)
            await pauses.wait()

    async def _tell_tasks(self, carried: Carried, begun: asyncio.Event) -> None:
        """Report from time to time what has become of tasks: of many those alone of which that has changed.

        Before the first runs there is nothing to tell but of an engine with a queue: for what they wait there.
        """
        placement = carried.placement
        told = ToldTasks(max(1, placement.work.count), keep_going=wire.work_from(placement).keep_going)
        while True:
            if not self._queues:
                await begun.wait()
            await asyncio.sleep(told.every_s)
            stand = await task_looks.results(self._engine, placement, over=False, but=told.settled)
            report = told.report(stand)
            if report is None:
                continue
            report.state = State.STATE_RUNNING if begun.is_set() else State.STATE_ACCEPTED
            try:
                if await self._tell(carried, report):
                    told.taken(report)
            except StepDeferred:
                return await self._engine.cancel(task_looks.keys_to_end(placement))
            except Refusal as refusal:
                log.info("tasks not told", placement=placement.name, reason=refusal.reason)

    async def _heed(self, carried: Carried) -> None:
        """Stop the tasks when the mesh says so."""
        while not carried.to_stop:
            await carried.changed.wait()
        await self._engine.cancel(task_looks.keys_to_end(carried.placement))

    async def _meter_run(self, placement: placement_pb2.Placement) -> None:
        ended: set[int] = set()
        """Tasks that the meter has the last of."""
        while True:
            await asyncio.sleep(self._meter_every_s)
            ended |= await self._record(placement, over=False, but=ended)

    async def _record(self, placement: placement_pb2.Placement, *, over: bool, but: Container[int] = ()) -> set[int]:
        """Meter the tasks that are not in `but`; those of which nothing more comes."""
        looks = await task_looks.metered(self._engine, placement, over=over, but=but)
        await self._meter.record_tasks(
            placement.name, looks, wire.held_of(placement), traceparent=placement.traceparent
        )
        return {index for index, look in looks if look.over}

    async def _ending(self, carried: Carried) -> Ending:
        looks = [runs.newest for runs in (await task_looks.runs_of(self._engine, carried.placement)).values()]
        keep_going = wire.work_from(carried.placement).keep_going
        lost = carried.counts_as_lost
        if carried.to_stop and not (carried.placement.stop_requested or lost):  # nobody takes results of it any more
            return Ending(cancelled=True)
        return ending(looks, stop_requested=carried.to_stop and not lost, keep_going=keep_going, counts_as_lost=lost)

    def _forgotten(self, placement: placement_pb2.Placement, made: Mapping[str, str]) -> Reached:
        self._start_faults.pop(placement.name, None)
        return Reached(Stage.REPORTED, partial(self._delivery.name, made))

    async def _begun(self, placement: placement_pb2.Placement, keys: Sequence[TaskKey] = ()) -> bool:
        looks = await self._engine.inspect(keys or task_looks.first_keys(placement))
        return any(look.start_time is not None for look in looks)


def _failed(code: str, fault: object) -> Ending:
    return Ending(StateReason(code, {DETAIL: str(fault)}))
