"""What a submitted job must be: every refusal names the field."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import PurePosixPath

from suanmesh.scheduler.v1 import job_pb2
from suanmesh_kernel.names import (
    ID_PATTERN,
    LABEL_PATTERN,
    checked_dataset,
    checked_id,
    checked_name,
    output_dataset_id,
)
from suanmesh_kernel.refusals import invalid_field
from suanmesh_kernel.requirements import REQUIREMENT_PATTERN
from suanmesh_scheduler.domain.values import BACKOFF_S_MAX
from suanmesh_sdk.parameters import each_of
from suanmesh_sdk.result_folders import ResultFolders

COUNT_MAX = 10_000
GANG_MAX = 1000
ATTEMPTS_MAX = 10
ID_CHARS_MAX = 63
RETRIES_MAX = 10
DURATION_S_MAX = 86_400
ARTEFACT_BYTES_MAX = 5 * 1024
PARTS_MAX = 32
"""Inputs, outputs or names in one list of a job."""
CPU_MILLI_MAX = 100_000_000
"""For one task."""
MEBIBYTE = 1 << 20
QUANTITY_MAX = (1 << 63) - 1
"""Of what a job may use in all, in the unit of any meter."""
BYTES_MAX = 1 << 50
RESULT_BYTES_DEFAULT = 1 << 30
DEVICE_COUNT_MAX = 10_000
SECOND_VALUE_MICROS_MAX = 10_000_000_000
LOG = "log"
"""What the log's dataset is named after, as if it were an output."""
"""Of a label's key, so that a filter can name it."""
VARIABLE_PATTERN = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
"""Of the name of a variable of the environment."""
SECRETS_MAX = 16
SECRET_PATTERN = re.compile(r"[A-Za-z_][A-Za-z0-9._-]{0,63}")
"""Of the name of a secret, which is that of a file."""
NUMBER_MAX = 1 << 52
"""Of the first number of a range, and of the distance to the next."""
OUTPUT_PATTERN = re.compile("[a-z0-9]{1,63}")
"""Of the id of an output: with a hyphen, its dataset could not be told from another job's."""
_PLACEHOLDER = re.compile(r"\{([A-Za-z][A-Za-z0-9_]*)\}")
PARAMETER_PATTERN = re.compile(r"[A-Z][A-Z0-9_]{0,31}")
RESERVED = "SUANMESH_"
PRIORITY_MIN, PRIORITY_MAX = -100, 100
DEVICES_MAX = 4
VARIANTS_MAX = 8


_NOT_THE_CALLERS = (
    "name",
    "party",
    "state",
    "state_reason",
    "history",
    "decision",
    "placement",
    "output_datasets",
    "log_dataset",
    "trace_id",
    "attempt",
    "refused_by",
    "cancel_requested",
    "create_time",
    "end_time",
    "etag",
)
"""What the scheduler writes of a job, whatever was sent of it."""


def draft_of(asked: job_pb2.Job) -> job_pb2.Job:
    """The caller's fields, checked, with what was left to us. Raises InvalidArgument (`FIELD_INVALID`)."""
    job = job_pb2.Job()
    job.CopyFrom(asked)
    for field in _NOT_THE_CALLERS:
        job.ClearField(field)  # type: ignore[arg-type]
    require_valid(job)
    _fill_in(job)
    return job


def require_valid(job: job_pb2.Job) -> None:
    """Refuse a job that could never run. Raises InvalidArgument (`FIELD_INVALID`)."""
    checked_name(job.account, "accounts", field="account")
    _within("task.count", job.task.count, 0, GANG_MAX if job.task.gang else COUNT_MAX)
    _on_failure(job.task)
    _parameters(job.task)
    _result_folder(job)
    _retry(job.task.retry)
    _environment(job.environment)
    _secrets(job)
    _setup(job)
    _labels(job.labels)
    if job.queue:
        checked_id(job.queue, field="queue")
    _within("priority", job.priority, PRIORITY_MIN, PRIORITY_MAX)
    _within("max_attempts", job.max_attempts, 0, ATTEMPTS_MAX)
    _within("max_duration_s", job.max_duration_s, 1, DURATION_S_MAX)
    _ask(job.ask)
    _uses(job)
    _package(job.package)
    _data(job)
    _layout(job)
    _constraints(job.constraints)
    _within("objective.second_value_micros", job.objective.second_value_micros, 0, SECOND_VALUE_MICROS_MAX)


def require_names(job_id: str, job: job_pb2.Job) -> None:
    """Refuse ids that are none, or too long for the datasets named after them.

    Raises InvalidArgument (`FIELD_INVALID`).
    """
    checked_id(job_id, field="job_id")
    if not ID_PATTERN.fullmatch(output_dataset_id(job_id, LOG, ATTEMPTS_MAX)):
        raise invalid_field("job_id", f"{job_id} leaves no room for the name of the log's dataset")
    for i, output in enumerate(job.outputs):
        if not ID_PATTERN.fullmatch(output_dataset_id(job_id, output.output_id, ATTEMPTS_MAX)):
            problem = f"{output.output_id} is too long for a dataset's name behind {job_id}"
            raise invalid_field(f"outputs[{i}].output_id", problem)


def require_deadline(job: job_pb2.Job, now: datetime) -> None:
    """Refuse a job that would have to have ended already, or sooner than a task may run: no pool ever takes it.

    Raises InvalidArgument (`FIELD_INVALID`).
    """
    limits = job.constraints
    if not limits.HasField("deadline"):
        return
    left_s = (limits.deadline.ToDatetime(UTC) - now).total_seconds()
    if left_s <= 0:
        raise invalid_field("constraints.deadline", f"{limits.deadline.ToJsonString()} has passed")
    if left_s < job.max_duration_s:
        problem = (
            f"is in {left_s:.0f} s, and max_duration_s lets a task run {job.max_duration_s} s: it could end too late"
        )
        raise invalid_field("constraints.deadline", problem)


def _fill_in(job: job_pb2.Job) -> None:
    """Set what the submitter left to us: a result without a bound is bounded by what the tasks may write."""
    written = min(BYTES_MAX, job.ask.scratch_bytes * max(1, job.task.count)) or RESULT_BYTES_DEFAULT
    for output in job.outputs:
        output.max_bytes = output.max_bytes or written


def _on_failure(task: job_pb2.TaskSpec) -> None:
    if task.on_failure not in job_pb2.TaskSpec.OnFailure.values():
        raise invalid_field("task.on_failure", "is not known")
    if task.gang and task.on_failure == job_pb2.TaskSpec.ON_FAILURE_KEEP_GOING:
        raise invalid_field("task.on_failure", "tasks of a gang cannot go on without each other")


def _parameters(task: job_pb2.TaskSpec) -> None:
    names: set[str] = set()
    for i, parameter in enumerate(task.parameters):
        where = f"task.parameters[{i}]"
        if not PARAMETER_PATTERN.fullmatch(parameter.name):
            raise invalid_field(
                f"{where}.name", f"{parameter.name!r} is not capital letters, digits and _, a letter first"
            )
        if parameter.name in names:
            raise invalid_field(f"{where}.name", f"{parameter.name} is taken")
        names.add(parameter.name)
        _values(where, parameter, max(1, task.count))


def _result_folder(job: job_pb2.Job) -> None:
    task = job.task
    if task.result_folder:
        folders = ResultFolders(task.result_folder, task.parameters, job="j" * ID_CHARS_MAX, attempt=ATTEMPTS_MAX)
        if problem := folders.problem(max(1, task.count)):
            raise invalid_field("task.result_folder", problem)


def _values(where: str, parameter: job_pb2.Parameter, tasks: int) -> None:
    values, span = len(parameter.values), parameter.range
    _within(f"{where}.each", parameter.each, 0, tasks)
    if parameter.HasField("range"):
        if values:
            raise invalid_field(f"{where}.values", "are said by a range too")
        _within(f"{where}.range.count", span.count, 1, COUNT_MAX)
        for field in ("first", "step"):
            _within(f"{where}.range.{field}", getattr(span, field), -NUMBER_MAX, NUMBER_MAX)
        values = span.count
    if not values or tasks % (values * each_of(parameter)):
        problem = f"has {values} values for {each_of(parameter)} tasks each, there are {tasks} tasks"
        raise invalid_field(f"{where}.values", problem)


def _retry(retry: job_pb2.Retry) -> None:
    _within("task.retry.times", retry.times, 0, RETRIES_MAX)
    if not retry.times and (retry.backoff_s or retry.exit_statuses):
        raise invalid_field("task.retry.times", f"is missing: how often a task is run again, 1 to {RETRIES_MAX}")
    _within("task.retry.backoff_s", retry.backoff_s, 0, BACKOFF_S_MAX)
    _at_most("task.retry.exit_statuses", len(retry.exit_statuses), PARTS_MAX)
    for i, status in enumerate(retry.exit_statuses):
        _within(f"task.retry.exit_statuses[{i}]", status, 1, 255)


def _environment(environment: Mapping[str, str], field: str = "environment") -> None:
    for name in environment:
        if not VARIABLE_PATTERN.fullmatch(name):
            raise invalid_field(field, f"{name[:80]!r} is not letters, digits and _, a letter or _ first")
        if name.startswith(RESERVED):
            raise invalid_field(field, f"{name}: what begins with {RESERVED} is set by the site")


def _secrets(job: job_pb2.Job) -> None:
    _at_most("secrets", len(job.secrets), SECRETS_MAX)
    names: set[str] = set()
    variables = set(job.environment)
    for i, secret in enumerate(job.secrets):
        if not SECRET_PATTERN.fullmatch(secret.name):
            problem = f"{secret.name[:80]!r} is not letters, digits, ., _ and -, a letter or _ first"
            raise invalid_field(f"secrets[{i}].name", problem)
        if secret.name in names:
            raise invalid_field(f"secrets[{i}].name", f"{secret.name} is taken")
        names.add(secret.name)
        if secret.variable:
            _environment({secret.variable: ""}, f"secrets[{i}].variable")
            if secret.variable in variables:
                raise invalid_field(f"secrets[{i}].variable", f"{secret.variable} is taken")
            variables.add(secret.variable)


def _setup(job: job_pb2.Job) -> None:
    for i, wanted in enumerate(job.setup.python):
        if not REQUIREMENT_PATTERN.fullmatch(wanted):
            problem = f"{wanted[:80]!r} is not a name with versions, such as numpy==2.1 or pandas[excel]>=2,<3"
            raise invalid_field(f"setup.python[{i}]", problem)
    for i, line in enumerate(job.setup.run):
        if "\0" in line:
            raise invalid_field(f"setup.run[{i}]", "has a zero character, which no shell takes")
    if job.setup.wheels and job.setup.wheels not in {each.mount for each in job.inputs}:
        raise invalid_field("setup.wheels", f"{job.setup.wheels} is the mount of no input")


def _labels(labels: Mapping[str, str]) -> None:
    for key in labels:
        if not LABEL_PATTERN.fullmatch(key):
            problem = f"{key[:80]!r} is not lower-case letters, digits and underscores, a letter first"
            raise invalid_field("labels", problem)


def _ask(ask: job_pb2.Ask) -> None:
    _within("ask.cpu_milli", ask.cpu_milli, 1, CPU_MILLI_MAX)
    _within("ask.memory_bytes", ask.memory_bytes, 1, BYTES_MAX)
    _within("ask.scratch_bytes", ask.scratch_bytes, 0, BYTES_MAX)
    _at_most("ask.devices", len(ask.devices), DEVICES_MAX)
    _at_most("ask.min_capability", len(ask.min_capability), PARTS_MAX)
    for i, device in enumerate(ask.devices):
        _within(f"ask.devices[{i}].count", device.count, 1, DEVICE_COUNT_MAX)
        _within(f"ask.devices[{i}].min_memory_bytes", device.min_memory_bytes, 0, None)
        if not getattr(device, "class"):
            raise invalid_field(f"ask.devices[{i}].class", "is empty")
    for i, capability in enumerate(ask.min_capability):
        _within(f"ask.min_capability[{i}].value", capability.value, 0, None)


def _uses(job: job_pb2.Job) -> None:
    """Refuse a job that could use more, all its tasks as often as they may run, than a meter can count."""
    runs = 1 + max(job.task.retry.times, job.max_attempts - 1)
    seconds = job.max_duration_s * (runs * max(1, job.task.count) + 1)
    for field, in_a_second in (
        ("ask.cpu_milli", job.ask.cpu_milli * 1000),
        ("ask.memory_bytes", -(-job.ask.memory_bytes // MEBIBYTE)),
        ("ask.devices", 1000 * sum(device.count for device in job.ask.devices)),
    ):
        if in_a_second * seconds > QUANTITY_MAX:
            raise invalid_field(field, f"is more than can be metered in {seconds} s, as long as all tasks may run")


def _package(package: job_pb2.Package) -> None:
    if not package.variants:
        raise invalid_field("package.variants", "is empty: there is nothing to run")
    _at_most("package.variants", len(package.variants), VARIANTS_MAX)
    size = 0
    for i, variant in enumerate(package.variants):
        if not variant.command or not variant.command[0]:
            raise invalid_field(f"package.variants[{i}].command", "is empty")
        if any("\0" in word for word in variant.command):
            raise invalid_field(
                f"package.variants[{i}].command", "has a zero character, which no command line can hold"
            )
        size += sum(len(artefact.content) for artefact in variant.artefacts)
    if size > ARTEFACT_BYTES_MAX:
        problem = f"hold {size} bytes, at most {ARTEFACT_BYTES_MAX} go with a job; publish larger code as a dataset"
        raise invalid_field("package.variants.artefacts", problem)


def _data(job: job_pb2.Job) -> None:
    _at_most("inputs", len(job.inputs), PARTS_MAX)
    _at_most("outputs", len(job.outputs), PARTS_MAX)
    for i, each in enumerate(job.inputs):
        _same_for_all(job, f"inputs[{i}].dataset", each.dataset)
        checked_dataset(each.dataset, field=f"inputs[{i}].dataset")
    ids: set[str] = set()
    for i, output in enumerate(job.outputs):
        _same_for_all(job, f"outputs[{i}].output_id", output.output_id)
        if not OUTPUT_PATTERN.fullmatch(output.output_id):
            problem = f"{output.output_id[:80]!r} is not lower-case letters and digits, with no hyphen or underscore"
            raise invalid_field(f"outputs[{i}].output_id", problem)
        if output.output_id in ids or output.output_id == LOG:
            raise invalid_field(f"outputs[{i}].output_id", f"{output.output_id} is taken")
        ids.add(output.output_id)
        _within(f"outputs[{i}].max_bytes", output.max_bytes, 0, BYTES_MAX)
        if output.deliver_to:
            checked_name(output.deliver_to, "sites", field=f"outputs[{i}].deliver_to")


def _same_for_all(job: job_pb2.Job, field: str, text: str) -> None:
    """Refuse a placeholder of `result_folder` elsewhere: it would stand for nothing."""
    known = {"task", "job", "attempt"} | {each.name.lower() for each in job.task.parameters}
    found = next((each for each in _PLACEHOLDER.findall(text) if each.lower() in known), None)
    if found is not None:
        problem = f"{text[:80]!r} is the same for all tasks: {{{found}}} stands for a value in task.result_folder alone"
        raise invalid_field(field, f"{problem}; let tasks find theirs by SUANMESH_TASK_INDEX or SUANMESH_PARAM_<NAME>")


def _constraints(limits: job_pb2.Constraints) -> None:
    for field in ("max_latency_us", "min_bandwidth_bps", "budget_micros"):
        _within(f"constraints.{field}", getattr(limits, field), 0, None)
    if limits.HasField("deadline"):
        try:
            limits.deadline.ToDatetime()
        except (ValueError, OverflowError) as error:
            raise invalid_field("constraints.deadline", "is not a moment between the years 1 and 9999") from error
    _at_most("constraints.residency", len(limits.residency), PARTS_MAX)
    for field in ("allow_sites", "deny_sites"):
        _at_most(f"constraints.{field}", len(getattr(limits, field)), PARTS_MAX)
        for i, site in enumerate(getattr(limits, field)):
            checked_name(site, "sites", field=f"constraints.{field}[{i}]")


def _layout(job: job_pb2.Job) -> None:
    """Refuse folders and files of a task that would hide one another."""
    read = [(f"inputs[{i}].mount", each.mount) for i, each in enumerate(job.inputs)]
    written = [(f"outputs[{i}].mount", each.mount) for i, each in enumerate(job.outputs)]
    for field, path in (*read, *written):
        _same_for_all(job, field, path)
    _apart([*read, *written])
    for i, variant in enumerate(job.package.variants):
        where = f"package.variants[{i}].artefacts"
        _apart([*read, *((f"{where}[{k}].path", each.path) for k, each in enumerate(variant.artefacts))])


def _apart(paths: Sequence[tuple[str, str]]) -> None:
    """Refuse by its field a path that is not the task's, or lies within or around one before it."""
    taken: dict[PurePosixPath, str] = {}
    for field, path in paths:
        _relative(field, path)
        own = PurePosixPath(path)
        for other, name in taken.items():
            if own.is_relative_to(other) or other.is_relative_to(own):
                raise invalid_field(field, f"{path} and {name} overlap")
        taken[own] = path


def _relative(field: str, path: str) -> None:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\0" in path or len(path) > 255:
        raise invalid_field(field, f"{path[:80]!r} is not a path within the task's folder")


def _at_most(field: str, count: int, most: int) -> None:
    if count > most:
        raise invalid_field(field, f"has {count} entries, at most {most} are allowed")


def _within(field: str, value: int, low: int, high: int | None) -> None:
    if value < low or (high is not None and value > high):
        bounds = f"at least {low}" if high is None else f"within {low} to {high}"
        said = f"is missing, or 0: it has to be {bounds}" if value == 0 else f"{value} is not {bounds}"
        raise invalid_field(field, said)
