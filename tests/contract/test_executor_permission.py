"""Tasks run for as long as their site may run any: in every kind of executor."""

from __future__ import annotations

import time
from pathlib import Path

from executor_kinds import a_task, in_every_kind, make_executor

from suanmesh_agent.domain.tasks import TaskState
from suanmesh_agent.permission import RunPermission
from suanmesh_kernel.clock import SystemClock
from suanmesh_kernel.permission import STOP_S_MAX


class Unwatched:
    """A permission that nobody renews: an agent that is dead, frozen, or hears nothing."""

    def __init__(self, folder: Path, run_for_s: float) -> None:
        clock = SystemClock()
        permission = RunPermission(folder / "permission", clock)
        permission.renew(clock.monotonic(), run_for_s)
        permission.close()
        self.path = permission.path


async def test_no_task_outlives_the_sites_permission(tmp_path: Path) -> None:
    """A site nobody hears would go on with what the mesh runs elsewhere by then, and both would be paid."""
    await in_every_kind(tmp_path, _is_fenced)


async def _is_fenced(kind: str, folder: Path) -> None:
    permitted_s = 6.0
    unwatched = Unwatched(folder, permitted_s)
    executor = make_executor(kind, folder / "tasks", unwatched.path)
    code = (
        "import os, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "if os.fork() == 0:\n os.setsid()\n"
        "while True: os.write(1, f'{time.clock_gettime(time.CLOCK_BOOTTIME)}\\n'.encode()); time.sleep(0.05)"
    )
    task = a_task(code, scratch_bytes=2**30)
    begin = time.clock_gettime(time.CLOCK_BOOTTIME)
    await executor.start(task)
    look = await executor.over(task.key)
    last_sign = max(float(line) for line in executor.read_log(task.key, 0, 10**6)[1].split())
    assert (look.state, look.failure) == (TaskState.ENDED, "FENCED")
    assert 2.0 <= last_sign - begin <= permitted_s + STOP_S_MAX  # it may have been without a turn at its end
    executor.forget(task.key.placement)


async def test_a_renewed_permission_lets_a_task_go_on(tmp_path: Path) -> None:
    """A job of hours must not end because its agent was away for a moment."""
    await in_every_kind(tmp_path, _goes_on)


async def _goes_on(kind: str, folder: Path) -> None:
    permitted_s = 6.0
    clock = SystemClock()
    permission = RunPermission(folder / "permission", clock)
    permission.renew(clock.monotonic(), permitted_s)
    executor = make_executor(kind, folder / "tasks", permission.path)
    task = a_task(f"import time; time.sleep({permitted_s + 1})")
    await executor.start(task)
    permission.close()
    successor = RunPermission(folder / "permission", clock)
    assert successor.epoch is not None
    successor.renew(clock.monotonic(), 60)
    assert (await executor.over(task.key)).succeeded
    executor.forget(task.key.placement)


async def test_without_permission_a_task_does_not_begin(kind: str, tmp_path: Path) -> None:
    """An agent that was frozen as it started a task would start it after the mesh has counted it out."""
    unwatched = Unwatched(tmp_path, 0.0)
    executor = make_executor(kind, tmp_path / "tasks", unwatched.path)
    task = a_task("open('out/ran', 'w')", outputs=("out",))
    await executor.start(task)
    look = await executor.over(task.key)
    assert (look.state, look.failure) == (TaskState.ENDED, "FENCED")
    assert not (executor.output(task.key, "out") / "ran").exists()
    executor.forget(task.key.placement)
