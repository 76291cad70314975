"""What is to be run, as a program says it; the contract is `suanmesh.scheduler.v1.Job`, which the mesh checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import product
from pathlib import Path
from typing import TypeVar

from google.protobuf.timestamp_pb2 import Timestamp

from suanmesh.scheduler.v1 import job_pb2
from suanmesh_client.texts import refusal
from suanmesh_kernel.refusals import InvalidArgument
from suanmesh_kernel.texts import Text
from suanmesh_sdk.commands import words_of
from suanmesh_sdk.parameters import parameter_of
from suanmesh_sdk.workdir import WHEELS, unpack

MIB = 1 << 20
GIB = 1 << 30
MICROS = 1_000_000
S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Input:
    """A dataset that tasks find in their folder `mount`."""

    dataset: str
    """With or without `datasets/` before it; `digits@2` is one version."""
    mount: str


@dataclass(frozen=True, slots=True)
class Output:
    """What tasks leave in their folder `mount`: it becomes the dataset `{job}-{output_id}`."""

    output_id: str
    mount: str = ""
    """As `output_id` where it is not said."""
    deliver_to: str = ""
    """The site it is to be brought to, with or without `sites/` before it; it stays where it was made otherwise."""
    max_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Secret:
    """Something that only the tasks are to know; they find it as a file in the folder `SUANMESH_SECRETS`."""

    value: bytes | str | Path = field(repr=False)
    """It, or the file that has it."""
    variable: str = ""
    """Variable of the environment that has it too; it is text then."""

    def read(self) -> bytes:
        """The value. Raises OSError where its file cannot be read."""
        if isinstance(self.value, Path):
            return self.value.expanduser().read_bytes()
        return self.value.encode() if isinstance(self.value, str) else self.value


@dataclass(frozen=True, slots=True)
class Retry:
    """When a task that fails is run again by itself: the others do not notice."""

    times: int
    """How often at most, up to 10."""
    backoff: timedelta = timedelta(0)
    """How long to wait before the first time; each next wait is twice as long."""
    exit_statuses: Sequence[int] = ()
    """Only after these; empty for any failure."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What a site makes ready once, before the tasks, in a sandbox without network."""

    python: Sequence[str] = ()
    """Packages of Python, such as `numpy==2.1`: from `wheels`, or the mirror of the site."""
    run: Sequence[str] = ()
    """Lines for the shell, which keep what they make in `SUANMESH_SETUP`."""
    wheels: Path | str | None = None
    """A folder of wheels that is brought when the job is submitted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job: one command, run `tasks` times over, each with its parameters."""

    command: Sequence[str] | str
    """Words, run as they are, or a line: one that asks for a shell, by a pipe or `$NAME`, is run by `/bin/sh -e`."""
    runtime: str = "python3"
    architecture: str = ""
    files: Mapping[str, bytes | Path] = field(default_factory=dict)
    """Small files the tasks find in their working folder: content, or where it is read; together 5 KiB."""
    workdir: Path | str | None = None
    """A folder of any size that each task finds a copy of in its working folder, but for what `.suanignore` in it
    leaves out; it is brought when the job is submitted, and what has not changed is not sent again."""
    setup: Setup | None = None
    """What is made ready once at the site, before the tasks."""
    cores: float | Decimal = 1
    """Of each task."""
    memory_bytes: int = GIB
    scratch_bytes: int = 0
    tasks: int = 0
    """As many as `parameters` have values where it is 0, else one."""
    parameters: Mapping[str, Sequence[object]] = field(default_factory=dict)
    """By name the values of all tasks, as `sweep` makes them; tasks read `SUANMESH_PARAM_{NAME}`, in capitals."""
    result_folder: str = ""
    """Name of each task's folder within a dataset, such as `lr={lr}`, also of `{task}`, `{job}` and `{attempt}`;
    `task-{task}` where it is not said."""
    keep_going: bool = False
    """Whether the other tasks go on where one fails."""
    attempts: int = 1
    retry: Retry | int | None = None
    """Whether a task that fails is run again, at its site, or how often; `attempts` is for what a site has lost."""
    max_duration: timedelta = timedelta(hours=1)
    environment: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    """By name. They go sealed: nothing that tells of the job has them, and another job asks for them again."""
    inputs: Sequence[Input] = ()
    outputs: Sequence[Output] = ()
    account: str = ""
    """Who pays; the context's account where it is not said."""
    budget: Decimal | float | None = None
    """The most it may cost, in the account's currency."""
    deadline: datetime | None = None
    """With a time zone; the job fails when it has not ended by then."""
    allow_sites: Sequence[str] = ()
    deny_sites: Sequence[str] = ()
    residency: Sequence[str] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    display_name: str = ""
    priority: int = 0
    queue: str = ""


def sweep(**values: Sequence[object]) -> dict[str, list[object]]:
    """Parameters of a job that tries every combination; the last one changes fastest.

    `sweep(lr=[0.1, 0.01], seed=range(3))` are six tasks.
    """
    rows = list(product(*(_several(name, each) for name, each in values.items())))
    return {name: [row[index] for row in rows] for index, name in enumerate(values)}


def to_message(job: Job, *, account: str = "") -> job_pb2.Job:
    """The contract's job. `account` pays where the job names none. `workdir` and wheels are still to be brought.

    Raises InvalidArgument (`FIELD_INVALID`) for what no message can carry; OSError where a file cannot be read.
    """
    try:
        return _message(job, account)
    except ValueError as fault:  # of a number that is out of range, or a text that is none
        said = Text(f"no message can carry this job: {fault}", f"作业中有消息无法承载的值：{fault}")
        raise refusal(InvalidArgument, "FIELD_INVALID", said, field="job") from fault


def _message(job: Job, account: str) -> job_pb2.Job:
    message = job_pb2.Job(
        account=_full("accounts", job.account or account),
        display_name=job.display_name,
        max_duration_s=_whole("max_duration", Decimal(str(job.max_duration.total_seconds()))),
        max_attempts=job.attempts,
        labels={name: str(value) for name, value in job.labels.items()},
        environment={name: str(value) for name, value in job.environment.items()},
        priority=job.priority,
        queue=job.queue,
    )
    message.ask.cpu_milli = _whole("cores", Decimal(str(job.cores)) * 1000)
    message.ask.memory_bytes, message.ask.scratch_bytes = job.memory_bytes, job.scratch_bytes
    variant = message.package.variants.add(
        runtime=job.runtime, architecture=job.architecture, command=_command(job.command)
    )
    for path, content in job.files.items():
        executable = isinstance(content, Path) and bool(content.stat().st_mode & 0o100)
        read = content.read_bytes() if isinstance(content, Path) else content
        variant.artefacts.add(path=path, content=read, executable=executable)
    _tasks(message.task, job)
    for name, secret in job.secrets.items():
        message.secrets.add(name=name, variable=secret.variable)
    for each in job.inputs:
        message.inputs.add(dataset=_full("datasets", each.dataset), mount=each.mount)
    for out in job.outputs:
        message.outputs.add(
            output_id=out.output_id,
            mount=out.mount or out.output_id,
            deliver_to=_full("sites", out.deliver_to),
            max_bytes=out.max_bytes,
        )
    _constrain(message.constraints, job)
    if job.setup is not None:
        message.setup.python.extend(_several("setup.python", job.setup.python))
        message.setup.run.extend(_several("setup.run", job.setup.run))
        message.setup.wheels = WHEELS if job.setup.wheels is not None else ""
        message.setup.SetInParent()
    if job.workdir is not None:
        unpack(message)
    return message


def _tasks(task: job_pb2.TaskSpec, job: Job) -> None:
    counts = {len(_several(f"parameters.{name}", values)) for name, values in job.parameters.items()}
    if 0 in counts or len(counts | ({job.tasks} if job.tasks else set())) > 1:
        said = Text(
            "every parameter needs one value for each task",
            "每个参数都须为每个任务给出一个值",
        )
        raise refusal(InvalidArgument, "FIELD_INVALID", said, field="parameters")
    task.count = job.tasks or next(iter(counts), 1)
    task.on_failure = job_pb2.TaskSpec.ON_FAILURE_KEEP_GOING if job.keep_going else job_pb2.TaskSpec.ON_FAILURE_STOP_ALL
    task.result_folder = job.result_folder
    if job.retry is not None:
        retry = Retry(job.retry) if isinstance(job.retry, int) else job.retry
        task.retry.times = retry.times
        task.retry.backoff_s = _whole("retry.backoff", Decimal(str(retry.backoff.total_seconds())))
        task.retry.exit_statuses.extend(retry.exit_statuses)
    for name, values in job.parameters.items():
        task.parameters.append(parameter_of(name.upper(), [str(value) for value in values]))


def _constrain(constraints: job_pb2.Constraints, job: Job) -> None:
    for name, sites in (("allow_sites", job.allow_sites), ("deny_sites", job.deny_sites)):
        getattr(constraints, name).extend(_full("sites", site) for site in _several(name, sites))
    constraints.residency.extend(_several("residency", job.residency))
    if job.budget is not None:
        constraints.budget_micros = _whole("budget", Decimal(str(job.budget)) * MICROS)
    if job.deadline is not None:
        if job.deadline.tzinfo is None:
            said = Text("a deadline needs a time zone", "截止时间须带时区")
            raise refusal(InvalidArgument, "FIELD_INVALID", said, field="deadline")
        stamp = Timestamp()
        stamp.FromDatetime(job.deadline)
        constraints.deadline.CopyFrom(stamp)


def _command(command: Sequence[str] | str) -> list[str]:
    """Its words. Raises InvalidArgument."""
    if not isinstance(command, str):
        return [str(word) for word in command]
    try:
        return words_of(command)
    except ValueError as fault:
        said = Text(f"command: cannot be split: {fault}", f"command：无法拆分：{fault}")
        raise refusal(InvalidArgument, "FIELD_INVALID", said, field="command") from fault


def _full(collection: str, name: str) -> str:
    """`sites/x` for `x`; nothing for nothing."""
    return f"{collection}/{name}" if name and "/" not in name else name


def _several(field: str, values: Sequence[S]) -> Sequence[S]:
    """The same, but a text is no sequence of its letters. Raises InvalidArgument."""
    if isinstance(values, str | bytes):
        said = Text(f"{field}: a list is expected, such as [{values!r}]", f"{field}：此处应为列表，如 [{values!r}]")
        raise refusal(InvalidArgument, "FIELD_INVALID", said, field=field)
    return values


def _whole(name: str, value: Decimal) -> int:
    """What the contract counts in whole units must be some."""
    if not value.is_finite() or value != int(value):
        said = Text(f"{name}: finer than the mesh counts", f"{name}：比算网的计量单位更细")
        raise refusal(InvalidArgument, "FIELD_INVALID", said, field=name)
    return int(value)
