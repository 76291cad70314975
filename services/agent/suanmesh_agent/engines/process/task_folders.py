"""The folders of tasks, and how the tasks stand by what their shims keep in them.

Below the engine's folder: `<placement>/<index>[.<retry>]/shim`, where its log is too, and of a task's scratch
`{work,tmp,shm}`; as root that is where the task finds it, or what is copied into the file system in `scratch.img`.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from suanmesh_agent.domain.tasks import TaskKey, TaskLook, TaskState, Usage, key_of
from suanmesh_agent.engines.process.shim import CANCEL

QUEUED = "queued.json"
"""A file of an engine with a queue: it answers for the task, which has not begun."""


class TaskFolders:
    """All of one agent."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ended: dict[TaskKey, TaskLook] = {}
        self._begun: dict[str, set[TaskKey]] = {}
        self._cleared: set[str] = set()

    def home(self, key: TaskKey) -> Path:
        """The task's folder."""
        return self._folder / key.placement / key.name

    def homes(self, placement: str) -> list[Path]:
        """The tasks' folders; what else a task without a sandbox may have put beside them is none."""
        return [self.home(key) for key in self.keys(placement)]

    def keys(self, placement: str) -> list[TaskKey]:
        """The runs of tasks that have a folder."""
        folder = self._folder / placement
        found = (key_of(placement, path.name) for path in folder.iterdir()) if folder.is_dir() else ()
        return sorted(key for key in found if key is not None)

    def placements(self) -> list[str]:
        """Every placement something is kept of, the newest first."""
        try:
            with os.scandir(self._folder) as found:
                aged = [(_age(entry), entry.name) for entry in found]
        except FileNotFoundError:
            return []
        return [name for _, name in sorted(aged, reverse=True)]

    def begun(self, placement: str) -> set[TaskKey]:
        """Runs that this agent, or one before it, has laid out."""
        known = self._begun.get(placement)
        if known is None:
            known = set(self.keys(placement))
            if known:  # of what was never here, nothing is kept, however often it is asked for
                self._begun[placement] = known
        return known

    def begin(self, key: TaskKey) -> None:
        """A task is being laid out."""
        self._begun.setdefault(key.placement, self.begun(key.placement)).add(key)
        self._cleared.discard(key.placement)

    def look(self, key: TaskKey) -> TaskLook:
        """Read how it stands from what the shim keeps on disk; what has ended is read once."""
        if known := self._ended.get(key):
            return known
        if key not in self.begun(key.placement):
            return TaskLook(TaskState.ABSENT)
        folder = f"{self._folder}/{key.placement}/{key.name}/shim"
        if ended := read_facts(f"{folder}/exit.json"):
            return self._ended.setdefault(key, _ended(ended))
        started = read_facts(f"{folder}/started.json")
        if started is None:
            return TaskLook(TaskState.QUEUED if os.path.exists(f"{folder}/{QUEUED}") else TaskState.ABSENT)  # noqa: PTH110 - a hot loop
        state = TaskState.RUNNING if _is_locked(f"{folder}/lock") else TaskState.LOST
        if state is TaskState.LOST and (ended := read_facts(f"{folder}/exit.json")):
            return self._ended.setdefault(key, _ended(ended))
        usage, begun = _usage(read_facts(f"{folder}/usage.json")), _time(started["start_unix_ns"])
        return TaskLook(state, usage=usage, start_time=begun)

    def is_going_on(self, key: TaskKey) -> bool:
        """Whether it runs, or a shim is about to start it, which an agent that is gone may have told to."""
        state = self.look(key).state
        about_to = state is TaskState.ABSENT and _is_locked(self.home(key) / "shim" / "lock")
        return about_to or state is TaskState.RUNNING

    def cancel(self, key: TaskKey) -> None:
        """Ask the shim of a task that runs to end it; one that has turned to another task finds no word beside that."""
        if key not in self.begun(key.placement):
            return
        folder = self.home(key) / "shim"
        started = read_facts(folder / "started.json")
        pidfd = _open_pidfd(started["pid"]) if started else None
        if pidfd is None:
            return
        try:
            if _is_locked(folder / "lock"):  # looked at after the shim was opened: it is no other process
                (folder / CANCEL).touch()
                signal.pidfd_send_signal(pidfd, signal.SIGTERM)
        except ProcessLookupError:
            return
        finally:
            os.close(pidfd)

    def leave_word(self, key: TaskKey) -> None:
        """Tell a shim that looks for it to end its task, also one that has not begun."""
        (self.home(key) / "shim" / CANCEL).touch()

    def end_unstarted(self, key: TaskKey, failure: str) -> bool:
        """Write down the end of a task that has not begun; its shim finds that and does nothing. False if it has begun.

        Raises OSError.
        """
        folder = self.home(key) / "shim"
        with _locked(folder) as ours:
            if not ours or any((folder / name).exists() for name in ("started.json", "exit.json")):
                return False
            write_facts(folder / "exit.json", _UNSTARTED | {"failure": failure})
        return True

    def end_in_its_stead(self, key: TaskKey, failure: str) -> bool:
        """Write down the end of a task that has begun, and whose shim was ended with it; False if it has said its own.

        Raises OSError.
        """
        folder = self.home(key) / "shim"
        with _locked(folder) as ours:
            started = read_facts(folder / "started.json")
            if not ours or started is None or (folder / "exit.json").exists():
                return False
            usage = read_facts(folder / "usage.json") or {"cpu_us": 0, "elapsed_us": 0}
            end_ns = started["start_unix_ns"] + usage["elapsed_us"] * 1000
            facts = {"exit_status": _KILLED, "start_unix_ns": started["start_unix_ns"], "end_unix_ns": end_ns}
            write_facts(folder / "exit.json", facts | usage | {"failure": failure})
        return True

    def drop_ending(self, key: TaskKey) -> None:
        """Do not remember how it ended; it can be read again."""
        self._ended.pop(key, None)

    def drop(self, placement: str) -> None:
        """Remember nothing of a placement whose folder is gone."""
        self._cleared.discard(placement)
        for key in self._begun.pop(placement, ()):
            self.drop_ending(key)

    def has_work(self, placement: str) -> bool:
        """Whether a working folder of it is left. Where every task has ended and none is, that is looked at once."""
        if placement in self._cleared:
            return False
        homes = self.homes(placement)
        if any(os.path.lexists(home / "work") for home in homes):
            return True
        if homes and all((home / "shim" / "exit.json").exists() for home in homes):
            self._cleared.add(placement)
        return False


def _age(entry: os.DirEntry[str]) -> float:
    try:
        return entry.stat(follow_symlinks=False).st_mtime
    except FileNotFoundError:  # removed while it was being listed
        return 0.0


def read_facts(path: str | Path) -> dict[str, Any] | None:
    """What a shim has written there; None where there is nothing."""
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - read for every task again and again
            facts: dict[str, Any] = json.loads(file.read())
    except FileNotFoundError:
        return None
    return facts


def write_facts(path: Path, facts: dict[str, Any]) -> None:
    """For others to read: all of it or nothing. Raises OSError."""
    draft = path.with_suffix(".draft")
    with draft.open("w") as file:
        json.dump(facts, file)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Hold a shim's lock; False where somebody else does. Raises OSError."""
    file = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    else:
        yield True
    finally:
        os.close(file)


_KILLED = 128 + signal.SIGKILL
_UNSTARTED = {"exit_status": None, "start_unix_ns": 0, "end_unix_ns": 0, "cpu_us": 0, "elapsed_us": 0}


def _ended(facts: dict[str, Any]) -> TaskLook:
    return TaskLook(
        TaskState.ENDED,
        usage=_usage(facts),
        exit_status=facts["exit_status"],
        failure=facts["failure"],
        start_time=_time(facts["start_unix_ns"]) if facts["start_unix_ns"] else None,
        end_time=_time(facts["end_unix_ns"]) if facts["end_unix_ns"] else None,
        memory_bytes=facts.get("memory_bytes", 0),
    )


def _usage(facts: dict[str, Any] | None) -> Usage:
    return Usage(cpu_us=facts["cpu_us"], elapsed_us=facts["elapsed_us"]) if facts else Usage()


def _time(unix_ns: int) -> datetime:
    return datetime.fromtimestamp(unix_ns / 1e9, UTC)


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
