"""An executor in memory: tasks that last as long as their command says, on the time of the loop."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from suanmesh_agent.domain.endings import FENCED
from suanmesh_agent.domain.tasks import TaskKey, TaskLook, TaskSpec, TaskState, Usage
from suanmesh_kernel.clock import Clock

PERMISSION_LOOK_S = 0.5
STOPPED, TIMED_OUT = "CANCELLED", "TIMED_OUT"


@dataclass(slots=True)
class Task:
    """One task that was started."""

    spec: TaskSpec
    begin: datetime
    begin_s: float
    ends: list[asyncio.TimerHandle]
    over: asyncio.Event = field(default_factory=asyncio.Event)
    end: datetime | None = None
    end_s: float = 0.0
    exit_status: int | None = None
    failure: str = ""


class MemoryExecutor:
    """`SiteExecutor` of one site. It outlives the agents of the site; one begins anew with it, as with processes.

    A command is `["python3", "-c", "<seconds> <exit status>"]`: it takes so many seconds of its processor time.
    """

    walled = True
    start_fault = ""

    def __init__(self, folder: Path, clock: Clock, permitted: Callable[[], bool]) -> None:
        """Outputs lie under `folder`; `permitted` says whether the site may run tasks now."""
        self._folder = folder
        self._clock = clock
        self._permitted = permitted
        self.tasks: dict[TaskKey, Task] = {}
        self._work: dict[str, None] = {}
        self._ended: dict[str, None] = {}
        self._watch: asyncio.TimerHandle | None = None

    async def start(self, spec: TaskSpec) -> None:
        """Begin it, unless it has begun before."""
        if spec.key in self.tasks:
            return
        seconds, status = spec.command[-1].split()
        loop = asyncio.get_running_loop()
        task = Task(spec, self._clock.now(), self._clock.monotonic(), [])
        task.ends = [
            loop.call_later(float(seconds), self._end, task, int(status), ""),
            loop.call_later(spec.max_duration_s, self._end, task, None, TIMED_OUT),
        ]
        self.tasks[spec.key] = task
        self._work[spec.key.placement] = None
        for mount in spec.outputs:
            place = self._place(spec.key, mount)
            place.mkdir(parents=True, exist_ok=True)
            (place / "result").write_text(f"{spec.key.placement} {spec.key.index}\n")
        self._heed_permission()

    def look(self, key: TaskKey) -> TaskLook:
        """How it stands now."""
        task = self.tasks.get(key)
        if task is None:
            return TaskLook(TaskState.ABSENT)
        lasted_us = int(((task.end_s if task.end else self._clock.monotonic()) - task.begin_s) * 1e6)
        usage = Usage(lasted_us * task.spec.cpu_milli // 1000, lasted_us)
        state = TaskState.ENDED if task.end else TaskState.RUNNING
        return TaskLook(state, usage, task.exit_status, task.failure, task.begin, task.end)

    async def over(self, key: TaskKey) -> TaskLook:
        """Wait for its end."""
        if task := self.tasks.get(key):
            await task.over.wait()
        return self.look(key)

    def stop(self, key: TaskKey) -> None:
        """End it now."""
        if task := self.tasks.get(key):
            self._end(task, 143, STOPPED)

    def output(self, key: TaskKey, mount: str) -> Path:
        """Where its outputs lie."""
        return self._place(key, mount)

    def read_log(self, key: TaskKey, offset: int, max_bytes: int) -> tuple[int, bytes]:
        """Nothing was written."""
        return offset, b""

    def has_log(self, key: TaskKey) -> bool:
        """Whether it has ever been started."""
        return key in self.tasks

    def forget_work(self, placement: str) -> None:
        """Drop its outputs."""
        shutil.rmtree(self._folder / placement, ignore_errors=True)
        if self._work.pop(placement, 0) is None:
            self._ended[placement] = None

    def idle_placements(self) -> list[str]:
        """Those with outputs whose tasks have all ended."""
        running = {key.placement for key in self.running()}
        return [each for each in self._work if each not in running]

    def ended_placements(self) -> list[str]:
        """Those without, the newest first."""
        return list(reversed(self._ended))

    def forget(self, placement: str) -> None:
        """Drop all of it but that it was there, which the books are kept by."""
        self._ended.pop(placement, None)

    def running(self) -> list[TaskKey]:
        """Tasks that run now."""
        return [key for key, task in self.tasks.items() if task.end is None]

    def close(self) -> None:
        """Nothing: what runs goes on."""

    def _end(self, task: Task, exit_status: int | None, failure: str) -> None:
        if task.end is not None:
            return
        task.end, task.end_s = self._clock.now(), self._clock.monotonic()
        task.exit_status, task.failure = exit_status, failure
        for timer in task.ends:
            timer.cancel()
        task.over.set()

    def _heed_permission(self) -> None:
        if self._watch is None:
            self._watch = asyncio.get_running_loop().call_later(PERMISSION_LOOK_S, self._look_at_permission)

    def _look_at_permission(self) -> None:
        """As shims do: end what runs when the site may run nothing more."""
        self._watch = None
        running = self.running()
        if running and not self._permitted():
            for key in running:
                self._end(self.tasks[key], 143, FENCED)
        elif running:
            self._heed_permission()

    def _place(self, key: TaskKey, mount: str) -> Path:
        return self._folder / key.placement / str(key.index) / mount
