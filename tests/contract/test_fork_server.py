"""What tasks are started from: it may be killed at any moment, and nobody but the agent's operator may notice."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from executor_kinds import ProcessExecutor, a_task, log_says

from suanmesh_agent.domain.tasks import TaskKey, TaskSpec, TaskState
from suanmesh_agent.engines.process import images
from suanmesh_agent.engines.process.shim_server import IDLE_MAX, PROCESS_NAME

ANY = pytest.mark.parametrize("kind", ["plain"])
MIB = 1 << 20
FORMATTED = pytest.mark.skipif(not images.formatter(), reason="no program that makes file systems")


@ANY
async def test_a_killed_fork_server_takes_no_task_with_it(executor: ProcessExecutor) -> None:
    """Hours of work would be lost with a process that has nothing to do with it any more."""
    first, second = a_task("import time; print('ready', flush=True); time.sleep(300)"), a_task("print('well')")
    await executor.start(first)
    await log_says(executor, first.key, b"ready")
    os.kill(executor._fork_server.pid, signal.SIGKILL)
    await executor.start(second)
    assert (await executor.over(second.key)).succeeded
    assert executor.look(first.key).state is TaskState.RUNNING


@ANY
async def test_a_start_that_a_killed_fork_server_had_not_read_is_made_again(executor: ProcessExecutor) -> None:
    """A task that is neither started nor refused would keep its job waiting for ever."""
    warm, task = a_task("pass"), a_task("print('well')")
    await executor.start(warm)
    os.kill(executor._fork_server.pid, signal.SIGSTOP)
    starting = asyncio.create_task(executor.start(task))
    while not (executor._tasks.home(task.key) / "shim" / "spec.json").exists():  # noqa: ASYNC110 - a folder, made by a thread
        await asyncio.sleep(0.01)
    os.kill(executor._fork_server.pid, signal.SIGKILL)
    await starting
    assert (await executor.over(task.key)).succeeded


@ANY
async def test_a_shim_knows_nothing_of_the_agents_environment(
    executor: ProcessExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An agent finds tokens in its environment; what runs beside a stranger's program need not have them."""
    monkeypatch.setenv("SUANMESH_AGENT_JOIN_TOKEN", "c0ffee")
    task = a_task("import time; print('ready', flush=True); time.sleep(300)")
    await executor.start(task)
    await log_says(executor, task.key, b"ready")
    started = json.loads((executor._tasks.home(task.key) / "shim" / "started.json").read_text())
    shim = Path("/proc", str(started["pid"]))
    assert (shim / "comm").read_text().strip() == PROCESS_NAME
    assert b"c0ffee" not in (shim / "environ").read_bytes()


async def test_a_shim_that_has_nothing_left_of_its_task_runs_the_next(executor: ProcessExecutor) -> None:
    """Most of a start was to make a process anew; what one task used must not be billed to the next."""
    shims, used_us = set(), []
    for code in ("import time\nwhile time.process_time() < 1: pass", "pass", "pass"):
        task = a_task(code, outputs=("out",))
        await executor.start(task)
        look = await executor.over(task.key)
        assert look.succeeded, executor.read_log(task.key, 0, 1000)
        shims.add(_shim_of(executor, task.key))
        used_us.append(look.usage.cpu_us)
        assert list(executor.collect(task.key, "out")) == []
    (shim,) = shims
    assert _open_files(shim) == {"null", "socket"}
    assert used_us[0] >= 900_000
    assert max(used_us[1:]) < 900_000


async def test_a_stop_that_comes_late_does_not_hit_the_next_task(executor: ProcessExecutor) -> None:
    """A user cancels a job that has just ended: the stranger's job that its shim runs by then must go on."""
    first, second = await _two_of_one_shim(executor)
    executor.stop(first.key)
    os.kill(_shim_of(executor, first.key), signal.SIGTERM)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await executor.over(second.key)
    executor.stop(second.key)
    assert (await executor.over(second.key)).failure == "CANCELLED"


@ANY
async def test_shims_without_a_task_are_few_and_end_with_the_agent(executor: ProcessExecutor) -> None:
    """A burst of a thousand tasks would else leave a thousand processes, and a restart of the agent all of them."""
    tasks = [a_task("", command=("sleep", "1")) for _ in range(IDLE_MAX + 4)]
    assert await executor.submit(tasks) == [None] * len(tasks)
    for task in tasks:
        await executor.over(task.key)
    shims = {_shim_of(executor, task.key) for task in tasks}
    async with asyncio.timeout(60):
        while sum(map(_lives, shims)) > IDLE_MAX:  # noqa: ASYNC110 - processes end by themselves
            await asyncio.sleep(0.02)
    executor.close()
    async with asyncio.timeout(60):
        while any(map(_lives, shims)):  # noqa: ASYNC110 - processes end by themselves
            await asyncio.sleep(0.02)


@ANY
async def test_a_shim_that_is_killed_without_a_task_is_replaced(executor: ProcessExecutor) -> None:
    """The host kills what it likes when it is short of memory; the next task must start all the same."""
    first, second = a_task("pass"), a_task("print('well')")
    await executor.start(first)
    await executor.over(first.key)
    os.kill(_shim_of(executor, first.key), signal.SIGKILL)
    await executor.start(second)
    assert (await executor.over(second.key)).succeeded
    assert _shim_of(executor, first.key) != _shim_of(executor, second.key)


async def _two_of_one_shim(executor: ProcessExecutor) -> tuple[TaskSpec, TaskSpec]:
    """A task that has ended and one that runs; a shim that is not back yet when the second starts is tried again."""
    for _ in range(5):
        first, second = a_task("pass"), a_task("import time; print('ready', flush=True); time.sleep(300)")
        await executor.start(first)
        await executor.over(first.key)
        await executor.start(second)
        await log_says(executor, second.key, b"ready")
        if _shim_of(executor, first.key) == _shim_of(executor, second.key):
            return first, second
        executor.stop(second.key)
        await executor.over(second.key)
    pytest.fail("no shim has run a second task")


def _shim_of(executor: ProcessExecutor, key: TaskKey) -> int:
    pid: int = json.loads((executor._tasks.home(key) / "shim" / "started.json").read_text())["pid"]
    return pid


def _open_files(pid: int) -> set[str]:
    """What it has open: nothing of its tasks, and one socket, to the fork server."""
    links = [str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir()]
    assert len(links) == 4
    return {link.rpartition("/")[2].partition(":")[0] for link in links}


def _lives(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


async def test_a_fork_server_ends_with_its_agent(tmp_path: Path) -> None:
    """Every restart of an agent would else leave a process behind."""
    executor = ProcessExecutor(tmp_path / "tasks", sandbox=None, cgroups=None, runtime_path=(Path("/usr/bin"),))
    task = a_task("", command=("true",))
    await executor.start(task)
    await executor.over(task.key)
    server = os.pidfd_open(executor._fork_server.pid)
    executor.close()
    with pytest.raises(ProcessLookupError):
        signal.pidfd_send_signal(server, 0)
    os.close(server)


@FORMATTED
def test_file_systems_of_one_size_are_made_once(tmp_path: Path) -> None:
    """To make one takes as long as all else of a start; a size nobody has asked for before must still be made."""
    templates, first, second = tmp_path / "templates", tmp_path / "first", tmp_path / "second"
    images.make_image(images.formatter(), templates, first, 16 * MIB)
    images.make_image("/bin/false", templates, second, 16 * MIB)
    assert first.read_bytes() == second.read_bytes()
    assert second.stat().st_blocks * 512 < MIB
    with pytest.raises(OSError, match="failed with status 1"):
        images.make_image("/bin/false", templates, second, 32 * MIB)
    assert len(list(templates.iterdir())) == 1


@FORMATTED
def test_tasks_that_start_together_make_one_whole_file_system(tmp_path: Path) -> None:
    """The first sweep with a size of scratch nobody had asked for left an empty template: no task of that size started
    at the site again, and the site was taken for sick."""
    count, templates, begun = 4, tmp_path / "templates", tmp_path / "begun"
    begun.mkdir()
    program = tmp_path / "mke2fs"
    all_there = f"while [ $(ls {begun} | wc -l) -lt {count} ]; do sleep 0.01; done"
    program.write_text(f'#!/bin/sh\n: > {begun}/$$\n{all_there}\nexec {images.formatter()} "$@"\n')
    program.chmod(0o700)
    made = [tmp_path / f"image-{number}" for number in range(count)]
    with ThreadPoolExecutor(count) as threads:  # as shims, each of which is process 1 of its namespace
        list(threads.map(lambda path: images.make_image(str(program), templates, path, 16 * MIB), made))
    assert [path.name for path in templates.iterdir() if path.suffix != ".img"] == []
    (template,) = templates.iterdir()
    for path in (template, *made):
        assert path.read_bytes()[1080:1082] == b"\x53\xef", "no file system"


@FORMATTED
def test_no_more_file_systems_lie_ready_than_are_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs that each ask for another size would fill the host's memory with empty file systems."""
    monkeypatch.setattr(images, "TEMPLATES_MAX", 3)
    for size in range(1, 7):
        images.make_image(images.formatter(), tmp_path / "templates", tmp_path / "image", size * MIB)
    assert len(list((tmp_path / "templates").iterdir())) <= 3
