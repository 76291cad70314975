"""The sandbox of a task without root: bubblewrap with nothing but the system, the runtimes, and the task's folders."""

from __future__ import annotations

import functools
import shlex
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from suanmesh_agent.engines.process import seccomp
from suanmesh_agent.engines.process.shim import SECCOMP_FD
from suanmesh_agent.engines.process.walls import ETC, INSIDE, PROC_HIDDEN, PROC_READ_ONLY, SYSTEM

UNSTARTED_MARK = ".suanmesh-not-started"
"""A file in the task's /tmp that says that its command could not be started."""
_START = f"""trap 'status=$?; : > /tmp/{UNSTARTED_MARK}
[ $status != 127 ] || [ ! -f "$1" ] || {{ echo "cannot run $1: what its first line names is not there" >&2; exit 126; }}
' EXIT; """
"""A file that is there, while what it names is not, is 127 to this shell."""
_EXECUTE = 'exec "$@"'
_READ = 'export {name}="$(/bin/cat {file}; echo x)"; {name}="${{{name}%x}}"; '
"""Keeps the newlines at the end, which a substitution drops."""
_PROBE_S = 10


@dataclass(frozen=True, slots=True)
class Places:
    """Where on the host a task's folders lie."""

    scratch: Path
    """Folder of `work`, `tmp` and `shm`."""
    inputs: tuple[tuple[str, Path], ...] = ()
    nodes: tuple[tuple[Path, str], ...] = ()
    """Device files it is given, and their names below /dev."""

    @property
    def work(self) -> Path:
        """The working folder."""
        return self.scratch / "work"

    @property
    def tmp(self) -> Path:
        """What the task finds as /tmp."""
        return self.scratch / "tmp"

    @property
    def shm(self) -> Path:
        """What the task finds as /dev/shm."""
        return self.scratch / "shm"


@dataclass(frozen=True, slots=True)
class Sandbox:
    """bubblewrap at `program`; `runtime_folders` are the interpreters' folders a task may read besides the system's."""

    program: str
    runtime_folders: tuple[Path, ...]

    def usable(self) -> bool:
        """Whether it can make a sandbox here; found out by making one."""
        probe = [self.program, *_walls(), *self._runtimes(), "/usr/bin/env", "true"]
        try:
            return subprocess.run(probe, capture_output=True, timeout=_PROBE_S, check=False).returncode == 0
        except (OSError, subprocess.TimeoutExpired):
            return False

    def wrapped(self, command: Iterable[str], places: Places) -> list[str]:
        """The command line that runs `command` inside, work, /tmp and /dev/shm writable, inputs read-only."""
        mounts = ["--bind", str(places.work), INSIDE, "--bind", str(places.tmp), "/tmp"]
        mounts += self._runtimes()  # after /tmp, which would cover one that lies there
        for path, name in places.nodes:
            mounts += ["--dev-bind", str(path), f"/dev/{name}"]
        mounts += ["--bind", str(places.shm), "/dev/shm", "--remount-ro", "/dev"]
        for mount, folder in places.inputs:
            mounts += ["--ro-bind", str(folder), f"{INSIDE}/{mount}"]
        if seccomp.program():
            mounts += ["--seccomp", str(SECCOMP_FD)]
        return [self.program, *_walls(), *mounts, "--remount-ro", "/", "--chdir", INSIDE, "--", *command]

    def _runtimes(self) -> list[str]:
        return [word for folder in self.runtime_folders for word in ("--ro-bind", str(folder), str(folder))]


def started_inside(
    command: tuple[str, ...], variables: Iterable[tuple[str, str]], secret_files: Iterable[tuple[str, str]] = ()
) -> tuple[str, ...]:
    """The command line that runs `command` with variables of the job, which no program before it has.

    Those of `secret_files` have the content of a file, which no command line has.

    With some of them, such as LD_PRELOAD, the job's code would run in what builds its walls, or before its bounds. The
    shell leaves a mark where it cannot start the command: bubblewrap says nothing of that but by its own status.
    """
    given = tuple(f"{name}={value}" for name, value in variables)
    read = "".join(_READ.format(name=name, file=shlex.quote(file)) for name, file in secret_files)
    return (*(("/usr/bin/env", *given) if given else ()), "/bin/sh", "-c", f"{_START}{read}{_EXECUTE}", "sh", *command)


def with_devices(command: list[str], nodes: Iterable[tuple[str, str]]) -> list[str]:
    """The command line of `Sandbox.wrapped` with more device files, and their names below /dev."""
    at = command.index("--remount-ro")  # of /dev, which takes none any more from there on
    return [
        *command[:at],
        *(word for path, name in nodes for word in ("--dev-bind", path, f"/dev/{name}")),
        *command[at:],
    ]


def runtime_folders(prefix: Path) -> tuple[Path, ...]:
    """Folders an interpreter at `prefix` needs beside the system's: its own, and the one it was made from."""
    base = (prefix / "bin" / "python3").resolve().parent.parent
    needed = (prefix,) if base.is_relative_to(prefix) else (prefix, base)
    return tuple(folder for folder in needed if folder != Path("/usr"))


@functools.cache
def _walls() -> tuple[str, ...]:
    """The system as every task sees it."""
    walls = ["--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"]
    walls += ["--unshare-cgroup-try", "--uid", "1000", "--gid", "1000", "--die-with-parent", "--new-session"]
    walls += ["--ro-bind", "/usr", "/usr", "--proc", "/proc", "--dev", "/dev"]
    walls += _covered()
    for name in SYSTEM:
        path = Path("/", name)
        if path.is_symlink():
            walls += ["--symlink", str(path.readlink()), str(path)]
        elif path.is_dir():
            walls += ["--ro-bind", str(path), str(path)]
    for name in ETC:
        walls += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    return tuple(walls)


def _covered() -> list[str]:
    """What /proc has of the whole machine: to be read at most."""
    covers = []
    for name in PROC_READ_ONLY:
        if Path("/proc", name).exists():
            covers += ["--ro-bind", f"/proc/{name}", f"/proc/{name}"]
    for name in PROC_HIDDEN:
        if Path("/proc", name).exists():
            covers += ["--ro-bind", "/dev/null", f"/proc/{name}"]
    return covers
