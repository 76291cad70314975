"""A task's control groups, as its shim uses them: files that it opens once, and reads whatever it unmounts later.

Standard library only.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_READ_BYTES_MAX = 1 << 18
_COUNT_BYTES_MAX = 4096
"""What the kernel says of one group in figures."""
_EVENTS = {"oom": "oom_kill", "pids": "max"}
"""By the file that counts: its word for a bound that was hit."""


class GroupFiles:
    """Those that the executor named in the task's spec.json; none where there are no control groups."""

    def __init__(self, spec: dict[str, Any]) -> None:
        """Raises OSError where the groups are not there."""
        self._join = [os.open(path, os.O_WRONLY | os.O_CLOEXEC) for path in spec["join"]]
        self._members = [os.open(os.path.dirname(path), _FOLDER) for path in spec["members"]]  # noqa: PTH120
        self._kill = [file for folder in self._members if (file := _open_kill(folder)) is not None]
        events = {name: spec[f"{name}_file"] for name in _EVENTS}
        if spec.get("queued"):
            events["oom"] = events["oom"] or oom_file_of(Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"))
        self._events = {name: _open(path) for name, path in events.items() if path}
        self._cpu = _open(spec["cpu_file"]) if spec["cpu_file"] else None
        peak = spec.get("peak_file", "")
        self._peak = _open(peak) if os.path.exists(peak) else None  # noqa: PTH110 - as all paths here
        self._cpu_ns = os.path.basename(spec["cpu_file"]) == "cpuacct.usage"  # noqa: PTH119 - version 1
        self._hits = {name: self._count(name) for name in _EVENTS}
        self._cpu_us_before = self._counted_cpu_us() or 0

    def enter(self) -> None:
        """Move this process, which has one thread, into them; nobody else waits for that. Raises OSError."""
        for file in self._join:
            os.write(file, b"0")

    def kill_all(self) -> bool:
        """Kill all in them at one blow, which no fork gets away from; False where the kernel has no such thing."""
        try:
            for file in self._kill:
                os.write(file, b"1")
        except OSError:
            return False
        return bool(self._kill)

    def members(self) -> set[int]:
        """Every process in them."""
        pids: set[int] = set()
        for folder in self._members:
            with contextlib.suppress(OSError):
                file = os.open("cgroup.procs", os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)  # one that is open goes stale
                try:
                    pids.update(map(int, _read(file).split()))
                finally:
                    os.close(file)
        return pids - {0}  # what is not of this namespace of processes

    def cpu_us(self) -> int | None:
        """Processor time of all that has been in them since this was made; None where nobody counts it.

        A group that is there already, left by one who was killed, has counted what ran in it before.
        """
        counted = self._counted_cpu_us()
        return None if counted is None else counted - self._cpu_us_before

    def hit(self, name: str) -> bool:
        """Whether the bound on memory, `oom`, or on processes, `pids`, was hit since this was made."""
        return self._count(name) > self._hits[name]

    def peak_bytes(self) -> int:
        """The most memory that has been in them; 0 where nobody counts it."""
        with contextlib.suppress(OSError, ValueError):
            return int(_read(self._peak, _COUNT_BYTES_MAX)) if self._peak is not None else 0
        return 0

    def _counted_cpu_us(self) -> int | None:
        if self._cpu is None:
            return None
        with contextlib.suppress(OSError, ValueError):
            text = _read(self._cpu, _COUNT_BYTES_MAX)
            if self._cpu_ns:
                return int(text) // 1000
            return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("usage_usec "))
        return None

    def _count(self, name: str) -> int:
        with contextlib.suppress(OSError, KeyError):
            for line in _read(self._events[name], _COUNT_BYTES_MAX).splitlines():
                if line.startswith(f"{_EVENTS[name]} "):
                    return int(line.split()[1])
        return 0


def oom_file_of(groups: Path, root: Path) -> str:
    """What counts whom the kernel has killed for memory in the groups that `groups` names, as of a pod or a Slurm job.

    Where the way to it is told from outside of a namespace, it is found at `root`. Empty where nobody counts them.
    """
    with contextlib.suppress(OSError):
        for line in groups.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and "memory" not in controllers.split(","):
                continue
            top, name = (root / "memory", "memory.oom_control") if controllers else (root, "memory.events")
            for folder in (top / path.lstrip("/"), top):
                if os.access(folder / name, os.R_OK):
                    return str(folder / name)
    return ""


def _open_kill(folder: int) -> int | None:
    """Version 2 has it since Linux 5.14."""
    try:
        return os.open("cgroup.kill", os.O_WRONLY | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return None


def _open(path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def _read(file: int, bytes_max: int = _READ_BYTES_MAX) -> str:
    return os.pread(file, bytes_max, 0).decode()
