"""A control group of its own for each task, where the agent runs as root on cgroup v1."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

_CONTROLLERS = ("cpu", "cpuacct", "memory")
_PERIOD_US = 100_000
_LEAST_QUOTA_US = 1_000


@dataclass(frozen=True, slots=True)
class Fence:
    """What the shim needs of a task's groups: where to enter, where to read."""

    join: tuple[str, ...]
    cpu_file: str
    oom_file: str


class Cgroups:
    """Groups `suanmesh/<site>/<task>` under each controller."""

    def __init__(self, site: str, root: Path = Path("/sys/fs/cgroup")) -> None:
        self._site = site
        self._root = root

    def usable(self) -> bool:
        """Whether groups can be made here; found out by making one."""
        if not (self._root / "cpuacct" / "cpuacct.usage").exists():
            return False
        try:
            self.make("probe", cpu_milli=0, memory_bytes=0)
            self.remove("probe")
        except OSError:
            return False
        return True

    def make(self, task: str, *, cpu_milli: int, memory_bytes: int) -> Fence:
        """Make the task's groups with their bounds; 0 is no bound. Making them again changes nothing."""
        for controller in _CONTROLLERS:
            self._folder(controller, task).mkdir(parents=True, exist_ok=True)
        if cpu_milli:
            quota_us = max(_LEAST_QUOTA_US, cpu_milli * _PERIOD_US // 1000)
            (self._folder("cpu", task) / "cpu.cfs_quota_us").write_text(str(quota_us))
        if memory_bytes:
            (self._folder("memory", task) / "memory.limit_in_bytes").write_text(str(memory_bytes))
        return Fence(
            join=tuple(str(self._folder(controller, task) / "cgroup.procs") for controller in _CONTROLLERS),
            cpu_file=str(self._folder("cpuacct", task) / "cpuacct.usage"),
            oom_file=str(self._folder("memory", task) / "memory.oom_control"),
        )

    def remove(self, task: str) -> None:
        """Remove the groups of a task that has ended; a group that is not empty yet stays."""
        for controller in _CONTROLLERS:
            with contextlib.suppress(OSError):
                self._folder(controller, task).rmdir()

    def _folder(self, controller: str, task: str) -> Path:
        return self._root / controller / "suanmesh" / self._site / task
