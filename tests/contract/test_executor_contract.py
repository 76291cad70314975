"""What every executor promises: one suite for plain processes, bubblewrap, and control groups."""

from __future__ import annotations

import asyncio
import mmap
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from executor_kinds import RUNTIMES, ProcessExecutor, a_task, log_says, make_executor

from suanmesh_agent.domain.endings import reason_of
from suanmesh_agent.domain.tasks import Artefact, TaskKey, TaskState
from suanmesh_agent.engines.process.processes import memory_bytes
from suanmesh_content import FolderError


async def test_a_task_ends_with_its_status_and_its_log(executor: ProcessExecutor) -> None:
    """A user told "failed" needs the exit status and the words of the program, whole."""
    task = a_task("import sys; print('hello'); print('trouble', file=sys.stderr); sys.exit(3)")
    await executor.start(task)
    look = await executor.over(task.key)
    assert (look.state, look.exit_status, look.failure) == (TaskState.ENDED, 3, "")
    assert sorted(executor.read_log(task.key, 0, 1000)[1].split()) == [b"hello", b"trouble"]


async def test_a_task_finds_artefacts_inputs_and_outputs(executor: ProcessExecutor, tmp_path: Path) -> None:
    """A program that works at one site must find its files in the same places at another."""
    replica = tmp_path / "replica"
    replica.mkdir()
    (replica / "numbers").write_text("1 2 3")
    (replica / "numbers").chmod(0o400)
    replica.chmod(0o500)
    code = (
        "numbers = map(int, open('in/data/numbers').read().split())\n"
        "print(sum(numbers), open('run/name').read(), file=open('out/sum', 'w'))"
    )
    task = a_task(code, artefacts=(Artefact("run/name", b"six"),), inputs=(("in/data", replica),), outputs=("out",))
    await executor.start(task)
    assert (await executor.over(task.key)).succeeded
    assert (executor.output(task.key, "out") / "sum").read_text() == "6 six\n"


async def test_a_task_finds_the_variables_of_its_job(executor: ProcessExecutor) -> None:
    """A sweep whose tasks all see the same seed is paid for a hundred times and tells one thing."""
    mine = (("GREETING", "a b=c\n你好"), ("HOME", "elsewhere"), ("SUANMESH_PARAM_SEED", "7"))
    code = "import os; print(*(repr(os.environ[name]) for name in ('GREETING', 'HOME', 'SUANMESH_PARAM_SEED', 'OURS')))"
    task = a_task(code, variables=mine, environment=(("OURS", "x"),))
    await executor.start(task)
    assert (await executor.over(task.key)).succeeded
    said = executor.read_log(task.key, 0, 1000)[1].decode()
    assert said == "'a b=c\\n你好' 'elsewhere' '7' 'x'\n"
    odd = a_task("", variables=mine, command=("no=such", "program"))
    await executor.start(odd)
    look = await executor.over(odd.key)
    assert (look.exit_status, look.failure) == (127, "COMMAND_NOT_FOUND"), "a name with = in it is still the program's"


async def test_starting_twice_runs_once(executor: ProcessExecutor) -> None:
    """An agent that comes back must not run a paid task a second time."""
    task = a_task("import sys; open('out/runs', 'a').write('x')", outputs=("out",))
    await executor.start(task)
    await executor.start(task)
    await executor.over(task.key)
    await executor.start(task)
    await executor.over(task.key)
    assert (executor.output(task.key, "out") / "runs").read_text() == "x"


async def test_a_stopped_task_ends_cancelled_with_all_it_started(executor: ProcessExecutor) -> None:
    """A cancelled job must not go on eating cores in a forgotten child."""
    code = (
        "import os, time, pathlib\n"
        "if os.fork() == 0:\n os.setsid()\n time.sleep(300)\n"
        "print('ready', flush=True); time.sleep(300)"
    )
    task = a_task(code)
    await executor.start(task)
    await log_says(executor, task.key, b"ready")
    assert executor.idle_placements() == []
    executor.stop(task.key)
    look = await executor.over(task.key)
    assert (look.state, look.failure) == (TaskState.ENDED, "CANCELLED")
    assert not executor.running()


async def test_a_task_may_tidy_up_when_it_is_stopped(executor: ProcessExecutor) -> None:
    """A program that saves its work on SIGTERM gets the time for it."""
    code = (
        "import signal, sys, time\n"
        "def bye(*_):\n open('out/saved', 'w').write('yes'); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, bye); print('ready', flush=True); time.sleep(300)"
    )
    task = a_task(code, outputs=("out",))
    await executor.start(task)
    await log_says(executor, task.key, b"ready")
    executor.stop(task.key)
    await executor.over(task.key)
    assert (executor.output(task.key, "out") / "saved").read_text() == "yes"


async def test_a_task_past_its_time_is_ended(executor: ProcessExecutor) -> None:
    """The time a job was planned and paid for is its bound."""
    task = a_task("import time; time.sleep(300)", max_duration_s=1)
    await executor.start(task)
    assert (await executor.over(task.key)).failure == "TIMED_OUT"


async def test_a_task_that_takes_too_much_memory_is_told_so(executor: ProcessExecutor) -> None:
    """A neighbour's leak must neither hurt others nor look like a bug of the program."""
    code = "import time\nhog = []\nfor _ in range(400):\n hog.append(bytearray(b'x' * 1_000_000)); time.sleep(0.005)"
    task = a_task(code, memory_bytes=100_000_000)
    await executor.start(task)
    look = await executor.over(task.key)
    assert look.failure == "OUT_OF_MEMORY"
    assert look.exit_status == 137
    assert 90_000_000 <= look.memory_bytes <= 450_000_000
    assert dict(reason_of(0, look).facts)["memory_bytes"] == str(look.memory_bytes)


async def test_the_signal_that_ended_a_task_is_named(executor: ProcessExecutor) -> None:
    """Few know 139 by heart: a crash in a library looks like a status that the program chose."""
    task = a_task("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    by_shell = a_task("", command=("sh", "-c", "kill -ABRT $$"))
    for each, status, name in ((task, 139, "SIGSEGV"), (by_shell, 134, "SIGABRT")):
        await executor.start(each)
        look = await executor.over(each.key)
        assert (look.exit_status, look.failure) == (status, "")
        assert dict(reason_of(0, look).facts)["signal"] == name


async def test_a_task_that_will_not_end_is_ended(executor: ProcessExecutor) -> None:
    """A program that ignores SIGTERM, with a child in a session of its own, would keep what others wait for."""
    code = (
        "import os, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "if os.fork() == 0:\n os.setsid()\n if os.fork(): os._exit(0)\n"
        "print('ready', flush=True); time.sleep(300)"
    )
    task = a_task(code, max_duration_s=1)
    await executor.start(task)
    look = await executor.over(task.key)
    assert (look.failure, look.exit_status) == ("TIMED_OUT", 137)
    assert not executor.running()


def test_a_process_that_has_ended_takes_no_memory() -> None:
    """Workers that end together were counted as if each had held alone what they shared: an OUT_OF_MEMORY of nobody."""
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    assert memory_bytes([child]) == 0
    os.waitpid(child, 0)
    assert memory_bytes([child]) == 0
    assert memory_bytes([os.getpid()]) > 1_000_000


def test_a_file_that_is_mapped_is_no_memory_of_a_process(tmp_path: Path) -> None:
    """A task that maps its input, as of `numpy.load(..., mmap_mode="r")`, needs no memory for all of it."""
    size = 64 << 20
    with (tmp_path / "data").open("wb+") as file:
        file.write(b"x" * size)
        file.flush()
        os.fsync(file.fileno())
        before, in_memory = memory_bytes([os.getpid()]), _in_memory_kib()
        with mmap.mmap(file.fileno(), size, prot=mmap.PROT_READ) as mapped:
            assert mapped[:: mmap.PAGESIZE].count(b"x") == size // mmap.PAGESIZE
            if _in_memory_kib() > in_memory + 1024:
                pytest.skip("the folder for temporary files lies in memory itself")
            assert memory_bytes([os.getpid()]) < before + size // 2
    kept = bytearray(b"x") * size
    assert memory_bytes([os.getpid()]) > before + size // 2, f"{len(kept)} bytes of its own are"


def _in_memory_kib() -> int:
    """What this process has mapped of files that lie in memory; 0 where that is not told."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss_Shmem:")), 0)


async def test_a_task_that_fills_the_disk_is_ended(executor: ProcessExecutor) -> None:
    """One task's scratch must not fill the site's disk."""
    code = "import time\nf = open('big', 'wb')\nwhile True:\n f.write(b'x' * 1_000_000); f.flush(); time.sleep(0.02)"
    task = a_task(code, scratch_bytes=5_000_000)
    await executor.start(task)
    assert (await executor.over(task.key)).failure == "SCRATCH_EXCEEDED"


async def test_processor_time_of_forked_children_is_metered(executor: ProcessExecutor) -> None:
    """What is billed must be what was used, also by children: 2 processor seconds within 5 %."""
    code = (
        "import os, time\n"
        "for _ in range(2):\n"
        " if os.fork() == 0:\n"
        "  while time.process_time() < 1.0: pass\n"
        "  os._exit(0)\n"
        "for _ in range(2): os.wait()\n"
        "print(time.process_time())\n"
    )
    task = a_task(code)
    await executor.start(task)
    look = await executor.over(task.key)
    assert look.succeeded
    own_us = 1e6 * float(executor.read_log(task.key, 0, 100)[1])
    assert 1_900_000 <= look.usage.cpu_us - own_us <= 2_100_000


async def test_a_long_log_keeps_its_beginning_and_its_end(executor: ProcessExecutor) -> None:
    """How a run began and its last words are what somebody looks for; a chatty task must not fill the disk."""
    task = a_task("for i in range(20000): print(f'{i:09}')", log_bytes=40_000)
    await executor.start(task)
    await executor.over(task.key)
    kept: list[bytes] = []
    left_out = end = 0
    while (found := executor.read_log(task.key, end, 7_000))[1]:
        left_out += found[0] - end
        end = found[0] + len(found[1])
        kept.append(found[1])
    assert (end, left_out + len(b"".join(kept))) == (200_000, 200_000)
    assert b"".join(kept).startswith(b"000000000\n000000001\n")
    assert b"".join(kept).endswith(b"000019999\n")
    assert 30_000 <= len(b"".join(kept)) <= 40_000


async def test_a_task_whose_shim_was_killed_is_lost(executor: ProcessExecutor) -> None:
    """A crash of the host must be told, not waited for; and what was used until then is known."""
    task = a_task("import time; print('ready', flush=True); time.sleep(300)")
    await executor.start(task)
    await log_says(executor, task.key, b"ready")
    shim = executor._folder / task.key.placement / "0" / "shim" / "started.json"
    os.kill(int(shim.read_text().split(":")[1].split(",")[0]), signal.SIGKILL)
    look = await executor.over(task.key)
    assert look.state is TaskState.LOST
    assert look.start_time is not None


async def test_a_task_survives_the_agent(kind: str, tmp_path: Path) -> None:
    """A crash of the agent must cost nobody the hours a task has run: the next agent finds it, usage and end."""
    make_executor(kind, tmp_path / "tasks")
    script = (
        "import asyncio, os, sys\n"
        "sys.path[:0] = [sys.argv[1]]\n"
        "from pathlib import Path\n"
        "from executor_kinds import ProcessExecutor, a_task, make_executor\n"
        "burn = 'import os, time\\nif os.fork() == 0:\\n while time.process_time() < 1: pass\\n os._exit(0)\\n'\n"
        "burn += 'os.wait()\\nprint(time.process_time())'\n"
        "task = a_task(burn)\n"
        "asyncio.run(make_executor(sys.argv[2], Path(sys.argv[3])).start(task))\n"
        "print(task.key.placement, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    arguments = [sys.executable, "-c", script, str(Path(__file__).parent), kind, str(tmp_path / "tasks")]
    agent = await asyncio.to_thread(subprocess.run, arguments, capture_output=True, text=True, check=False, timeout=60)
    assert agent.returncode == -signal.SIGKILL, agent.stderr
    successor = make_executor(kind, tmp_path / "tasks")
    key = TaskKey(agent.stdout.strip(), 0)
    look = await successor.over(key)
    own_us = 1e6 * float(successor.read_log(key, 0, 100)[1])
    successor.forget(key.placement)
    assert look.succeeded
    assert 800_000 <= look.usage.cpu_us - own_us <= 1_200_000


async def test_forgetting_leaves_nothing(executor: ProcessExecutor, tmp_path: Path) -> None:
    """A site that runs for years must not fill up with the past."""
    task = a_task(
        "import os; os.makedirs('out/a/b'); open('out/a/b/c', 'w'); os.chmod('out/a', 0o500)", outputs=("out",)
    )
    await executor.start(task)
    await executor.over(task.key)
    executor.forget_work(task.key.placement)
    assert executor.has_log(task.key)
    executor.forget(task.key.placement)
    assert executor.look(task.key).state is TaskState.ABSENT
    assert executor.placements() == []


DIG = "import os\nos.chdir('out')\nfor _ in range({depth}):\n os.mkdir({name}); os.chdir({name})\n"
TREES = {
    "deep": DIG.format(depth=1500, name="'a'"),
    "long": DIG.format(depth=30, name="'a' * 250"),
    "locked": "import os\nos.makedirs('out/a/b')\nfor name in ('out/a/b', 'out/a', 'out'): os.chmod(name, 0)",
    "special": (
        "import os, socket\nos.mkfifo('out/pipe')\nos.symlink('loop', 'out/loop')\nopen('out/one', 'w').close()\n"
        "os.link('out/one', 'out/two')\nsocket.socket(socket.AF_UNIX).bind('out/socket')"
    ),
}


@pytest.mark.parametrize("tree", TREES)
async def test_whatever_a_task_leaves_is_removed(executor: ProcessExecutor, tree: str) -> None:
    """One small job would else stop its site for everybody, or fill its disk a little more each time."""
    task = a_task(TREES[tree], outputs=("out",))
    await executor.start(task)
    assert (await executor.over(task.key)).succeeded, executor.read_log(task.key, 0, 1000)
    assert executor.idle_placements() == [task.key.placement]
    executor.forget_work(task.key.placement)
    executor.forget_work(task.key.placement)
    assert executor.idle_placements() == []
    assert executor.ended_placements() == [task.key.placement]


async def test_an_output_over_links_without_end_is_refused(executor: ProcessExecutor) -> None:
    """A chain of links costs a program nothing, and must cost its site no more."""
    code = (
        "import os\nos.rmdir('out'); os.removedirs('more/below')\n"
        "for i in range(1500): os.symlink(str(i + 1), str(i))\n"
        "os.symlink('0', 'out'); os.symlink('0', 'more')"
    )
    task = a_task(code, outputs=("out", "more/below"))
    await executor.start(task)
    await executor.over(task.key)
    for mount in task.outputs:
        with pytest.raises(FolderError, match="over a link"):
            executor.output(task.key, mount)


async def test_what_lies_deep_is_counted(executor: ProcessExecutor) -> None:
    """A program that hides what it writes under a long path would fill the disk that its neighbours pay for."""
    code = TREES["long"] + "f = open('big', 'wb')\nfor _ in range(40): f.write(b'x' * 1_000_000)\n"
    task = a_task(code + "f.flush(); import time; time.sleep(300)", outputs=("out",), scratch_bytes=10_000_000)
    await executor.start(task)
    assert (await executor.over(task.key)).failure == "SCRATCH_EXCEEDED"


@pytest.mark.parametrize("kind", ["sandbox", "sandbox-cgroups", "sandbox-folder"])
async def test_a_sandboxed_task_sees_its_own_folders_only(executor: ProcessExecutor, tmp_path: Path) -> None:
    """A stranger's program must read neither the site's keys nor another's data, nor talk to the network."""
    secret = tmp_path / "agent.key"
    secret.write_text("secret")
    replica = tmp_path / "replica"
    replica.mkdir()
    (replica / "kept").write_text("as it is")
    code = (
        "import os, socket\n"
        f"assert not os.path.exists({str(secret)!r})\n"
        "assert not os.path.exists('/root') and not os.path.exists('/home')\n"
        "try: open('in/kept', 'w')\n"
        "except OSError: pass\n"
        "else: raise SystemExit('wrote an input')\n"
        "assert socket.if_nameindex() == [(1, 'lo')], socket.if_nameindex()\n"
        "assert all(int(p) < 10 for p in os.listdir('/proc') if p.isdigit())\n"
    )
    code = code.replace("not os.path.exists('/root') and ", "") if str(RUNTIMES[1]).startswith("/root") else code
    task = a_task(code, inputs=(("in", replica),))
    await executor.start(task)
    look = await executor.over(task.key)
    assert look.succeeded, executor.read_log(task.key, 0, 1000)
    assert (replica / "kept").read_text() == "as it is"


@pytest.mark.parametrize("kind", ["sandbox"])
async def test_an_interpreter_below_tmp_is_not_covered(kind: str, tmp_path: Path) -> None:
    """A checkout in /tmp has its environment there: a task's own /tmp must not hide what it runs with."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        tool = _a_tool(Path(name, "runtime"))
        executor = make_executor(kind, tmp_path / "tasks", runtimes=(tool.parent,))
        task = a_task("", command=(str(tool),))
        await executor.start(task)
        await executor.over(task.key)
        assert executor.read_log(task.key, 0, 1000)[1] == b"as well\n"


async def test_a_task_ends_with_the_process_it_lives_with(kind: str, tmp_path: Path) -> None:
    """A node that is tried on a laptop must leave nothing that runs on, whatever ended its launcher."""
    launcher = await asyncio.create_subprocess_exec("sleep", "300")
    executor = make_executor(kind, tmp_path / "tasks", lives_with=launcher.pid)
    task = a_task("import time; print('ready', flush=True); time.sleep(300)")
    await executor.start(task)
    await log_says(executor, task.key, b"ready")
    launcher.kill()
    await launcher.wait()
    assert (await executor.over(task.key)).failure == "CANCELLED"


def _a_tool(folder: Path) -> Path:
    folder.mkdir()
    folder.chmod(0o755)
    tool = folder / "tool"
    tool.write_text("#!/bin/sh\ntouch /tmp/mine && echo as well\n")
    tool.chmod(0o755)
    return tool
