"""A control group of its own for each task, where the agent runs as root: cgroup v1 or v2."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

_V1_CONTROLLERS = ("cpu", "cpuacct", "memory", "pids")
_V2_CONTROLLERS = ("cpu", "memory", "pids")
_PERIOD_US = 100_000
_LEAST_QUOTA_US = 1_000
_PARENT = "suanmesh"


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a task may use; 0 is no bound."""

    cpu_milli: int = 0
    memory_bytes: int = 0
    processes: int = 0

    @property
    def quota_us(self) -> int:
        """Processor time within one period of the kernel's."""
        return max(_LEAST_QUOTA_US, self.cpu_milli * _PERIOD_US // 1000)


@dataclass(frozen=True, slots=True)
class CgroupFiles:
    """What the shim needs of a task's groups: where to enter, where to read."""

    join: tuple[str, ...]
    """Files that a process writes `0` to."""
    members: tuple[str, ...]
    """Files that name the processes in it."""
    cpu_file: str
    oom_file: str
    pids_file: str
    peak_file: str
    """The most memory that the group has had; where the kernel is too old to tell, it is not there."""


class Hierarchy(Protocol):
    """One version of control groups below a root."""

    def make(self, group: str, bounds: Bounds) -> CgroupFiles:
        """Make the group with its bounds; making it again changes nothing. Raises OSError."""

    def folders(self, group: str) -> Iterator[Path]:
        """Its folders."""


class Cgroups:
    """Groups `suanmesh/<site>/<task>`."""

    def __init__(self, site: str, root: Path = Path("/sys/fs/cgroup")) -> None:
        self._site = site
        self._hierarchy: Hierarchy = CgroupV2(root) if (root / "cgroup.controllers").exists() else CgroupV1(root)

    def usable(self) -> bool:
        """Whether groups can be made here; found out by making one."""
        try:
            self.make("probe", Bounds(1000, 1 << 20, 1))
        except OSError:
            for group in (f"{_PARENT}/{self._site}/probe", f"{_PARENT}/{self._site}", _PARENT):
                self._remove(group)
            return False
        self.remove("probe")
        return True

    def make(self, task: str, bounds: Bounds) -> CgroupFiles:
        """Make the task's groups with their bounds. Raises OSError."""
        return self._hierarchy.make(f"{_PARENT}/{self._site}/{task}", bounds)

    def remove(self, task: str) -> None:
        """Remove the groups of a task that has ended; a group that is not empty yet stays."""
        self._remove(f"{_PARENT}/{self._site}/{task}")

    def _remove(self, group: str) -> None:
        for folder in self._hierarchy.folders(group):
            with contextlib.suppress(OSError):
                folder.rmdir()


class CgroupV1:
    """One hierarchy a controller."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def make(self, group: str, bounds: Bounds) -> CgroupFiles:
        """As `Hierarchy`."""
        cpu, cpuacct, memory, pids = self.folders(group)
        for controller, folder in zip(_V1_CONTROLLERS, (cpu, cpuacct, memory, pids), strict=True):
            if not (self._root / controller / "cgroup.procs").exists():
                raise FileNotFoundError(f"no controller {controller} at {self._root}")
            folder.mkdir(parents=True, exist_ok=True)
        if bounds.cpu_milli:
            (cpu / "cpu.cfs_quota_us").write_text(str(bounds.quota_us))
        if bounds.memory_bytes:
            (memory / "memory.limit_in_bytes").write_text(str(bounds.memory_bytes))
            if (memory / "memory.memsw.limit_in_bytes").exists():  # memory and swap together
                (memory / "memory.memsw.limit_in_bytes").write_text(str(bounds.memory_bytes))
        if bounds.processes:
            (pids / "pids.max").write_text(str(bounds.processes))
        return CgroupFiles(
            # `tasks` moves one thread, and so need not keep every process of the host from forking meanwhile.
            join=tuple(str(folder / "tasks") for folder in (cpu, cpuacct, memory, pids)),
            members=tuple(str(folder / "cgroup.procs") for folder in (cpu, cpuacct, memory, pids)),
            cpu_file=str(cpuacct / "cpuacct.usage"),
            oom_file=str(memory / "memory.oom_control"),
            pids_file=str(pids / "pids.events"),
            peak_file=str(memory / "memory.max_usage_in_bytes"),
        )

    def folders(self, group: str) -> Iterator[Path]:
        """As `Hierarchy`."""
        return (self._root / controller / group for controller in _V1_CONTROLLERS)


class CgroupV2:
    """One hierarchy for all controllers; each level hands them down to the next, and has no process of its own.

    It begins at the root, not at the group of the agent's unit: tasks outlive the agent, and a unit whose group hands
    controllers down cannot be started again, since no process may be put into that group.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def make(self, group: str, bounds: Bounds) -> CgroupFiles:
        """As `Hierarchy`."""
        (folder,) = self.folders(group)
        folder.mkdir(parents=True, exist_ok=True)
        for level in reversed(folder.relative_to(self._root).parents):
            self._hand_down(self._root / level)
        if bounds.cpu_milli:
            (folder / "cpu.max").write_text(f"{bounds.quota_us} {_PERIOD_US}")
        if bounds.memory_bytes:
            (folder / "memory.max").write_text(str(bounds.memory_bytes))
            if (folder / "memory.swap.max").exists():
                (folder / "memory.swap.max").write_text("0")
            if (folder / "memory.oom.group").exists():  # a task of which the kernel takes a part is none any more
                (folder / "memory.oom.group").write_text("1")
        if bounds.processes:
            (folder / "pids.max").write_text(str(bounds.processes))
        return CgroupFiles(
            join=(str(folder / "cgroup.procs"),),
            members=(str(folder / "cgroup.procs"),),
            cpu_file=str(folder / "cpu.stat"),
            oom_file=str(folder / "memory.events"),
            pids_file=str(folder / "pids.events"),
            peak_file=str(folder / "memory.peak"),
        )

    def folders(self, group: str) -> Iterator[Path]:
        """As `Hierarchy`."""
        return iter((self._root / group,))

    def _hand_down(self, level: Path) -> None:
        enabled = (level / "cgroup.subtree_control").read_text().split()
        if missing := [f"+{name}" for name in _V2_CONTROLLERS if name not in enabled]:
            (level / "cgroup.subtree_control").write_text(" ".join(missing))
