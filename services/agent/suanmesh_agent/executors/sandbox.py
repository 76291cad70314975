"""The sandbox of a task: bubblewrap with nothing but the system, the engine, and the task's own folders."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

INSIDE = "/task"
"""Where a sandboxed task finds its working folder."""

_PROBE_S = 10
_SYSTEM = ("bin", "sbin", "lib", "lib32", "lib64")
_ETC = ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "localtime", "passwd", "group", "nsswitch.conf")


@dataclass(frozen=True, slots=True)
class Sandbox:
    """bubblewrap at `program`; `engine_folders` are the interpreters' folders a task may read besides the system's."""

    program: str
    engine_folders: tuple[Path, ...]

    def usable(self) -> bool:
        """Whether it can make a sandbox here; found out by making one."""
        probe = [self.program, *self._walls(), "/usr/bin/env", "true"]
        try:
            return subprocess.run(probe, capture_output=True, timeout=_PROBE_S, check=False).returncode == 0
        except (OSError, subprocess.TimeoutExpired):
            return False

    def wrapped(self, command: Iterable[str], work: Path, inputs: Iterable[tuple[str, Path]]) -> list[str]:
        """The command line that runs `command` inside, `work` writable, each input read-only at its mount."""
        mounts: list[str] = ["--bind", str(work), INSIDE]
        for mount, folder in inputs:
            mounts += ["--ro-bind", str(folder), f"{INSIDE}/{mount}"]
        return [self.program, *self._walls(), *mounts, "--chdir", INSIDE, "--", *command]

    def _walls(self) -> list[str]:
        walls = ["--unshare-all", "--uid", "1000", "--gid", "1000", "--die-with-parent", "--new-session"]
        walls += ["--ro-bind", "/usr", "/usr", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]
        for name in _SYSTEM:
            path = Path("/", name)
            if path.is_symlink():
                walls += ["--symlink", str(path.readlink()), str(path)]
            elif path.is_dir():
                walls += ["--ro-bind", str(path), str(path)]
        for name in _ETC:
            walls += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
        for folder in self.engine_folders:
            walls += ["--ro-bind", str(folder), str(folder)]
        return walls


def engine_folders(prefix: Path) -> tuple[Path, ...]:
    """Folders an interpreter at `prefix` needs: its own, and the one it was made from."""
    program = (prefix / "bin" / "python3").resolve()
    base = program.parent.parent
    return (prefix,) if base.is_relative_to(prefix) or base == Path("/usr") else (prefix, base)
