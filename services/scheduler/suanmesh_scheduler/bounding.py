"""What keeps every document within the store's bound, however long a job lives and whatever is reported of it."""

from __future__ import annotations

from suanmesh.scheduler.v1 import job_pb2, placement_pb2
from suanmesh_kernel.refusals import InvalidArgument
from suanmesh_scheduler.domain.fitting import HOSTS_MAX
from suanmesh_scheduler.domain.lifecycle import REFUSALS_MAX
from suanmesh_sdk.state_reasons import shorten
from suanmesh_store.documents import DOCUMENT_BYTES_MAX

PAYLOAD_BYTES_MAX = DOCUMENT_BYTES_MAX - 512
"""What the envelope leaves: author, trace, uid and time take less than the difference."""
REASON_BYTES_MAX = 256
STEP_BYTES_MAX = 108
"""Of a reason in a job's history."""
TASK_FRAME_BYTES_MAX = 4
"""What the result of a task takes in its placement beside its own bytes."""
TASK_REASON_BYTES_MAX = 80
"""Of a reason of one task."""
HISTORY_MAX = 30
HISTORY_SURE = 6
"""Steps of its history that every job has room for."""
NAME_BYTES = 75
"""A name of one part, with its field."""
TASK_BYTES = 44
SOURCE_BYTES = 250
"""A hold, a route and a reservation."""
TRANSFER_BYTES = 46
FIXED_BYTES = 900
"""The other fields that are written after a job was submitted."""


def bound_job(job: job_pb2.Job) -> None:
    """Shorten reasons, and drop the oldest steps after the first until the job fits."""
    shorten(job.state_reason, REASON_BYTES_MAX)
    for step in job.history:
        shorten(step.reason, STEP_BYTES_MAX)
    while len(job.history) > 2 and (len(job.history) > HISTORY_MAX or job.ByteSize() > PAYLOAD_BYTES_MAX):
        del job.history[1]


def bound_placement(placement: placement_pb2.Placement) -> None:
    """Shorten reasons, and leave out tasks until the placement fits: those that ended well, then the last."""
    shorten(placement.state_reason, REASON_BYTES_MAX)
    for task in placement.tasks:
        shorten(task.state_reason, TASK_REASON_BYTES_MAX)
    if placement.ByteSize() > PAYLOAD_BYTES_MAX:
        telling = [task for task in placement.tasks if not _well(task)]
        del placement.tasks[:]
        left = PAYLOAD_BYTES_MAX - placement.ByteSize()
        for task in telling:
            left -= task.ByteSize() + TASK_FRAME_BYTES_MAX
            if left < 0:
                break
            placement.tasks.append(task)


def require_size(job: job_pb2.Job) -> None:
    """Refuse a job that could not be kept to its end. Raises InvalidArgument (`FIELD_INVALID`).

    The job as submitted and the placement that copies most of it must both have room for what is written later.
    """
    together = min(max(1, job.task.count), HOSTS_MAX)
    outputs = (len(job.outputs) + 2) * NAME_BYTES
    history = HISTORY_SURE * (STEP_BYTES_MAX + 20) + REASON_BYTES_MAX + REFUSALS_MAX * NAME_BYTES
    moved = (len(job.inputs) + len(job.outputs)) * (SOURCE_BYTES + TRANSFER_BYTES)
    largest = max((variant.ByteSize() for variant in job.package.variants), default=0)
    varied = placement_pb2.Work(
        environment=job.environment,
        parameters=job.task.parameters,
        retry=job.task.retry,
        result_folder=job.task.result_folder,
        secrets=job.secrets,
        setup=job.setup,
    ).ByteSize()
    parts = (*job.inputs, *job.outputs)
    work = largest + varied + job.ask.ByteSize() + sum(part.ByteSize() + 3 for part in parts)
    needed = max(
        job.ByteSize() + history + outputs + 3 * NAME_BYTES,
        work + moved + together * (NAME_BYTES + TASK_BYTES) + REASON_BYTES_MAX + FIXED_BYTES,
    )
    if needed > PAYLOAD_BYTES_MAX:
        sizes = {descriptor.name: _size(job, descriptor.name) for descriptor, _ in job.ListFields()}
        field = max(sizes, key=lambda name: (sizes[name], name))
        field = "package.variants.artefacts" if field == "package" else field
        problem = f"is {needed - PAYLOAD_BYTES_MAX} bytes too much for one document; publish larger parts as a dataset"
        raise InvalidArgument("FIELD_INVALID", f"{field}: {problem}", field=field)


def _size(job: job_pb2.Job, field: str) -> int:
    alone = job_pb2.Job()
    alone.CopyFrom(job)
    alone.ClearField(field)  # type: ignore[arg-type]
    return job.ByteSize() - alone.ByteSize()


def _well(task: placement_pb2.TaskResult) -> bool:
    return task.HasField("exit_status") and task.exit_status == 0 and not task.state_reason.code
