"""How a task is laid out on disk, and what its shim is told."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from suanmesh_agent.domain.cards import Card
from suanmesh_agent.domain.tasks import (
    LOG_BYTES_MAX,
    PROCESSES_MAX,
    SCRATCH_BYTES_UNASKED,
    SECRETS_MOUNT,
    SETUP_MOUNT,
    SETUP_PYTHON,
    TaskKey,
    TaskSpec,
    UserRange,
)
from suanmesh_agent.engines.process import images
from suanmesh_agent.engines.process.cgroups import Bounds, CgroupFiles, Cgroups
from suanmesh_agent.engines.process.confinement import SCRATCH_PARTS
from suanmesh_agent.engines.process.sandbox import UNSTARTED_MARK, Places, Sandbox, started_inside
from suanmesh_agent.engines.process.walls import INSIDE

RUN_FOLDER = Path("/run/suanmesh")
"""Where an agent with root keeps the users of tasks, and where their mounts lie; the same for all agents of a host."""
_PATHS_AT_FAULT = frozenset((errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP, errno.EINVAL))
"""What is wrong then are the paths the job names, at every site."""
_NO_CGROUP = CgroupFiles(join=(), members=(), cpu_file="", oom_file="", pids_file="", peak_file="")
_PRLIMIT = Path("/usr/bin/prlimit")
_BLOCK_BYTES = 4096
_SANDBOX_PROCESSES, _SPARE_PROCESSES = 2, 16


@dataclass(frozen=True, slots=True)
class Confined:
    """What an agent with root gives each task: a user, and mounts that its user can reach."""

    users: UserRange
    runtime_folders: tuple[Path, ...]
    formatter: str = ""
    """The program that makes the file systems of scratch; without one, scratch is a folder that is watched."""
    walled: bool = True
    """Whether walls are put around a task."""
    run_folder: Path = RUN_FOLDER

    @property
    def users_folder(self) -> Path:
        """Where users are leased."""
        return self.run_folder / "users"

    @property
    def templates_folder(self) -> Path:
        """Where file systems lie ready to be copied."""
        return self.run_folder / "templates"

    @property
    def stage(self) -> Path:
        """Where the shim mounts what a task finds."""
        return self.run_folder / "stage"


@dataclass(frozen=True, slots=True)
class Layout:
    """Tasks below `folder`, within what the host has."""

    folder: Path
    runtime_path: tuple[Path, ...]
    sandbox: Sandbox | None
    cgroups: Cgroups | None
    confined: Confined | None
    permission: str = ""
    processes: int = PROCESSES_MAX
    log_bytes: int = LOG_BYTES_MAX
    queued: bool = False
    """Whether shims are started by another scheduler, and on hosts where the agent can signal none."""

    @property
    def as_root(self) -> bool:
        """Whether nothing keeps a task from being the superuser."""
        return os.geteuid() == 0 and self.sandbox is None and self.confined is None

    @property
    def walled(self) -> bool:
        """Whether tasks are walled off: by bubblewrap, or by what an agent with root does for itself."""
        return self.sandbox is not None or self.apart

    @property
    def apart(self) -> bool:
        """Whether each shim is the first process of a namespace."""
        return self.confined is not None and self.confined.walled

    @property
    def _processes(self) -> int:
        """What is counted: the task's, and the sandbox's own."""
        return self.processes + (_SANDBOX_PROCESSES if self.sandbox else 0)

    @property
    def _in_folders(self) -> bool:
        """Whether scratch is folders of the site's disk, for want of a file system for each task."""
        return not (self.confined and self.confined.formatter)

    def home(self, key: TaskKey) -> Path:
        """The task's folder."""
        return self.folder / key.placement / key.name

    def lay_out(self, spec: TaskSpec, cards: tuple[Card, ...] | None = None) -> None:
        """Make its folders and write what the shim reads; `cards` are None where the host has none. Raises OSError."""
        found = ((SECRETS_MOUNT, spec.secrets), (SETUP_MOUNT, spec.setup))
        inputs = (*spec.inputs, *((mount, folder) for mount, folder in found if folder))
        home = self.home(spec.key)
        setup = self._setup(spec, home / "work")
        spec = dataclasses.replace(
            spec,
            scratch_bytes=spec.scratch_bytes or SCRATCH_BYTES_UNASKED,
            inputs=inputs,
            variables=_beside_setup(spec.variables, setup),
        )
        home.mkdir(parents=True, exist_ok=True)
        for folder in (self.folder, home):
            folder.chmod(0o700)
        work = home / "work"
        parts = [home / part for part in SCRATCH_PARTS] if self._in_folders else [work]
        for folder in (home / "shim", *parts, *(work / mount for mount in spec.outputs)):
            folder.mkdir(parents=True, exist_ok=True)
        for artefact in spec.artefacts:
            target = work / artefact.path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(artefact.content)
            if artefact.executable:
                target.chmod(0o700)
        for mount, folder in spec.inputs:
            self._offer_input(work / mount, folder)
        (home / "shim" / "spec.json").write_text(json.dumps(self._shim_spec(spec, cards)))

    def _offer_input(self, target: Path, folder: Path) -> None:
        """A mount point where there are mounts, else a link to the replica."""
        if self.walled or self.confined:
            target.mkdir(parents=True, exist_ok=True)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.is_symlink():
            target.symlink_to(folder.resolve(), target_is_directory=True)

    def _shim_spec(self, spec: TaskSpec, cards: tuple[Card, ...] | None) -> dict[str, Any]:
        home, places = self.home(spec.key), self._places(spec, cards or ())
        fence = self._cgroup_files(spec)
        counted = bool(fence.pids_file or self.confined)
        return {
            "argv": self._command(spec, places, counted=counted),
            "cwd": INSIDE if self.apart else str(places.work),
            "env": self._environment(spec, places) | _visible(cards),
            "secrets": str(spec.secrets.absolute()) if spec.secrets else "",
            "secret_env": {} if self.sandbox else dict(_secret_files(spec)),
            "sandbox": Path(self.sandbox.program).name if self.sandbox else "",
            "unstarted_mark": str(places.tmp / UNSTARTED_MARK) if self.sandbox else "",
            "confine": self._confine(spec, places),
            "cards": [card.id for card in cards or ()],
            "limits": self._limits(spec),
            "max_duration_s": spec.max_duration_s,
            "watch_memory_bytes": 0 if fence.oom_file else spec.memory_bytes,
            "watch_processes": 0 if counted else self.processes,
            "scratch_bytes": spec.scratch_bytes,
            "scratch_files": images.files_of(spec.scratch_bytes),
            "scratch_folders": [str(home / part) for part in SCRATCH_PARTS] if self._in_folders else [],
            "log_folder": str(home / "shim"),
            "log_bytes": spec.log_bytes or self.log_bytes,
            "join": list(fence.join),
            "members": list(fence.members),
            "cpu_file": fence.cpu_file,
            "oom_file": fence.oom_file,
            "pids_file": fence.pids_file,
            "peak_file": fence.peak_file,
            "permission": self.permission,
            "queued": self.queued,
        }

    def _command(self, spec: TaskSpec, places: Places, *, counted: bool) -> list[str]:
        """What the shim is to start: nothing of the job's is to steer what builds its walls."""
        if self.sandbox is None:
            return list(spec.command)
        command = started_inside(spec.command, spec.variables, _secret_files(spec))
        if not counted and _PRLIMIT.exists():  # in the sandbox's user namespace only its own count
            command = (str(_PRLIMIT), f"--nproc={self.processes}", "--", *command)
        return self.sandbox.wrapped(command, places)

    def _places(self, spec: TaskSpec, cards: tuple[Card, ...]) -> Places:
        """Where the task's folders lie for who starts it; what the shim has mounted already is no input to mount."""
        nodes = tuple(sorted({node for card in cards for node in card.nodes}))
        if self.confined:
            return Places(self.confined.stage / "scratch", nodes=nodes)
        return Places(self.home(spec.key), spec.inputs, nodes)

    def _confine(self, spec: TaskSpec, places: Places) -> dict[str, Any] | None:
        if self.confined is None:
            return None
        return {
            "home": str(self.home(spec.key)),
            "stage": str(self.confined.stage),
            "users_folder": str(self.confined.users_folder),
            "first_user": self.confined.users.first,
            "users": self.confined.users.count,
            "formatter": self.confined.formatter,
            "templates": str(self.confined.templates_folder),
            "walled": self.confined.walled,
            "runtimes": [str(folder) for folder in self.confined.runtime_folders],
            "inputs": [[mount, str(folder.absolute())] for mount, folder in spec.inputs],
            "nodes": [[str(path), name] for path, name in places.nodes],
        }

    def _limits(self, spec: TaskSpec) -> dict[str, int]:
        """Resource limits by their names in `resource`."""
        limits = {"RLIMIT_CORE": 0}
        if self.confined:  # for any other the limit would count what else the agent's user runs
            limits["RLIMIT_NPROC"] = self._processes
            if self.cgroups:  # which also counts how often its bound was hit, and so is to be the lower
                limits["RLIMIT_NPROC"] += _SPARE_PROCESSES
        if self._in_folders:
            limits["RLIMIT_FSIZE"] = spec.scratch_bytes + _BLOCK_BYTES
        return limits

    def _cgroup_files(self, spec: TaskSpec) -> CgroupFiles:
        if self.cgroups is None:
            return _NO_CGROUP
        bounds = Bounds(spec.cpu_milli, spec.memory_bytes, self._processes)
        return self.cgroups.make(f"{spec.key.placement}-{spec.key.name}", bounds)

    def _setup(self, spec: TaskSpec, work: Path) -> str:
        """Where the task finds what its setup has made, or makes it itself; empty where there is no setup."""
        home = INSIDE if self.walled else str(work)
        return f"{home}/{SETUP_MOUNT}" if spec.setup or SETUP_MOUNT in spec.outputs else ""

    def _environment(self, spec: TaskSpec, places: Places) -> dict[str, str]:
        threads = str(max(1, spec.cpu_milli // 1000))
        home = INSIDE if self.walled else str(places.work)
        setup = self._setup(spec, places.work)
        own = [f"{setup}/bin", f"{setup}/{SETUP_PYTHON}/bin"] if setup else []
        return {
            "PATH": ":".join([*own, *(str(path) for path in self.runtime_path), "/usr/local/bin", "/usr/bin", "/bin"]),
            "HOME": home,
            **({"SUANMESH_SETUP": setup, "PYTHONPATH": f"{setup}/{SETUP_PYTHON}"} if setup else {}),
            **({"SUANMESH_SECRETS": f"{home}/{SECRETS_MOUNT}"} if spec.secrets else {}),
            **({} if self.walled else {"TMPDIR": str(places.tmp)}),
            "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "OMP_NUM_THREADS": threads,
            "OPENBLAS_NUM_THREADS": threads,
            **dict(spec.environment),
            **({} if self.sandbox else dict(spec.variables)),
        }


def _visible(cards: tuple[Card, ...] | None) -> dict[str, str]:
    """What tells programs which cards are theirs; nothing is said where the host has none.

    CUDA reads one name, the makers' tools for containers the other.
    """
    if cards is None:
        return {}
    given = ",".join(card.id for card in cards)
    return {"CUDA_VISIBLE_DEVICES": given, "NVIDIA_VISIBLE_DEVICES": given or "void"}


def _secret_files(spec: TaskSpec) -> list[tuple[str, str]]:
    """Variables that have the content of a file, with its path from the working folder: no value is written down."""
    return [(variable, f"{SECRETS_MOUNT}/{name}") for variable, name in spec.secret_variables]


def _beside_setup(variables: tuple[tuple[str, str], ...], setup: str) -> tuple[tuple[str, str], ...]:
    """The job's variables, with what the setup has for Python behind what the job names itself."""
    if not setup:
        return variables
    behind = f":{setup}/{SETUP_PYTHON}"
    return tuple((name, value + behind if name == "PYTHONPATH" else value) for name, value in variables)


def is_of_job(fault: OSError) -> bool:
    """Whether a layout that failed would fail at every site."""
    return fault.errno in _PATHS_AT_FAULT
