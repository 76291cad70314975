"""What the shim of an agent with root confines a task to: a user, mounts, and scratch of its own.

Everything lies in mounts of the shim's own, on `<run>/stage`, where the task's user may go and nobody else sees it:

    stage/scratch/{work,tmp,shm}   on the task's own file system where there can be one, else from its folder
    stage/runtime-<n>              the interpreters, which may lie where only root may go
    stage/root                     what a walled task finds as its root

They go with the last process in them, whatever ended it. Only scratch is the task's own: the rest stays for the next
task of the shim. Standard library only.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from pathlib import Path
from typing import Any

from suanmesh_agent.engines.process import images, syscalls, walls
from suanmesh_agent.engines.process.scratch_folders import take_back
from suanmesh_agent.engines.process.users import kill_all_of, lease_user, mark_unused, mark_used

WORK = "work"
SCRATCH_PARTS = (WORK, "tmp", "shm")
IMAGE = "scratch.img"
_STAGE_OPTIONS = "size=1m,mode=711"
_OOM_SCORE_ADJ = b"500"
"""Where the host itself runs short, tasks go before what runs the site."""
_BUSY_S_MAX, _PAUSE_S = 5.0, 0.005


class Mounts:
    """What a shim has mounted for all its tasks, and the user that the last one had."""

    def __init__(self) -> None:
        self._made_for: tuple[object, ...] = ()
        self.user = 0

    def make(self, facts: dict[str, Any]) -> None:
        """Mount what `facts` names, in mounts of this process, unless that has been done. Raises OSError."""
        wanted = (facts["stage"], facts["walled"], *facts["runtimes"])
        if wanted == self._made_for:
            return
        if self._made_for:
            syscalls.unmount(str(self._made_for[0]), syscalls.MNT_DETACH)
        else:
            syscalls.give_up_capabilities()
            syscalls.unshare_mounts()
            if facts["walled"]:  # then this is the first process of a namespace, and is to see those in it
                syscalls.mount("proc", "/proc", "proc", syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC)
        stage = Path(facts["stage"])
        stage.mkdir(mode=0o711, parents=True, exist_ok=True)
        syscalls.mount("tmpfs", str(stage), "tmpfs", syscalls.MS_NOSUID | syscalls.MS_NODEV, _STAGE_OPTIONS)
        (stage / "scratch").mkdir(mode=0o711)
        for index, folder in enumerate(facts["runtimes"]):
            (stage / f"runtime-{index}").mkdir()
            syscalls.bind(folder, str(stage / f"runtime-{index}"), read_only=True)
        if facts["walled"]:
            (stage / "root").mkdir()
            walls.build(str(stage / "root"), _runtimes(facts))
        self._made_for = wanted


class Confinement:
    """One task's, from what the executor wrote: `facts` is `confine` of the task's spec.json."""

    def __init__(self, facts: dict[str, Any], scratch_bytes: int) -> None:
        self._home = Path(facts["home"])
        self._facts = facts
        self._scratch_bytes = scratch_bytes
        self._stage = Path(facts["stage"])
        self._scratch = str(self._stage / "scratch")
        self._mounts: list[str] = []
        self._inputs: list[int] = []
        self._before = (0, 0)

    @property
    def bounded(self) -> bool:
        """Whether scratch is a file system of its own."""
        return bool(self._facts["formatter"])

    def enter(self, mounts: Mounts) -> None:
        """Lease a user and lay everything out for it. Raises OSError."""
        users = Path(self._facts["users_folder"])
        first, count, alone = self._facts["first_user"], self._facts["users"], self._facts["walled"]
        self.user, self._lease = lease_user(users, first, count, alone=alone, before=mounts.user)
        mounts.user = self.user if alone else 0  # without walls a task may have left files elsewhere on the host
        mounts.make(self._facts)
        if self.bounded:
            self._lay_out_image()
        else:
            self._lay_out_folders()
        self._offer_inputs()
        mark_used(self._lease)

    def become(self) -> None:
        """In the task's process: be its user, with nothing left of root's. Raises OSError."""
        adjusted = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
        os.write(adjusted, _OOM_SCORE_ADJ)
        os.close(adjusted)
        if self._facts["walled"]:
            nodes = [(path, name) for path, name in self._facts["nodes"]]
            walls.enter(str(self._stage / "root"), self._scratch, _runtimes(self._facts), nodes)
        else:
            syscalls.unshare_mounts()
            self._enter_unsandboxed()
        os.setgroups([])
        os.setresgid(self.user, self.user, self.user)
        os.setresuid(self.user, self.user, self.user)
        syscalls.drop_capabilities()

    def exceeded(self) -> bool:
        """Whether the task has used more of its file system than it may; that holds little more."""
        used_bytes, used_files = images.used(self._scratch)
        files = used_files - self._before[1]
        return used_bytes - self._before[0] > self._scratch_bytes or files >= images.files_of(self._scratch_bytes)

    def leave(self, *, cleared: bool) -> bool:
        """Once the task is over: end what is left of its user, put its files on disk, and take them back.

        `cleared` says that nothing of it runs any more, so that its user need not be looked for. Answers whether its
        mounts are gone.
        """
        give_up = time.monotonic() + _BUSY_S_MAX
        while not (cleared := cleared or not kill_all_of(self.user)) and time.monotonic() < give_up:
            time.sleep(_PAUSE_S)
        if cleared:
            mark_unused(self._lease)
        for handle in self._inputs:  # not by name: a task may have moved what is above it, and put a link there
            syscalls.unmount(f"/proc/self/fd/{handle}", syscalls.MNT_DETACH)
            os.close(handle)
        gone = [_unmount(target, give_up) for target in reversed(self._mounts)]
        if not self.bounded:
            for part in SCRATCH_PARTS:
                take_back(str(self._home / part))
        return all(gone)

    def _lay_out_image(self) -> None:
        image = self._home / IMAGE
        images.make_image(self._facts["formatter"], Path(self._facts["templates"]), image, self._scratch_bytes)
        images.mount_image(image, self._scratch)
        self._mounts.append(self._scratch)
        self._before = images.used(self._scratch)
        for part in SCRATCH_PARTS:
            target = Path(self._scratch, part)
            if part == WORK:
                _copy_tree(self._home / part, target, self.user)
            else:
                target.mkdir()
                _give(target, self.user)

    def _lay_out_folders(self) -> None:
        for part in SCRATCH_PARTS:
            folder = self._home / part
            _give(folder, self.user)
            for path in folder.rglob("*"):
                _give(path, self.user)
            self._bind(str(folder), f"{self._scratch}/{part}")

    def _offer_inputs(self) -> None:
        """Replicas are for the agent's eyes only: at the task's mounts they belong to its user."""
        if not self._facts["inputs"]:
            return
        mapped = syscalls.map_root_to(self.user)
        for mount, folder in self._facts["inputs"]:
            target = f"{self._scratch}/work/{mount}"
            self._inputs.append(syscalls.bind_as(folder, target, mapped))
        os.close(mapped)

    def _bind(self, source: str, target: str, *, read_only: bool = False) -> None:
        Path(target).mkdir(parents=True, exist_ok=True)
        syscalls.bind(source, target, read_only=read_only)
        self._mounts.append(target)

    def _enter_unsandboxed(self) -> None:
        """Without a sandbox the task sees the host: but /tmp and /dev/shm are its own, and runtimes can be reached."""
        syscalls.bind(f"{self._scratch}/tmp", "/tmp")
        syscalls.bind(f"{self._scratch}/shm", "/dev/shm")
        for name, staged in _runtimes(self._facts):
            _make_reachable(Path(name), staged)


def _runtimes(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """The folders of interpreters, each as it is named and where it is staged."""
    return [(name, f"{facts['stage']}/runtime-{index}") for index, name in enumerate(facts["runtimes"])]


def _copy_tree(source: Path, target: Path, user: int) -> None:
    """Copy what the executor laid out: folders and regular files, nothing of a task's making."""
    target.mkdir()
    for path in source.iterdir():
        if path.is_dir():
            _copy_tree(path, target / path.name, user)
        else:
            (target / path.name).write_bytes(path.read_bytes())
            (target / path.name).chmod(path.stat().st_mode & 0o777)
            _give(target / path.name, user)
    _give(target, user)


def _give(path: Path, user: int) -> None:
    os.chown(path, user, user)
    path.chmod(0o700 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o600)


def _make_reachable(folder: Path, staged: str) -> None:
    """Let `folder` be where its name says, where a folder above it lets only root pass or has been replaced."""
    for parent in reversed(folder.parents):
        if not parent.is_dir():
            break
        if not parent.stat().st_mode & stat.S_IXOTH:
            syscalls.mount("tmpfs", str(parent), "tmpfs", syscalls.MS_NOSUID | syscalls.MS_NODEV, _STAGE_OPTIONS)
            break
    else:
        return
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    syscalls.bind(staged, str(folder), read_only=True)


def _unmount(target: str, give_up: float) -> bool:
    """Unmount; what is still busy then goes with this process. Whether it is gone."""
    while True:
        try:
            syscalls.unmount(target)
        except OSError as fault:
            if fault.errno != errno.EBUSY or time.monotonic() > give_up:
                syscalls.unmount(target, syscalls.MNT_DETACH)
                return False
        else:
            return True
        time.sleep(_PAUSE_S)
