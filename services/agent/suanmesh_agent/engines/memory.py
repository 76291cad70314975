"""An engine without processes, for a site on virtual time: what a task does is said by its command line.

    ("simulate", "seconds=90", "exit=3", "log=no luck", "write=out/sum:42", "cpu_milli=500", "stop_seconds=2")

All words are optional; with `queue=30` it waits so many seconds before it runs; `write` may come again; with `fails=2`
only the first two runs of a task have that exit status.
A task ends well at once where nothing else is said, or where its command is another that can be started: one relative
to its working folder only where the job has brought it. The same calls at the same times give the same events: nothing
is random, and time is the clock's.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from typing import Any

from suanmesh_agent.domain.cards import CardLook
from suanmesh_agent.domain.endings import FENCED
from suanmesh_agent.domain.log_view import HEAD_SHARE
from suanmesh_agent.domain.redaction import Redactor
from suanmesh_agent.domain.starts import STATUS_NOT_EXECUTABLE, STATUS_NOT_FOUND, UNSTARTABLE
from suanmesh_agent.domain.tasks import (
    LOG_BYTES_MAX,
    Capabilities,
    TaskEvent,
    TaskKey,
    TaskLook,
    TaskSpec,
    TaskState,
    Usage,
)
from suanmesh_agent.engines.events import Events
from suanmesh_agent.ports import TaskNotStarted
from suanmesh_content import FolderError, LeftOut
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.reasons import StateReason

SIMULATE = "simulate"
_KILLED = 137
_STATUS = {"CANCELLED": 143, "TIMED_OUT": 143}
"""What a task that heeds SIGTERM ends with."""


@dataclass(frozen=True, slots=True)
class Script:
    """What a task does."""

    seconds: float = 0.0
    """How long it runs, unless it is ended before."""
    exit: int = 0
    log: str = ""
    write: tuple[tuple[str, bytes], ...] = ()
    """Files it leaves, by their paths in its working folder."""
    cpu_milli: int = 1000
    """Processor time it takes, of each second."""
    stop_seconds: float = 0.0
    """How long it takes to end once it is asked to."""
    queue: float = 0.0
    """How many seconds it waits before it runs."""
    refuse: str = ""
    """Why it cannot be started."""


def script_of(spec: TaskSpec) -> Script:
    """As its command line says. Raises ValueError where that has a word that is none."""
    if spec.command[:1] != (SIMULATE,):
        return Script(exit=_start_status(spec))
    said: dict[str, Any] = {"write": ()}
    for word in spec.command[1:]:
        name, _, value = word.partition("=")
        if name == "write":
            path, _, content = value.partition(":")
            said["write"] = (*said["write"], (path, content.encode()))
        elif name in _WORDS:
            said[name] = _WORDS[name](value)
        else:
            raise ValueError(f"a simulated task knows no {name!r}")
    if spec.key.retry >= said.pop("fails", spec.key.retry + 1):
        said["exit"] = 0
    return Script(**said)


def _start_status(spec: TaskSpec) -> int:
    """What the start of a command comes to: 0, or why it cannot be. What lies outside the working folder is there."""
    path = PurePosixPath(spec.command[0])
    if path.is_absolute() or "/" not in spec.command[0]:
        return 0
    brought = next((each for each in spec.artefacts if PurePosixPath(each.path) == path), None)
    if brought is not None:
        return 0 if brought.executable else STATUS_NOT_EXECUTABLE
    inputs = [folder / path.relative_to(mount) for mount, folder in spec.inputs if path.is_relative_to(mount)]
    found = next((each for each in inputs if each.is_file()), None)
    return STATUS_NOT_FOUND if found is None else 0 if os.access(found, os.X_OK) else STATUS_NOT_EXECUTABLE


_WORDS: dict[str, Callable[[str], Any]] = {
    "seconds": float,
    "exit": int,
    "fails": int,
    "log": str,
    "cpu_milli": int,
    "stop_seconds": float,
    "queue": float,
    "refuse": str,
}


@dataclass(frozen=True, slots=True)
class MemoryFile:
    """`SourceFile`."""

    path: str
    content: bytes
    executable: bool = False
    link: str = ""
    folder: bool = False

    @property
    def size_bytes(self) -> int:
        """Its length."""
        return len(self.content)

    @property
    def disk_bytes(self) -> int:
        """There are no holes."""
        return len(self.content)

    def open(self) -> int:
        """A file of the system's that has no name."""
        handle = os.memfd_create("output", os.MFD_CLOEXEC)
        os.pwrite(handle, self.content, 0)
        return handle

    def share(self, place: object) -> bool:
        """It lies nowhere."""
        return False


@dataclass(frozen=True, slots=True)
class MemoryLog:
    """`TaskLog`."""

    content: bytes
    bound_bytes: int
    begun: datetime

    def read(self, offset: int, bytes_max: int) -> tuple[int, bytes]:
        """The beginning and the end of what was written, as much as is kept."""
        head, end = self.bound_bytes // HEAD_SHARE, len(self.content)
        tail = max(head, end - (self.bound_bytes - head)) if end > self.bound_bytes else 0
        if tail and offset < head:
            return offset, self.content[offset : min(head, offset + bytes_max)]
        begin = max(offset, tail)
        return begin, self.content[begin : begin + bytes_max]

    def times(self) -> list[tuple[int, int]]:
        """All is there from the start."""
        return [(0, round(self.begun.timestamp() * 1000))]


@dataclass(slots=True)
class _Task:
    spec: TaskSpec
    script: Script
    begin_s: float
    start_time: datetime
    end_s: float
    failure: str = ""
    begun: bool = True
    over: TaskLook | None = None


@dataclass(slots=True)
class MemoryEngine:
    """`Engine`. It stands for the host: an agent that comes back finds what it left in the same one."""

    clock: Clock
    walled: bool = True
    queues: bool = False
    """Whether it says that tasks may wait here; those do whose scripts say so."""
    permitted_until: Callable[[], float] = lambda: float("inf")
    """Until when the site may run tasks, of the monotonic clock; tasks end then with failure `FENCED`."""
    start_fault: str = ""
    acts: Callable[[TaskSpec], Script] = script_of
    """What a task does; raises ValueError where its command says nothing that can be done."""
    _tasks: dict[TaskKey, _Task] = field(default_factory=dict)
    _events: Events = field(default_factory=Events)
    _emptied: set[str] = field(default_factory=set)
    _dropped: set[TaskKey] = field(default_factory=set)
    _timer: asyncio.TimerHandle | None = None

    def capabilities(self) -> Capabilities:
        """As it was told."""
        return Capabilities(self.walled, queues=self.queues)

    def cards(self) -> tuple[CardLook, ...]:
        """It has none."""
        return ()

    async def submit(self, specs: Sequence[TaskSpec]) -> list[TaskNotStarted | None]:
        """Begin them now."""
        faults = [self._start(spec) for spec in specs]
        self.settle()
        return faults

    def _start(self, spec: TaskSpec) -> TaskNotStarted | None:
        if spec.key in self._tasks:
            return None
        try:
            script = self.acts(spec)
        except ValueError as fault:
            return TaskNotStarted(str(fault), by_job=True)
        if script.refuse:
            self.start_fault = script.refuse
            return TaskNotStarted(script.refuse)
        redactor = Redactor.of(str(spec.secrets) if spec.secrets else "")
        script = replace(script, log=(redactor.take(script.log.encode()) + redactor.rest()).decode())
        self.start_fault, begin_s = "", self.clock.monotonic() + script.queue
        begin = self.clock.now() + timedelta(seconds=script.queue)
        task = _Task(spec, script, begin_s, begin, begin_s + script.seconds, begun=not script.queue)
        if script.seconds > spec.max_duration_s:
            task.end_s, task.failure = begin_s + spec.max_duration_s, "TIMED_OUT"
        self._tasks[spec.key] = task
        self._events.publish(TaskEvent(spec.key, self._look(spec.key)))
        return None

    def settle(self) -> None:
        """Tell the end of every task whose time has come, the earliest first. Time that passes by itself calls it."""
        now_s, until_s = self.clock.monotonic(), self.permitted_until()
        running = [task for task in self._tasks.values() if task.over is None]
        for task in running:
            if not task.begun and task.begin_s <= now_s:
                task.begun = True
                self._events.publish(TaskEvent(task.spec.key, self._look(task.spec.key)))
        for task in sorted(running, key=lambda task: (task.end_s, task.spec.key)):
            if until_s <= now_s and until_s < task.end_s:
                task.end_s, task.failure = max(until_s, task.begin_s), FENCED
            if task.end_s <= now_s:
                self._end(task)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if ahead := [_next_s(task, until_s) for task in running if task.over is None]:
            self._timer = asyncio.get_running_loop().call_later(min(ahead) - now_s, self.settle)

    def _end(self, task: _Task) -> None:
        if not task.begun and task.failure == "CANCELLED":
            task.over = TaskLook(TaskState.ENDED, failure=task.failure)
            self._events.publish(TaskEvent(task.spec.key, task.over))
            return
        seconds = task.end_s - task.begin_s
        status, used = _STATUS.get(task.failure, _KILLED) if task.failure else task.script.exit, _usage(task, seconds)
        if not task.failure and task.spec.command[0] != SIMULATE:
            task.failure = UNSTARTABLE.get(status, "")
        end_time = task.start_time + timedelta(seconds=seconds)
        task.over = TaskLook(TaskState.ENDED, used, status, task.failure, task.start_time, end_time)
        self._events.publish(TaskEvent(task.spec.key, task.over))

    def lose(self, keys: Iterable[TaskKey]) -> None:
        """A part of the host has failed: nobody will ever know how these have ended."""
        for task in (self._tasks[key] for key in keys):
            if task.over is None:
                used = _usage(task, self.clock.monotonic() - task.begin_s)
                task.over = TaskLook(TaskState.LOST, used, start_time=task.start_time)
                self._events.publish(TaskEvent(task.spec.key, task.over))

    def watch(self, placement: str) -> AsyncGenerator[list[TaskEvent], None]:
        """As `Engine`."""

        async def begin() -> list[TaskEvent]:
            self.settle()
            return [TaskEvent(key, self._look(key)) for key in sorted(self._tasks) if key.placement == placement]

        return self._events.watch(placement, begin)

    async def inspect(self, keys: Sequence[TaskKey]) -> list[TaskLook]:
        """As `Engine`."""
        self.settle()
        return [self._look(key) for key in keys]

    async def cancel(self, keys: Sequence[TaskKey]) -> None:
        """Each ends after the time that its script says."""
        now_s = self.clock.monotonic()
        for task in (self._tasks[key] for key in keys if key in self._tasks):
            end_s = now_s + (task.script.stop_seconds if task.begun else 0.0)
            if task.over is None and end_s < task.end_s:
                task.end_s, task.failure = end_s, "CANCELLED"
        self.settle()

    def open_log(self, key: TaskKey) -> MemoryLog | None:
        """All of it is there from the start."""
        task = self._tasks.get(key)
        return (
            MemoryLog(task.script.log.encode(), task.spec.log_bytes or LOG_BYTES_MAX, task.start_time) if task else None
        )

    def collect(self, key: TaskKey, mount: str, left_out: LeftOut | None = None) -> Generator[MemoryFile, None, None]:
        """As `Engine`; all that a script writes is data."""
        task = self._tasks.get(key)
        below = f"{mount}/"
        found = [file for file in (task.script.write if task else ()) if file[0].startswith(below)]
        gone = key.placement in self._emptied or key in self._dropped
        if task is None or gone or not (found or mount in task.spec.outputs):
            raise FolderError("it is not a folder that can be read: nothing is there")
        for path, content in found:
            yield MemoryFile(path.removeprefix(below), content)

    def note(self, key: TaskKey, lines: Sequence[str]) -> None:
        """As `Engine`."""
        task = self._tasks.get(key)
        added = "".join(f"{line}\n" for line in lines)
        if task is not None and not task.script.log.endswith(added):
            task.script = replace(task.script, log=task.script.log + added)

    def forget_work(self, placement: str) -> None:
        """As `Engine`."""
        self._emptied.add(placement)

    def drop_work(self, keys: Sequence[TaskKey]) -> None:
        """As `Engine`."""
        self._dropped.update(keys)

    def forget(self, placement: str) -> None:
        """As `Engine`."""
        self._emptied.discard(placement)
        self._dropped = {key for key in self._dropped if key.placement != placement}
        self._tasks = {key: task for key, task in self._tasks.items() if key.placement != placement}

    def idle_placements(self) -> list[str]:
        """As `Engine`."""
        busy = {key.placement for key, task in self._tasks.items() if task.over is None}
        return [name for name in self._placements() if name not in busy and name not in self._emptied]

    def ended_placements(self) -> list[str]:
        """As `Engine`."""
        return [name for name in self._placements() if name in self._emptied]

    def _placements(self) -> list[str]:
        """The newest first."""
        return list(dict.fromkeys(key.placement for key in reversed(self._tasks)))

    def _look(self, key: TaskKey) -> TaskLook:
        task = self._tasks.get(key)
        if task is None:
            return TaskLook(TaskState.ABSENT)
        if task.over is not None:
            return task.over
        if not task.begun:
            return TaskLook(TaskState.QUEUED, waits_for=StateReason("QUEUE_RESOURCES", {"said": SIMULATE}))
        used = _usage(task, self.clock.monotonic() - task.begin_s)
        return TaskLook(TaskState.RUNNING, used, start_time=task.start_time)


def _next_s(task: _Task, until_s: float) -> float:
    """When something becomes of it."""
    return min(task.end_s, until_s) if task.begun else min(task.begin_s, task.end_s)


def _usage(task: _Task, seconds: float) -> Usage:
    return Usage(cpu_us=round(seconds * task.script.cpu_milli * 1000), elapsed_us=round(seconds * 1e6))
