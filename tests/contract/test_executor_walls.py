"""What a stranger's program must not do to the shim of an agent with root, which runs the next stranger's."""

from __future__ import annotations

import ctypes
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from executor_kinds import ProcessExecutor, a_task, log_says, make_executor

from suanmesh_agent.domain.tasks import UserRange
from suanmesh_agent.engines.process.cgroups import Bounds, Cgroups
from suanmesh_agent.ports import TaskNotStarted

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only an agent with root makes walls itself")
KINDS = pytest.mark.parametrize("kind", ["sandbox", pytest.param("sandbox-folder", marks=pytest.mark.attack)])
ONE_USER = UserRange(1_999_000_000, 1)

BOMB = """
import os, signal, time
for number in range(1, 65):
    if number not in (9, 17, 19, 32, 33): signal.signal(number, signal.SIG_IGN)
print('ready', flush=True)
while True:
    try:
        if os.fork() and os.fork(): os._exit(0)
    except OSError: pass
"""
"""Processes that double and end all the time: who looks at one is late."""
STATUS = "print(open('/proc/self/status').read())"


@pytest.fixture
def lone(kind: str, tmp_path: Path) -> Iterator[ProcessExecutor]:
    """An executor that has one user for all its tasks, so that the next waits for nobody to give one back."""
    executor = make_executor(kind, tmp_path / "tasks", run_folder=tmp_path / "run", users=ONE_USER)
    yield executor
    executor.close()


@KINDS
async def test_a_task_that_could_not_be_laid_out_takes_no_user(lone: ProcessExecutor, tmp_path: Path) -> None:
    """A site whose disk was full for an hour would have no user left for any task until the host starts anew."""
    with pytest.raises(TaskNotStarted) as told:
        await lone.start(a_task("", inputs=(("in", tmp_path / "gone"),)))
    assert "\n" not in str(told.value)  # which is what the job's owner reads
    assert "gone" in str(told.value) or "No such file" in str(told.value)
    task = a_task("")
    await lone.start(task)
    assert (await lone.over(task.key)).succeeded


@KINDS
async def test_a_task_that_forks_away_is_caught(lone: ProcessExecutor) -> None:
    """Processes that are killed one by one double faster, outlive the task, and keep its user for good."""
    task = a_task(BOMB)
    await lone.start(task)
    await log_says(lone, task.key, b"ready")
    lone.stop(task.key)
    await lone.over(task.key)
    following = a_task("")
    await lone.start(following)
    assert (await lone.over(following.key)).succeeded


@KINDS
async def test_a_link_in_the_way_of_an_input_leads_nowhere(lone: ProcessExecutor, tmp_path: Path) -> None:
    """What a task puts above its input, root must not follow as it unmounts that: it would unmount for the task."""
    (tmp_path / "replica").mkdir()
    code = "import os; os.rename('deep', 'moved'); os.symlink('/', 'deep')"
    task = a_task(code, inputs=(("deep/proc", tmp_path / "replica"),))
    await lone.start(task)
    assert (await lone.over(task.key)).succeeded
    following = a_task("import os; print(os.getpid())")
    await lone.start(following)
    assert (await lone.over(following.key)).succeeded
    assert int(lone.read_log(following.key, 0, 100)[1]) > 2, "the shim has ended"


@KINDS
async def test_capabilities_are_not_passed_on(lone: ProcessExecutor) -> None:
    """An agent that a service manager gives capabilities to pass on must not pass them on to strangers."""
    with _inheritable_capabilities():
        task = a_task(STATUS)
        await lone.start(task)
    await lone.over(task.key)
    said = lone.read_log(task.key, 0, 10_000)[1].decode()
    assert "CapInh:\t0000000000000000" in said


SEEN = """
import sys
from pathlib import Path
from suanmesh_agent.engines.process import syscalls
folder, shared = Path(sys.argv[1]), 1 << 20
syscalls.unshare_mounts()
for name in ('source', 'target'): (folder / name).mkdir()
syscalls.mount('tmpfs', str(folder / 'source'), 'tmpfs')
syscalls.mount('', str(folder / 'source'), flags=shared)
(folder / 'source' / 'share').mkdir()
syscalls.bind_tree(str(folder / 'source'), str(folder / 'target'), syscalls.READ)
syscalls.mount('tmpfs', str(folder / 'source' / 'share'), 'tmpfs')
(folder / 'source' / 'share' / 'letter').touch()
print(list((folder / 'target' / 'share').iterdir()))
"""


def test_what_the_host_mounts_later_is_not_shown(tmp_path: Path) -> None:
    """A disk that its admin mounts below /usr, for all users to write to, a stranger's task must not write to."""
    seen = subprocess.run([sys.executable, "-c", SEEN, str(tmp_path)], capture_output=True, text=True, check=True)
    assert seen.stdout == "[]\n"


async def test_a_site_that_had_no_room_for_a_process_starts_the_next(tmp_path: Path) -> None:
    """A fork that failed once must not leave the fork server in a namespace where every other fails."""
    executor = make_executor("sandbox-cgroups", tmp_path / "tasks")
    first = a_task("import time; print('ready', flush=True); time.sleep(300)")
    await executor.start(first)  # so that there is a fork server
    groups = Cgroups("contract-starved")
    files = groups.make("server", Bounds(processes=1))
    for path in files.members:
        Path(path).write_text(str(executor._fork_server.pid))  # noqa: ASYNC240 - the kernel's own
    try:
        with pytest.raises(TaskNotStarted):
            await executor.start(a_task(""))
        groups.make("server", Bounds(processes=1000))
        task = a_task("")
        await executor.start(task)
        assert (await executor.over(task.key)).succeeded
    finally:
        executor.stop(first.key)
        await executor.over(first.key)
        executor.close()
        groups.remove("server")


@contextmanager
def _inheritable_capabilities() -> Iterator[None]:
    """Of this thread and what it starts, as many as it has."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = struct.pack("=Ii", 0x20080522, 0)
    before = ctypes.create_string_buffer(24)
    assert libc.capget(header, before) == 0
    effective, permitted, _, *high = struct.unpack("=6I", before)
    given = struct.pack("=6I", effective, permitted, permitted, high[0], high[1], high[1])
    assert libc.capset(header, given) == 0
    try:
        yield
    finally:
        assert libc.capset(header, before) == 0
