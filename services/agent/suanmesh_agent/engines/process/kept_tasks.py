"""What is kept of tasks in folders, whatever starts their shims: their logs, what they left, and how they ended."""

from __future__ import annotations

import os
import threading
from collections.abc import Generator, Sequence
from pathlib import Path, PurePosixPath

from suanmesh_agent.domain.cards import Card
from suanmesh_agent.domain.tasks import TaskKey, TaskSpec, TaskState
from suanmesh_agent.engines.process import images
from suanmesh_agent.engines.process.confinement import IMAGE, SCRATCH_PARTS
from suanmesh_agent.engines.process.kept_log import KeptLog
from suanmesh_agent.engines.process.layout import Layout, is_of_job
from suanmesh_agent.engines.process.task_folders import TaskFolders, read_facts
from suanmesh_agent.engines.process.walls import INSIDE
from suanmesh_agent.folder_files import FolderFile, files_of
from suanmesh_agent.ports import TaskNotStarted
from suanmesh_agent.trees import remove_tree
from suanmesh_content import FolderError, LeftOut

_GOING_ON = (TaskState.RUNNING, TaskState.QUEUED)

STEPS_MAX = 256
"""Names that are followed to an output; more are a circle."""


class KeptTasks:
    """The part of an engine that only reads and clears folders."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._folder = layout.folder
        self._tasks = TaskFolders(self._folder)
        self._opened: dict[TaskKey, int] = {}
        self._opening = threading.Lock()

    def _lay_out(self, spec: TaskSpec, cards: tuple[Card, ...] | None = None) -> None:
        """Make its folders. Raises TaskNotStarted."""
        try:
            self.layout.lay_out(spec, cards)
        except OSError as fault:
            words = f"the working folder cannot be laid out: {fault.strerror}"
            raise TaskNotStarted(words, by_job=is_of_job(fault)) from fault

    def _let_go(self, key: TaskKey) -> None:
        """What is held of a task besides its folder is of no use any more."""

    def open_log(self, key: TaskKey) -> KeptLog | None:
        """What the shim keeps."""
        home = self._tasks.home(key)
        if not (home / "shim" / "started.json").exists():
            return None
        spec = read_facts(home / "shim" / "spec.json")
        return KeptLog(Path(spec["log_folder"]), spec["log_bytes"]) if spec else None

    def collect(self, key: TaskKey, mount: str, left_out: LeftOut | None = None) -> Generator[FolderFile, None, None]:
        """Outputs lie in the working folder, also where a link within it leads to them."""
        folder = self._output(key, mount)
        lies = folder.relative_to(self._scratch(key) / "work")
        return files_of(folder, left_out, ours=True, known_as=(f"{INSIDE}/{mount}", f"{INSIDE}/{lies}", str(folder)))

    def note(self, key: TaskKey, lines: Sequence[str]) -> None:
        """As `Engine`."""
        log = self.open_log(key)
        if log is not None:
            log.add(lines)

    def _output(self, key: TaskKey, mount: str) -> Path:
        """Where that is in a file system of its own, the path holds in this process, until the work is forgotten."""
        folder = _followed(self._scratch(key) / "work", mount)
        if folder is None:
            raise FolderError(f"{mount} is reached over a link that leads out of the working folder, or in a circle")
        return folder

    def forget_work(self, placement: str) -> None:
        """Remove working folders and control groups; logs and ends stay. Raises OSError where something stays."""
        self.drop_work(self._tasks.keys(placement))

    def drop_work(self, keys: Sequence[TaskKey]) -> None:
        """As `forget_work`, of single runs that have ended."""
        faults = []
        for key in keys:
            if self.layout.cgroups:
                self.layout.cgroups.remove(f"{key.placement}-{key.name}")
            self._close(key)
            self._let_go(key)
            self._tasks.drop_ending(key)
            for part in (IMAGE, *SCRATCH_PARTS):
                try:
                    remove_tree(self._tasks.home(key) / part)
                except OSError as fault:  # the folders of the other tasks go all the same
                    faults.append(fault)
        if faults:
            raise faults[0]

    def forget(self, placement: str) -> None:
        """Remove everything of the placement. Raises OSError where something stays."""
        self.forget_work(placement)
        remove_tree(self._folder / placement)
        self._tasks.drop(placement)

    def placements(self) -> list[str]:
        """Every placement something is kept of, the newest first."""
        return self._tasks.placements()

    def idle_placements(self) -> list[str]:
        """Those that have working folders, and no task that runs."""
        return [name for name in self.placements() if self._tasks.has_work(name) and not self._running(name)]

    def ended_placements(self) -> list[str]:
        """Those whose working folders are gone, the newest first."""
        return [name for name in self.placements() if not self._tasks.has_work(name)]

    def running(self) -> list[TaskKey]:
        """Every task that runs now, or waits to."""
        return [key for name in self.placements() for key in self._running(name)]

    def _running(self, placement: str) -> list[TaskKey]:
        return [key for key in self._tasks.keys(placement) if self._tasks.look(key).state in _GOING_ON]

    def _scratch(self, key: TaskKey) -> Path:
        """Where what the task left can be read."""
        home = self._tasks.home(key)
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


def _followed(work: Path, mount: str) -> Path | None:
    """Where an output lies below `work`, over links that stay within it; None where one leads out, or in a circle.

    The task has ended, so that nobody changes links meanwhile.
    """
    wanted, at = [*reversed(PurePosixPath(mount).parts)], work
    for _ in range(STEPS_MAX):
        if not wanted:
            return None if work.is_symlink() else at
        part = wanted.pop()
        if part == "..":
            if at == work:
                return None
            at = at.parent
        elif (at / part).is_symlink():
            target = (at / part).readlink()
            if target.is_absolute():
                base = next((each for each in (INSIDE, str(work)) if target.is_relative_to(each)), None)
                if base is None:
                    return None
                target, at = target.relative_to(base), work
            wanted += reversed(target.parts)
        else:
            at /= part
    return None
