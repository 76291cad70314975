"""Between the contracts' messages and the agent's values."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC
from pathlib import Path

from suanmesh.registry.v1 import pool_pb2
from suanmesh.scheduler.v1 import job_pb2, placement_pb2
from suanmesh.transport.v1 import dataset_pb2, transfer_pb2
from suanmesh_agent.domain.cards import CardLook
from suanmesh_agent.domain.endings import reason_of
from suanmesh_agent.domain.metering import Allotment
from suanmesh_agent.domain.retrying import Retrying
from suanmesh_agent.domain.setups import Setup
from suanmesh_agent.domain.tasks import SETUP_MOUNT, Artefact, TaskKey, TaskLook, TaskSpec, TaskState
from suanmesh_agent.domain.tickets import Ticket
from suanmesh_agent.domain.work import Work
from suanmesh_kernel.cards import DeviceAsk
from suanmesh_kernel.names import last, of_version
from suanmesh_kernel.quantities import Capacity
from suanmesh_sdk.parameters import value_of
from suanmesh_sdk.state_reasons import reason_to

FAULT_CHARS_MAX = 128


def work_from(placement: placement_pb2.Placement) -> Work:
    """What a placement asks for."""
    work = placement.work
    return Work(
        placement=last(placement.name),
        task_capacity=Capacity(work.ask.cpu_milli, work.ask.memory_bytes, work.ask.scratch_bytes),
        count=max(1, work.count),
        command=tuple(work.variant.command),
        artefacts=tuple(Artefact(each.path, each.content, each.executable) for each in work.variant.artefacts),
        inputs=tuple((given.dataset, given.mount) for given in work.inputs),
        outputs=tuple((made.output_id, made.mount) for made in work.outputs),
        runtime=work.variant.runtime,
        max_duration_s=work.max_duration_s,
        at_once=sum(run.tasks for leg in placement.legs for run in leg.hosts) or max(1, work.count),
        keep_going=work.on_failure == job_pb2.TaskSpec.ON_FAILURE_KEEP_GOING,
        retrying=retrying_of(placement),
        devices=tuple(
            DeviceAsk(getattr(ask, "class"), tuple(ask.any_of_models), ask.count, ask.min_memory_bytes)
            for ask in work.ask.devices
        ),
        secrets=bool(work.secrets),
    )


def retrying_of(placement: placement_pb2.Placement) -> Retrying:
    """When its tasks are run again."""
    retry = placement.work.retry
    return Retrying(retry.times, retry.backoff_s, frozenset(retry.exit_statuses))


def setup_from(work: placement_pb2.Work) -> Setup:
    """What is to be made ready before its tasks."""
    return Setup(tuple(work.setup.python), tuple(work.setup.run), work.setup.wheels)


def setup_task_of(
    placement: placement_pb2.Placement, key: TaskKey, inputs: tuple[tuple[str, Path], ...], command: tuple[str, ...]
) -> TaskSpec:
    """The run that makes it: within the bounds of one task, without secrets and what tells tasks apart."""
    work, site = work_from(placement), {"SUANMESH_JOB": placement.job, "SUANMESH_SITE": placement.site}
    return TaskSpec(
        key=key,
        command=command,
        artefacts=work.artefacts,
        inputs=inputs,
        outputs=(SETUP_MOUNT,),
        environment=tuple(sorted(site.items())),
        variables=tuple(sorted(placement.work.environment.items())),
        cpu_milli=work.task_capacity.cpu_milli,
        memory_bytes=work.task_capacity.memory_bytes,
        scratch_bytes=work.task_capacity.scratch_bytes,
        max_duration_s=work.max_duration_s,
    )


def with_artefact(spec: TaskSpec, artefact: Artefact) -> TaskSpec:
    """The same with one more file."""
    return replace(spec, artefacts=(*spec.artefacts, artefact))


def held_of(placement: placement_pb2.Placement) -> Allotment:
    """What one task of a placement holds while it runs."""
    ask = placement.work.ask
    return Allotment(memory_bytes=ask.memory_bytes, device_milli=1000 * sum(device.count for device in ask.devices))


def task_of(
    placement: placement_pb2.Placement,
    key: TaskKey,
    inputs: tuple[tuple[str, Path], ...],
    secrets: Path,
    setup: Path | None = None,
) -> TaskSpec:
    """One run of a task of a placement; `inputs` are mounts with the folders of their replicas, `secrets` is where
    those of the placement lie, if it has any, and `setup` what its setup has made.
    """
    work, index = work_from(placement), key.index
    environment = {
        "SUANMESH_TASK_INDEX": str(index),
        "SUANMESH_TASK_COUNT": str(work.count),
        "SUANMESH_JOB": placement.job,
        "SUANMESH_PLACEMENT": placement.name,
        "SUANMESH_SITE": placement.site,
        "SUANMESH_ATTEMPT": str(max(1, placement.attempt)),
        "SUANMESH_RETRY": str(key.retry),
    }
    return TaskSpec(
        key=key,
        command=work.command,
        artefacts=work.artefacts,
        inputs=inputs,
        outputs=tuple(mount for _, mount in work.outputs),
        environment=tuple(sorted(environment.items())),
        variables=tuple(sorted(_variables(placement.work, index).items())),
        setup=setup,
        secrets=secrets if placement.work.secrets else None,
        secret_variables=tuple((each.variable, each.name) for each in placement.work.secrets if each.variable),
        cpu_milli=work.task_capacity.cpu_milli,
        memory_bytes=work.task_capacity.memory_bytes,
        scratch_bytes=work.task_capacity.scratch_bytes,
        devices=work.devices,
        max_duration_s=work.max_duration_s,
    )


def _variables(work: placement_pb2.Work, index: int) -> dict[str, str]:
    """The job's own variables, and the values of its parameters for that task."""
    values = {f"SUANMESH_PARAM_{each.name}": value_of(each, index) for each in work.parameters}
    return dict(work.environment) | values


def result_to(
    index: int, look: TaskLook, retries: int = 0, *, again: bool = False, stopped_by: int | None = None
) -> placement_pb2.TaskResult:
    """What became of one task, by its newest run; `again` where there will be another."""
    result = placement_pb2.TaskResult(index=index, state=_state_of(look, again=again), retries=retries)
    if look.over and not look.succeeded:
        result.state_reason.CopyFrom(reason_to(reason_of(index, look, stopped_by)))
    elif look.waits_for:
        result.state_reason.CopyFrom(reason_to(look.waits_for))
    if look.exit_status is not None:
        result.exit_status = look.exit_status
    if look.start_time is not None:
        result.start_time.FromDatetime(look.start_time)
    if look.end_time is not None:
        result.end_time.FromDatetime(look.end_time)
    return result


_GOING_ON = {
    TaskState.ABSENT: placement_pb2.TaskResult.STATE_PENDING,
    TaskState.QUEUED: placement_pb2.TaskResult.STATE_QUEUED,
    TaskState.RUNNING: placement_pb2.TaskResult.STATE_RUNNING,
}


def _state_of(look: TaskLook, *, again: bool) -> placement_pb2.TaskResult.State.ValueType:
    if not look.over:
        return _GOING_ON[look.state]
    if again:
        return placement_pb2.TaskResult.STATE_RETRYING
    if look.succeeded:
        return placement_pb2.TaskResult.STATE_DONE
    stopped = look.failure == "CANCELLED"
    return placement_pb2.TaskResult.STATE_CANCELLED if stopped else placement_pb2.TaskResult.STATE_FAILED


def ticket_from(message: transfer_pb2.TransferTicket) -> Ticket:
    """A ticket's claims."""
    return Ticket(
        transfer=message.transfer,
        dataset=message.dataset,
        digest=message.digest,
        source=message.source,
        reader=message.reader,
        expire_time=message.expire_time.ToDatetime(tzinfo=UTC),
        rate_bps=message.rate_bps,
    )


def upload_ticket_from(message: transfer_pb2.UploadTicket) -> Ticket:
    """What a ticket to bring data has of any ticket: its source is where it may be used, its reader who may use it."""
    return Ticket(
        transfer="",
        dataset=message.dataset,
        digest=message.digest,
        source=message.target,
        reader=message.writer,
        expire_time=message.expire_time.ToDatetime(tzinfo=UTC),
        rate_bps=0,
    )


def pinned(dataset: dataset_pb2.Dataset) -> str:
    """The name of the version that was published; that of the dataset where its keeper knows no versions."""
    return of_version(dataset.name, dataset.version) if dataset.version else dataset.name


def card_to(look: CardLook) -> pool_pb2.CardState:
    """How a card stands."""
    made = pool_pb2.CardState(
        id=look.card.id,
        model=look.card.model,
        fault=look.fault[:FAULT_CHARS_MAX],
        busy_milli=look.busy_milli,
        memory_used_bytes=look.memory_used_bytes,
    )
    setattr(made, "class", look.card.device_class)
    return made
