"""Tasks as processes of this host, each under a shim that outlives the agent.

On disk, under the executor's folder: `<placement>/<index>/{shim,log}`, and of its scratch `{work,tmp,shm}`; as root
that is where the task finds it, or what is copied into the file system in `scratch.img`.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import json
import os
import signal
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from suanmesh_agent.domain.tasks import PROCESSES_MAX, TaskKey, TaskLook, TaskSpec, TaskState, Usage
from suanmesh_agent.executors import images
from suanmesh_agent.executors.cgroups import Cgroups
from suanmesh_agent.executors.confinement import IMAGE, SCRATCH_PARTS
from suanmesh_agent.executors.fork_server import ForkServer
from suanmesh_agent.executors.layout import Confined, Layout
from suanmesh_agent.executors.probe import trouble
from suanmesh_agent.executors.processes import kill
from suanmesh_agent.executors.sandbox import Sandbox
from suanmesh_agent.executors.task_log import LOG_SEGMENTS
from suanmesh_agent.executors.users import end_remains
from suanmesh_agent.ports import TaskNotStarted
from suanmesh_agent.trees import remove_tree
from suanmesh_content import FolderError

START_BOUND_S = 30.0
FORK_TRIES = 2
"""A fork server that is killed takes with it what it was asked for and had not done."""
_PATHS_AT_FAULT = frozenset((errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP, errno.EINVAL))
"""What is wrong then are the paths the job names, at every site."""


class ProcessExecutor:
    """Runs tasks as processes: in `sandbox` and `cgroups` where the host has them, within watched bounds else."""

    def __init__(
        self,
        folder: Path,
        *,
        sandbox: Sandbox | None,
        cgroups: Cgroups | None,
        engine_path: tuple[Path, ...],
        confined: Confined | None = None,
        lives_with: int = 0,
        permission: Path | None = None,
        processes: int = PROCESSES_MAX,
    ) -> None:
        """Tasks end when the process `lives_with` has ended, whoever that is; 0 is nobody. They end with failure
        `FENCED` when the permission in the file `permission` has (`RunPermission`); None lets them run for good.
        """
        self._folder = folder.absolute()
        self._cgroups = cgroups
        permitted = str(permission.resolve()) if permission else ""
        self._layout = Layout(self._folder, engine_path, sandbox, cgroups, confined, lives_with, permitted, processes)
        self._fork_server = ForkServer(self._folder)
        self._ended: dict[TaskKey, TaskLook] = {}
        self._known: dict[str, set[int]] = {}
        self._opened: dict[TaskKey, int] = {}
        self._opening = threading.Lock()
        self.start_fault = ""
        """Why the last task could not be started; empty when it could."""

    @property
    def walled(self) -> bool:
        """Whether tasks see nothing of the host but what is theirs."""
        return self._layout.sandbox is not None

    def trouble(self) -> str:
        """What keeps tasks from running here; empty where nothing does. Runs one."""
        return trouble(self._layout, self._fork_server)

    def close(self) -> None:
        """End what only the agent needs; tasks go on."""
        self._fork_server.close()

    async def start(self, spec: TaskSpec) -> None:
        """Lay out the working folder and start the shim, unless it has been started."""
        if self.look(spec.key).state is not TaskState.ABSENT:
            return
        try:
            await self._begin(spec)
        except TaskNotStarted as fault:
            self.start_fault = self.start_fault if fault.by_job else str(fault)
            raise
        self.start_fault = ""

    async def _begin(self, spec: TaskSpec) -> None:
        self._known[spec.key.placement] = self._begun(spec.key.placement) | {spec.key.index}
        try:
            await asyncio.to_thread(self._layout.lay_out, spec)
        except OSError as fault:
            words = f"the working folder cannot be laid out: {fault.strerror}"
            raise TaskNotStarted(words, by_job=fault.errno in _PATHS_AT_FAULT) from fault
        try:
            said = await self._forked(self._home(spec.key) / "shim")
        except (OSError, TimeoutError) as fault:
            raise TaskNotStarted(f"the shim did not start: {str(fault) or 'it took too long'}") from fault
        if self.look(spec.key).state is TaskState.ABSENT:
            raise TaskNotStarted(f"the shim did not start: {said.decode(errors='replace')[-500:]}")

    async def _forked(self, shim: Path) -> bytes:
        """Have the shim forked, until it runs the task or has said why it does not."""
        said = b""
        for _ in range(FORK_TRIES):
            said = await self._heard(await asyncio.to_thread(self._fork_server.fork, shim))
            if said or (shim / "started.json").exists():
                break
        return said

    async def _heard(self, handle: int) -> bytes:
        """All that is said on `handle`, until it is let go."""
        loop, said, over = asyncio.get_running_loop(), bytearray(), asyncio.Event()

        def read() -> None:
            if content := os.read(handle, 4096):
                said.extend(content)
            else:
                over.set()

        loop.add_reader(handle, read)
        try:
            async with asyncio.timeout(START_BOUND_S):
                await over.wait()
        finally:
            loop.remove_reader(handle)
            os.close(handle)
        return bytes(said)

    def look(self, key: TaskKey) -> TaskLook:
        """Read how it stands from what the shim keeps on disk; what has ended is read once."""
        if known := self._ended.get(key):
            return known
        if key.index not in self._begun(key.placement):
            return TaskLook(TaskState.ABSENT)
        folder = f"{self._folder}/{key.placement}/{key.index}/shim"
        if ended := _read(f"{folder}/exit.json"):
            return self._ended.setdefault(key, _ended(ended))
        started = _read(f"{folder}/started.json")
        if started is None:
            return TaskLook(TaskState.ABSENT)
        state = TaskState.RUNNING if _is_locked(f"{folder}/lock") else TaskState.LOST
        if state is TaskState.LOST and (ended := _read(f"{folder}/exit.json")):
            return self._ended.setdefault(key, _ended(ended))
        usage, begun = _usage(_read(f"{folder}/usage.json")), _time(started["start_unix_ns"])
        return TaskLook(state, usage=usage, start_time=begun)

    def _begun(self, placement: str) -> set[int]:
        """Tasks that this agent, or one before it, has laid out."""
        known = self._known.get(placement)
        if known is None:
            known = {int(home.name) for home in self._homes(placement)}
            if known:  # of what was never here, nothing is kept, however often it is asked for
                self._known[placement] = known
        return known

    async def over(self, key: TaskKey) -> TaskLook:
        """Wait for the shim's end by its pidfd."""
        look = self.look(key)
        while look.state is TaskState.RUNNING:
            await self._shim_gone(key)
            look = self.look(key)
        if look.state is TaskState.LOST:
            await asyncio.to_thread(self._end_remains, key)
        return look

    def stop(self, key: TaskKey) -> None:
        """SIGTERM to the shim, which ends the task and writes down its end."""
        with self._shim(key) as pidfd:
            if pidfd is not None:
                signal.pidfd_send_signal(pidfd, signal.SIGTERM)

    def output(self, key: TaskKey, mount: str) -> Path:
        """Outputs lie in the working folder; one that a link leads to is refused, wherever it leads.

        Where that is in a file system of its own, the path holds in this process, until the work is forgotten.
        """
        folder = self._scratch(key) / "work"
        for part in ("", *PurePosixPath(mount).parts):
            folder /= part
            if folder.is_symlink():
                raise FolderError(f"{mount} is reached over a link")
        return folder

    def read_log(self, key: TaskKey, offset: int, max_bytes: int) -> tuple[int, bytes]:
        """Read from the segment that holds `offset`, or from the oldest there still is."""
        segment_bytes = self._log_segment_bytes(key)
        for number in self._log_segments(key):
            begin = max(offset, number * segment_bytes)
            if begin < (number + 1) * segment_bytes:
                with contextlib.suppress(FileNotFoundError), (self._log(key) / f"{number}.log").open("rb") as file:
                    file.seek(begin - number * segment_bytes)
                    return begin, file.read(max_bytes)
        return offset, b""

    def has_log(self, key: TaskKey) -> bool:
        """Whether the task has been started here."""
        return self._log(key).is_dir()

    def forget_work(self, placement: str) -> None:
        """Remove working folders and control groups; logs and ends stay. Raises OSError where something stays."""
        faults = []
        for home in self._homes(placement):
            if self._cgroups:
                self._cgroups.remove(f"{placement}-{home.name}")
            self._close(TaskKey(placement, int(home.name)))
            self._ended.pop(TaskKey(placement, int(home.name)), None)
            for part in (IMAGE, *SCRATCH_PARTS):
                try:
                    remove_tree(home / part)
                except OSError as fault:  # the folders of the other tasks go all the same
                    faults.append(fault)
        if faults:
            raise faults[0]

    def forget(self, placement: str) -> None:
        """Remove everything of the placement. Raises OSError where something stays."""
        self.forget_work(placement)
        remove_tree(self._folder / placement)
        for index in self._known.pop(placement, ()):
            self._ended.pop(TaskKey(placement, index), None)

    def placements(self) -> list[str]:
        """Every placement something is kept of, the newest first."""
        if not self._folder.is_dir():
            return []
        return sorted((path.name for path in self._folder.iterdir()), reverse=True, key=self._age)

    def idle_placements(self) -> list[str]:
        """Those that have working folders, and no task that runs."""
        busy = {key.placement for key in self.running()}
        return [name for name in self.placements() if name not in busy and self._has_work(name)]

    def ended_placements(self) -> list[str]:
        """Those whose working folders are gone, the newest first."""
        return [name for name in self.placements() if not self._has_work(name)]

    def running(self) -> list[TaskKey]:
        """Every task that runs now."""
        keys = [TaskKey(name, int(home.name)) for name in self.placements() for home in self._homes(name)]
        return [key for key in keys if self.look(key).state is TaskState.RUNNING]

    async def _shim_gone(self, key: TaskKey) -> None:
        with self._shim(key) as pidfd:
            if pidfd is None:
                return
            loop = asyncio.get_running_loop()
            gone = asyncio.Event()
            loop.add_reader(pidfd, gone.set)
            try:
                await gone.wait()
            finally:
                loop.remove_reader(pidfd)

    @contextlib.contextmanager
    def _shim(self, key: TaskKey) -> Iterator[int | None]:
        """The shim's pidfd while it runs. The lock is looked at after it was opened, so that it is no other's."""
        folder = self._home(key) / "shim"
        started = _read(folder / "started.json")
        pidfd = _open_pidfd(started["pid"]) if started else None
        try:
            yield pidfd if _is_locked(folder / "lock") else None
        finally:
            if pidfd is not None:
                os.close(pidfd)

    def _end_remains(self, key: TaskKey) -> None:
        """End what a task has left whose shim was killed; what is in a sandbox has ended with it."""
        folder = self._home(key) / "shim"
        spec, started = _read(folder / "spec.json") or {}, _read(folder / "started.json") or {}
        for path in spec.get("members", ()):
            with contextlib.suppress(OSError):
                for pid in Path(path).read_text().split():
                    kill(int(pid), signal.SIGKILL)
        if self._layout.confined and started.get("user"):
            end_remains(self._layout.confined.users_folder, started["user"])

    def _scratch(self, key: TaskKey) -> Path:
        """Where what the task left can be read."""
        home = self._home(key)
        if not (home / IMAGE).exists():
            return home
        with self._opening:
            if key not in self._opened:
                self._opened[key] = images.open_image(home / IMAGE)
        return Path(f"/proc/self/fd/{self._opened[key]}")

    def _close(self, key: TaskKey) -> None:
        with self._opening:
            if (handle := self._opened.pop(key, None)) is not None:
                os.close(handle)

    def _age(self, placement: str) -> float:
        try:
            return (self._folder / placement).stat().st_mtime
        except FileNotFoundError:  # removed while it was being listed
            return 0.0

    def _home(self, key: TaskKey) -> Path:
        return self._layout.home(key)

    def _homes(self, placement: str) -> list[Path]:
        """The tasks' folders; what else a task without a sandbox may have put beside them is none."""
        folder = self._folder / placement
        return sorted(path for path in folder.iterdir() if path.name.isdecimal()) if folder.is_dir() else []

    def _has_work(self, placement: str) -> bool:
        return any(os.path.lexists(home / "work") for home in self._homes(placement))

    def _log(self, key: TaskKey) -> Path:
        return self._home(key) / "log"

    def _log_segments(self, key: TaskKey) -> list[int]:
        return sorted(int(path.stem) for path in self._log(key).glob("*.log"))

    def _log_segment_bytes(self, key: TaskKey) -> int:
        spec = _read(self._home(key) / "shim" / "spec.json")
        return max(1, int(spec["log_bytes"]) // LOG_SEGMENTS) if spec else 1


def _ended(facts: dict[str, Any]) -> TaskLook:
    return TaskLook(
        TaskState.ENDED,
        usage=_usage(facts),
        exit_status=facts["exit_status"],
        failure=facts["failure"],
        start_time=_time(facts["start_unix_ns"]),
        end_time=_time(facts["end_unix_ns"]),
    )


def _usage(facts: dict[str, Any] | None) -> Usage:
    return Usage(cpu_us=facts["cpu_us"], elapsed_us=facts["elapsed_us"]) if facts else Usage()


def _time(unix_ns: int) -> datetime:
    return datetime.fromtimestamp(unix_ns / 1e9, UTC)


def _read(path: str | Path) -> dict[str, Any] | None:
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - read for every task again and again
            facts: dict[str, Any] = json.loads(file.read())
    except FileNotFoundError:
        return None
    return facts


def _is_locked(path: str | Path) -> bool:
    """Whether the shim that holds it lives: the kernel gives its lock back whatever ended it."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


def _open_pidfd(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None
