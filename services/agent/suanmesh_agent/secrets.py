"""The secrets of placements: fetched sealed, opened here, and laid out in memory for as long as tasks may need them."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import structlog

from suanmesh.scheduler.v1 import placement_pb2
from suanmesh.scheduler.v1 import scheduler_service_pb2 as pb
from suanmesh_agent.following import Pauses
from suanmesh_agent.ports import SchedulerPort, TaskNotStarted
from suanmesh_kernel.names import last
from suanmesh_kernel.refusals import Refusal, is_final
from suanmesh_sdk import sealing

log = structlog.get_logger()

MEMORY = Path("/dev/shm")
"""Where Linux keeps files in memory."""
_IN_MEMORY = frozenset(("tmpfs", "ramfs"))


class Wanting(Protocol):
    """A placement whose tasks are about to start."""

    placement: placement_pb2.Placement

    @property
    def to_stop(self) -> bool:
        """Whether it is to run no longer."""


class Secrets:
    """Those of this site, each placement's in a folder of its own."""

    def __init__(self, folder: Path, scheduler: SchedulerPort) -> None:
        """In `folder`, which is to lie in memory."""
        self._folder = folder
        self._scheduler = scheduler

    async def ready(self, wanting: Wanting) -> TaskNotStarted | None:
        """Have the secrets of a placement there before its tasks start; why they cannot be."""
        placement, pauses = wanting.placement, Pauses()
        while placement.work.secrets and not self.of(placement).is_dir() and not wanting.to_stop:
            try:
                self._lay_out(placement, await self._fetched(placement))
            except Refusal as refusal:
                log.info("secrets not fetched", placement=placement.name, reason=refusal.reason)
                if is_final(refusal.code):
                    return TaskNotStarted(f"its secrets cannot be had: {refusal.reason}")
                await pauses.wait()
            except (OSError, sealing.Unreadable) as fault:
                log.error("secrets not laid out", placement=placement.name, message=type(fault).__name__)
                return TaskNotStarted(f"its secrets cannot be laid out: {type(fault).__name__}")
        return None

    def of(self, placement: placement_pb2.Placement) -> Path:
        """Where they lie once they are ready."""
        return self._folder / last(placement.name)

    def drop(self, placement: placement_pb2.Placement) -> None:
        """No task needs them any more; no harm where there are none."""
        if placement.work.secrets:
            self._remove(self.of(placement))

    def sweep(self, held: set[str]) -> None:
        """Drop those of placements that are not `held` here any more, by their names."""
        kept = {last(name) for name in held}
        for folder in self._folder.iterdir() if self._folder.is_dir() else ():
            if folder.name not in kept:
                self._remove(folder)

    def _remove(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # others are in use
            self._folder.rmdir()

    async def _fetched(self, placement: placement_pb2.Placement) -> dict[str, bytes]:
        """By name their values, which nobody on the way could read. Raises Refusal, Unreadable."""
        key = sealing.new_key()
        request = pb.FetchSecretsRequest(placement=placement.name, public_key=sealing.public_half(key))
        answer = await self._scheduler.fetch_secrets(request)
        return {
            each.name: sealing.opened(
                each.sealed, key, sealing.for_placement(placement.name, placement.site, each.name)
            )
            for each in answer.secrets
        }

    def _lay_out(self, placement: placement_pb2.Placement, values: dict[str, bytes]) -> None:
        """All of them or none, for the agent's eyes only. Raises OSError."""
        _enter(self._folder)
        part = self._folder / f".{last(placement.name)}"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(mode=0o700)
        for secret in placement.work.secrets:
            with os.fdopen(os.open(part / secret.name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400), "wb") as file:
                file.write(values[secret.name])
        part.rename(self.of(placement))


def folder_in_memory(data_dir: Path) -> Path:
    """Where the agent with that data folder has the secrets of its tasks; made with the first, gone with the last."""
    name = str(data_dir.absolute()).strip("/").replace("/", "-")[-100:]
    return MEMORY / f"suanmesh-{os.geteuid()}-{name}"


def _enter(folder: Path) -> None:
    """Have a folder that only this user may enter, and no disk keeps. Raises OSError where there cannot be one."""
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if folder.is_symlink() or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise PermissionError(f"{folder} is not this user's own")
    if not _is_in_memory(found.st_dev):
        raise OSError(f"{folder} does not lie in memory")


def _is_in_memory(device: int) -> bool:
    """Whether a file system that is mounted here is one of those that no disk keeps."""
    number = f"{os.major(device)}:{os.minor(device)}"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        words, _, kind = line.partition(" - ")
        if words.split()[2] == number:
            return kind.split()[0] in _IN_MEMORY
    return False
