"""The engine of a simulated site: the one in memory, with a note of all that ran on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from chaos.facts import Run

from scenario.virtual_time import LoopClock
from suanmesh_agent.domain.tasks import TaskKey, TaskSpec
from suanmesh_agent.engines.memory import SIMULATE, MemoryEngine, _Task
from suanmesh_agent.ports import TaskNotStarted
from suanmesh_kernel.clock import Clock

LIE_CPU_MILLI = 100_000
"""What a task of a site that lies says that it takes, 1/1000 of a core."""


class NotingEngine(MemoryEngine):
    """It outlives the agents of its site, as the host does."""

    def __init__(self, site: str, clock: Clock, permitted_until: Callable[[], float], *, lies: bool) -> None:
        super().__init__(clock, permitted_until=permitted_until)
        self.runs: dict[TaskKey, Run] = {}
        self._site = site
        self._lies = lies

    def running(self) -> list[TaskKey]:
        """Tasks that run now."""
        return [key for key, task in self._tasks.items() if task.over is None]

    def _start(self, spec: TaskSpec) -> TaskNotStarted | None:
        if self._lies and spec.command[:1] == (SIMULATE,):
            spec = replace(spec, command=(*spec.command, f"cpu_milli={LIE_CPU_MILLI}"))
        known = self.runs.get(spec.key)
        begins = known.begins + 1 if known and spec.key not in self._tasks else 1
        fault = super()._start(spec)
        if fault is None and (known is None or begins > 1):
            now = self.clock.monotonic()
            name = f"placements/{spec.key.placement}"
            wall = LoopClock().now().timestamp()
            self.runs[spec.key] = Run(name, spec.key.index, self._site, now, now, wall, begins)
        return fault

    def _end(self, task: _Task) -> None:
        super()._end(task)
        run = self.runs[task.spec.key]
        self.runs[task.spec.key] = replace(run, last=task.end_s)
