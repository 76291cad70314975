"""Tasks as an engine sees them: what to run, within which bounds, and how it stands."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path

from suanmesh_kernel.cards import DeviceAsk
from suanmesh_kernel.reasons import NO_REASON, StateReason

LOG_BYTES_MAX = 8 * 1024 * 1024
"""What is kept of one task's log where nothing else is set; of a longer one, the beginning and the end."""

SCRATCH_BYTES_UNASKED = 1 << 30
"""Scratch of a task that asked for none: every program writes a little."""
PROCESSES_MAX = 1024
"""Processes and threads a task may have at a time."""
SETUP_INDEX = -1
"""Stands for the setup of a placement, which runs before its tasks and is none of them."""
SETUP_NAME = "setup"
SETUP_MOUNT = ".suanmesh-setup"
"""Folder that a task finds what the setup made in, relative to its working folder; the setup makes it there."""
SETUP_PYTHON = "python"
"""Folder in it for packages of Python."""
SECRETS_MOUNT = ".suanmesh-secrets"
"""Folder that a task finds its secrets in, relative to its working folder."""
USERS_FIRST, USERS_COUNT = 1_900_000_000, 65_536
"""User ids for tasks: above those of people, of services, of containers and of subordinate users."""
USER_ID_MIN, USER_ID_MAX = 65_536, (1 << 31) - 1
"""Below are the users that people and distributions give; above, programs take ids for negative numbers."""


@dataclass(frozen=True, slots=True)
class UserRange:
    """User ids that belong to tasks and nobody else."""

    first: int = USERS_FIRST
    count: int = USERS_COUNT

    @property
    def last(self) -> int:
        """The highest."""
        return self.first + self.count - 1

    def clash(self, others: Iterable[tuple[str, int, int]]) -> str:
        """Why it cannot be used; empty where it can. `others` are name, first and last id of what is given out."""
        if self.count < 1:
            return "it is empty"
        if self.first < USER_ID_MIN or self.last > USER_ID_MAX:
            return f"it does not lie between {USER_ID_MIN} and {USER_ID_MAX}"
        for name, first, last in others:
            if first <= self.last and self.first <= last:
                return f"{name} has {first}" if first == last else f"{name} has {first} to {last}"
        return ""


@dataclass(frozen=True, slots=True, order=True)
class TaskKey:
    """One run of one task of one placement."""

    placement: str
    index: int
    retry: int = 0
    """How often it was run before."""

    @property
    def name(self) -> str:
        """What tells it from the others of its placement."""
        if self.index == SETUP_INDEX:
            return SETUP_NAME
        return f"{self.index}.{self.retry}" if self.retry else str(self.index)

    def again(self) -> TaskKey:
        """The next run of the same task."""
        return TaskKey(self.placement, self.index, self.retry + 1)


def setup_key(placement: str) -> TaskKey:
    """The setup of a placement."""
    return TaskKey(placement, SETUP_INDEX)


def key_of(placement: str, name: str) -> TaskKey | None:
    """The run of that name; None where it is the name of none."""
    if name == SETUP_NAME:
        return setup_key(placement)
    index, dot, retry = name.partition(".")
    if not index.isdecimal() or (dot and not retry.isdecimal()):
        return None
    return TaskKey(placement, int(index), int(retry or 0))


@dataclass(frozen=True, slots=True)
class Artefact:
    """A small file that the job brings. Its path is relative to the task's working folder."""

    path: str
    content: bytes
    executable: bool = False


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """What to run. Paths of `artefacts`, `inputs` and `outputs` are relative to the task's working folder."""

    key: TaskKey
    command: tuple[str, ...]
    artefacts: tuple[Artefact, ...] = ()
    inputs: tuple[tuple[str, Path], ...] = ()
    outputs: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    """What the site tells the task, by name."""
    variables: tuple[tuple[str, str], ...] = ()
    """What the job tells it. It may steer the loader: nothing outside the task's walls may be started with it."""
    setup: Path | None = None
    """Folder of what the setup has made, which it finds in `SETUP_MOUNT`; None for none."""
    secrets: Path | None = None
    """Folder in memory of the files that it finds in `SECRETS_MOUNT`; None for none."""
    secret_variables: tuple[tuple[str, str], ...] = ()
    """Variables with the names of the files whose content they have."""
    cpu_milli: int = 0
    memory_bytes: int = 0
    scratch_bytes: int = 0
    devices: tuple[DeviceAsk, ...] = ()
    """Cards it is given; where the site's are declared and there are none, nothing stands behind them."""
    max_duration_s: int = 3600
    log_bytes: int = 0
    """What is kept of its log; 0 for as much as the engine keeps."""


class TaskState(Enum):
    """Where a task stands."""

    ABSENT = "absent"
    QUEUED = "queued"
    """The engine has taken it and nothing of it runs yet."""
    RUNNING = "running"
    ENDED = "ended"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Usage:
    """What a task has used since its start."""

    cpu_us: int = 0
    elapsed_us: int = 0


@dataclass(frozen=True, slots=True)
class TaskLook:
    """How a task stands at one moment. `exit_status` is 128 + signal where a signal ended it.

    One that has never run has neither it nor a `start_time`, also where it is over.
    """

    state: TaskState
    usage: Usage = Usage()
    exit_status: int | None = None
    failure: str = ""
    start_time: datetime | None = None
    end_time: datetime | None = None
    waits_for: StateReason = NO_REASON
    """What keeps it from running, where it is queued."""
    memory_bytes: int = 0
    """What it held when it was ended for that, as far as somebody has counted it."""

    @property
    def over(self) -> bool:
        """Whether it will not change any more."""
        return self.state in (TaskState.ENDED, TaskState.LOST)

    @property
    def succeeded(self) -> bool:
        """Whether it ended by itself with status 0."""
        return self.state is TaskState.ENDED and self.exit_status == 0 and not self.failure


@dataclass(frozen=True, slots=True)
class TaskEvent:
    """A task has come to stand so."""

    key: TaskKey
    look: TaskLook


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an engine can do for tasks."""

    walled: bool
    """Whether a task sees nothing of its host but what is its own."""
    queues: bool = False
    """Whether tasks may wait in a queue of its own."""
    keeps_secrets: bool = True
    """Whether a task's secrets reach nobody else at the site."""
    as_root: bool = False
    """Whether a task is the superuser of its host."""
