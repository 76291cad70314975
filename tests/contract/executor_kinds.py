"""The process engine in every kind this host has, driven one task at a time, and tasks for it."""

from __future__ import annotations

import asyncio
import os
import sys
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from suanmesh_agent.domain.tasks import TaskKey, TaskLook, TaskSpec, UserRange
from suanmesh_agent.engines.process import images
from suanmesh_agent.engines.process.cgroups import Cgroups
from suanmesh_agent.engines.process.engine import ProcessEngine
from suanmesh_agent.engines.process.layout import RUN_FOLDER, Confined
from suanmesh_agent.engines.process.sandbox import Sandbox
from suanmesh_agent.task_run import until_over
from suanmesh_local import tools

RUNTIMES = (Path(sys.prefix), Path(sys.base_prefix))
KINDS = ["plain", "cgroups", "sandbox", "sandbox-cgroups", "sandbox-folder"]


class ProcessExecutor(ProcessEngine):
    """The process engine, one task at a time, its files at hand."""

    walled = property(lambda self: self.capabilities().walled)

    async def start(self, spec: TaskSpec) -> None:
        (fault,) = await self.submit([spec])
        if fault is not None:
            raise fault

    def look(self, key: TaskKey) -> TaskLook:
        return self._tasks.look(key)

    async def over(self, key: TaskKey) -> TaskLook:
        (look,) = await until_over(self, [key])
        return look

    def stop(self, key: TaskKey) -> None:
        self._tasks.cancel(key)

    def output(self, key: TaskKey, mount: str) -> Path:
        return self._output(key, mount)

    def read_log(self, key: TaskKey, offset: int, bytes_max: int) -> tuple[int, bytes]:
        kept = self.open_log(key)
        return kept.read(offset, bytes_max) if kept else (offset, b"")

    def has_log(self, key: TaskKey) -> bool:
        return self.open_log(key) is not None


def _bwrap() -> str | None:
    """The program the launcher would give an agent: installed, or unpacked from Debian's package."""
    try:
        return os.environ.get("SUANMESH_AGENT_BWRAP") or str(tools.bubblewrap(tools.cache_dir()).path)
    except tools.ToolMissing:
        return None


def make_executor(
    kind: str,
    folder: Path,
    permission: Path | None = None,
    runtimes: tuple[Path, ...] = RUNTIMES,
    run_folder: Path = RUN_FOLDER,
    users: UserRange = UserRange(),  # noqa: B008 - cannot change
    **more: Any,
) -> ProcessExecutor:
    """As root each task has a user and a file system of its own; with "folder", scratch is a folder all the same."""
    sandbox = cgroups = confined = None
    if "sandbox" in kind and os.geteuid() != 0:
        program = _bwrap()
        sandbox = Sandbox(program, runtimes) if program else None
        if sandbox is None or not sandbox.usable():
            pytest.skip("no bubblewrap here")
    if "cgroups" in kind:
        cgroups = Cgroups("contract")
        if not cgroups.usable():
            pytest.skip("no control groups here")
    if os.geteuid() == 0:
        formatter = "" if "folder" in kind else images.formatter()
        confined = Confined(users, runtimes, formatter, walled="sandbox" in kind, run_folder=run_folder)
    elif "folder" in kind:
        pytest.skip("without root, scratch is a folder in every kind")
    path = (Path(sys.prefix) / "bin",)
    walls = {"sandbox": sandbox, "cgroups": cgroups, "confined": confined}
    return ProcessExecutor(folder, runtime_path=path, permission=permission, **walls, **more)


async def in_every_kind(folder: Path, acts: Callable[[str, Path], Awaitable[None]]) -> None:
    """Let `acts` happen in all kinds that this host has at once, each in a folder of its own: what waits for a time."""
    acting = []
    for kind in KINDS:
        with suppress(pytest.skip.Exception):
            make_executor(kind, folder / kind / "tried")
            acting.append(acts(kind, folder / kind))
    await asyncio.gather(*acting)


def a_task(code: str, **fields: object) -> TaskSpec:
    key = TaskKey(f"test-{uuid.uuid4().hex[:8]}", 0)
    return TaskSpec(**{"key": key, "command": ("python3", "-c", code), "max_duration_s": 60} | fields)  # type: ignore[arg-type]


async def log_says(executor: ProcessExecutor, key: TaskKey, words: bytes) -> None:
    async with asyncio.timeout(60):
        while words not in executor.read_log(key, 0, 1000)[1]:  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(0.02)
