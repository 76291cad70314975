"""What a stranger's program must not do to its site: each attack as it was tried, on the executors that wall it off."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from executor_kinds import ProcessExecutor, a_task, log_says, make_executor

from suanmesh_agent.domain.tasks import TaskState
from suanmesh_agent.replicas import Replicas

MIB = 1 << 20
ATTACK = pytest.mark.attack
"""The same on executors that differ in one thing; run by `make test-attack`."""
OTHERS = [pytest.param(kind, marks=ATTACK) for kind in ("sandbox", "sandbox-folder")]
SANDBOXED = pytest.mark.parametrize("kind", ["sandbox-cgroups", *OTHERS])
BOUNDED = pytest.mark.parametrize("kind", ["sandbox-cgroups", OTHERS[0]])
EVERY = pytest.mark.parametrize("kind", ["plain", "sandbox-cgroups", pytest.param("cgroups", marks=ATTACK), *OTHERS])
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only an agent with root has users and file systems for tasks")

SHUT = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def fails(what, act, *args):
    try: done = act(*args)
    except (OSError, PermissionError): return
    if done != -1: sys.exit(f"breach: {what}")
"""
LOADED = """
import glob, re
for path in glob.glob('loader.*'):
    for name in re.findall('initialize program: (.*)', open(path, errors='replace').read()):
        print(name)
"""
ATTACKS = {
    "sysctl": """
for folder, _, names in os.walk('/proc/sys'):
    for name in names: fails(f'{folder}/{name}', os.open, f'{folder}/{name}', os.O_WRONLY)
""",
    "proc": """
for name in ('sysrq-trigger', 'irq/default_smp_affinity', 'pressure/io', 'self/oom_score_adj/../../../sysrq-trigger'):
    fails(name, os.open, f'/proc/{name}', os.O_WRONLY)
for name in ('kcore', 'kmsg', 'keys', 'kallsyms'): fails(name, os.open, f'/proc/{name}', os.O_RDONLY)
if os.path.exists('/sys/kernel') or os.path.exists('/boot'): sys.exit('breach: /sys')
""",
    "privileges": """
fails('setuid', os.setuid, 0)
fails('setgroups', os.setgroups, [0])
facts = dict(line.split(':\\t', 1) for line in open('/proc/self/status').read().splitlines() if ':\\t' in line)
for name in ('CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'):
    if int(facts[name], 16): sys.exit(f'breach: {name} {facts[name]}')
if facts['NoNewPrivs'].strip() != '1' or facts['Seccomp'].strip() != '2': sys.exit('breach: privileges may be gained')
if facts['Groups'].strip() not in ('', '65534'): sys.exit('breach: groups ' + facts['Groups'])
""",
    "devices": """
import stat
for kind in (stat.S_IFBLK, stat.S_IFCHR): fails('mknod', os.mknod, 'node', 0o666 | kind, os.makedev(7, 0))
for name in os.listdir('/dev'):
    if name not in {'null', 'zero', 'full', 'random', 'urandom', 'tty', 'pts', 'ptmx', 'shm', 'fd', 'core', 'console',
                    'stdin', 'stdout', 'stderr'}: sys.exit(f'breach: /dev/{name}')
""",
    "namespaces": """
fails('mount', libc.mount, b'tmpfs', b'/task', b'tmpfs', 0, None)
for flag in (0x10000000, 0x20000, 0x40000000, 0x20000000): fails('unshare', libc.unshare, flag)
fails('setns', libc.setns, os.open('/proc/1/ns/mnt', os.O_RDONLY) if os.access('/proc/1/ns/mnt', 4) else 0, 0)
fails('chroot', os.chroot, '/task')
""",
    "system calls": """
numbers = {'x86_64': (248, 250, 321, 298, 323, 425, 101, 246, 313, 179),
           'aarch64': (217, 219, 280, 241, 282, 425, 117, 104, 273, 60)}.get(os.uname().machine, ())
for number in numbers: fails(f'system call {number}', libc.syscall, number, 0, 0, 0, 0, 0)
if ctypes.get_errno() != 1: sys.exit('breach: not denied')
""",
    "sockets": """
import socket
for family in (socket.AF_VSOCK, socket.AF_PACKET, 38): fails(f'family {family}', socket.socket, family, socket.SOCK_RAW)
for protocol in range(1, 32): fails(f'netlink {protocol}', socket.socket, socket.AF_NETLINK, socket.SOCK_RAW, protocol)
for family in range(2, 46):
    made = libc.socketpair(family, 1, 0, (ctypes.c_int * 2)())
    if made != -1 or ctypes.get_errno() != 97: sys.exit(f'breach: a pair of family {family} is tried')
""",
    "system files": """
for name in ('/x', '/usr/x', '/etc/x', '/dev/x', '/proc/x', '/etc/passwd'):
    fails(name, os.open, name, os.O_WRONLY | os.O_CREAT)
if os.path.exists('/etc/shadow') or os.path.exists('/etc/ssl/private'): sys.exit('breach: /etc')
""",
}


@SANDBOXED
async def test_the_variables_of_a_job_steer_nothing_outside_its_walls(kind: str, tmp_path: Path) -> None:
    """With LD_PRELOAD a job's library would be run by what builds the sandbox, as the agent's user, outside of it."""
    executor = make_executor(kind, tmp_path)
    steering = (("LD_DEBUG", "files"), ("LD_DEBUG_OUTPUT", "loader"))
    task = a_task("", variables=steering, command=("sh", "-c", f"ls; exec python3 -c {shlex.quote(LOADED)}"))
    await executor.start(task)
    assert (await executor.over(task.key)).succeeded
    said = executor.read_log(task.key, 0, 100_000)[1].decode()
    assert "ls\n" in said, "the job's own programs are steered"
    assert "bwrap" not in said


@SANDBOXED
@pytest.mark.parametrize("attack", ATTACKS)
async def test_the_host_is_out_of_reach(executor: ProcessExecutor, attack: str) -> None:
    """One stranger's job would own the machine, and with it every key and every other party's data."""
    task = a_task(SHUT + ATTACKS[attack])
    await executor.start(task)
    look = await executor.over(task.key)
    assert look.succeeded, executor.read_log(task.key, 0, 4000)[1].decode()


@SANDBOXED
async def test_sockets_of_the_host_are_out_of_reach(executor: ProcessExecutor) -> None:
    """Many programs of a host listen on abstract sockets, and trust whoever connects."""
    name = f"\0suanmesh-{uuid.uuid4().hex}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(name)
        listener.listen()
        task = a_task(f"import socket\nsocket.socket(socket.AF_UNIX).connect({name!r})")
        await executor.start(task)
        assert (await executor.over(task.key)).exit_status == 1
        assert b"ConnectionRefusedError" in executor.read_log(task.key, 0, 4000)[1]


@AS_ROOT
@EVERY
async def test_tasks_are_out_of_reach_of_each_other(executor: ProcessExecutor, tmp_path: Path) -> None:
    """Two competitors run at one site: neither may read, stop or trace what the other runs, nor the agent's keys."""
    (tmp_path / "agent.key").write_text("secret")
    victim = a_task(
        "open('kept', 'w').write('mine'); print('ready', flush=True); import time; time.sleep(300)",
        environment=(("TOKEN", "c0ffee"),),
    )
    await executor.start(victim)
    await log_says(executor, victim.key, b"ready")
    shim = (executor._folder / victim.key.placement / "0" / "shim" / "started.json").read_text()
    code = SHUT + (
        f"fails('key', open, {str(tmp_path / 'agent.key')!r})\n"
        f"fails('work', os.listdir, {str(executor._folder)!r})\n"
        "for pid in filter(str.isdigit, os.listdir('/proc')):\n"
        " if pid == str(os.getpid()): continue\n"
        " try: told = open(f'/proc/{pid}/environ', 'rb').read()\n"
        " except OSError: continue\n"
        " if b'c0ffee' in told: sys.exit('breach: environ')\n"
        " fails('ptrace', libc.ptrace, 16, int(pid), None, None)\n"
        f"fails('shim', os.kill, {shim.split(':')[1].split(',')[0]}, 9)\n"
        f"fails('agent', os.kill, {os.getpid()}, 0)\n"
        "for pid in filter(str.isdigit, os.listdir('/proc')):\n"
        " try: owner = os.stat(f'/proc/{pid}').st_uid\n"
        " except OSError: continue\n"
        " if owner != os.getuid(): fails(f'signal to {pid}', os.kill, int(pid), 0)\n"
    )
    attacker = a_task(code)
    await executor.start(attacker)
    look = await executor.over(attacker.key)
    words = executor.read_log(attacker.key, 0, 4000)[1].decode()
    assert "breach" not in words
    assert look.state is TaskState.ENDED
    assert executor.look(victim.key).state is TaskState.RUNNING, words


@AS_ROOT
@EVERY
async def test_a_setuid_program_is_of_no_use_to_anybody(kind: str, open_folder: Path) -> None:
    """A job that leaves a setuid shell would make every user of the host its root, now or out of a replica."""
    executor = make_executor(kind, open_folder / "tasks")
    code = (
        "import os, shutil, time\nshutil.copy('/usr/bin/id', 'out/tool')\nos.chmod('out/tool', 0o6755)\n"
        "os.mkdir('out/more'); os.chmod('out/more', 0o3777); open('out/more/x', 'w').close()\n"
        "print('ready', flush=True); time.sleep(300)"
    )
    task = a_task(code, outputs=("out",))
    await executor.start(task)
    await log_says(executor, task.key, b"ready")
    home = executor._folder / task.key.placement / "0"
    ways = [
        home / "work" / "out" / "tool",
        *_ways_through_proc("task/out/tool"),
        *_ways_through_proc("out/tool", "cwd"),
    ]
    for way in ways:
        with pytest.raises(PermissionError):
            await asyncio.to_thread(subprocess.run, [way], user=65534, group=65534, extra_groups=[], check=False)
    executor.stop(task.key)
    await executor.over(task.key)
    replicas = Replicas(open_folder / "replicas")
    manifest = replicas.take_in({"": executor.output(task.key, "out")}, link=True)
    taken = [path.lstat() for path in replicas.files(manifest.digest).rglob("*")]
    executor.forget(task.key.placement)
    assert len(taken) == 3
    assert all(facts.st_uid == 0 and not facts.st_mode & 0o7000 for facts in taken)


@EVERY
async def test_a_fork_bomb_stays_small(kind: str, tmp_path: Path) -> None:
    """4,000 processes of one job would leave its neighbours none."""
    executor = make_executor(kind, tmp_path / "tasks", processes=64)
    code = (
        "import os, time\nmade = 0\ntry:\n"
        " while made < 4000:\n  if os.fork() == 0: time.sleep(300); os._exit(0)\n  made += 1\n"
        "finally: print(made, flush=True)\ntime.sleep(1)\n"
    )
    task = a_task(code)
    await executor.start(task)
    look = await executor.over(task.key)
    made = int((executor.read_log(task.key, 0, 4000)[1].split() or [0])[0])  # what was killed says nothing
    executor.forget(task.key.placement)
    assert not look.succeeded
    assert made <= 64
    if "cgroups" in kind or os.geteuid() != 0:
        assert look.failure == "PROCESSES_EXCEEDED"


FILL = """
import os
piece, number = os.urandom(1 << 20), 0
os.chdir({folder!r})
while number < 655:
    with open(str(number), 'wb') as file: file.write(piece)
    number += 1
"""
MANY = "for number in range(400_000): open(f'out/{number}', 'w').close()"


@AS_ROOT
@BOUNDED
@pytest.mark.parametrize("folder", ["/task", "/tmp", "/dev/shm"])
async def test_scratch_holds_what_was_asked_for(executor: ProcessExecutor, folder: str) -> None:
    """655 MiB of one job that pays for 16 would fill the disk, or the memory, that its neighbours pay for."""
    task = a_task(FILL.format(folder=folder), scratch_bytes=16 * MIB, memory_bytes=512 * MIB)
    await executor.start(task)
    look = await executor.over(task.key)
    image = executor._folder / task.key.placement / "0" / "scratch.img"
    assert look.failure == "SCRATCH_EXCEEDED"
    assert image.stat().st_blocks * 512 <= 20 * MIB
    assert image.stat().st_size <= 20 * MIB


@SANDBOXED
@pytest.mark.parametrize("folder", ["/task", "/tmp", "/dev/shm"])
async def test_scratch_that_is_a_folder_is_watched(executor: ProcessExecutor, folder: str) -> None:
    """Where there can be no file system for it, the job is ended as soon as a look shows what it wrote."""
    code = FILL.format(folder=folder) + "import time; time.sleep(300)"
    task = a_task(code, scratch_bytes=16 * MIB, memory_bytes=512 * MIB)
    await executor.start(task)
    assert (await executor.over(task.key)).failure == "SCRATCH_EXCEEDED"


@SANDBOXED
async def test_files_are_counted(executor: ProcessExecutor) -> None:
    """400,000 empty files take no byte of scratch, and every inode of a site's disk."""
    task = a_task(MANY, outputs=("out",), scratch_bytes=16 * MIB)
    await executor.start(task)
    assert (await executor.over(task.key)).failure == "SCRATCH_EXCEEDED"


@SANDBOXED
async def test_a_single_file_is_bounded_at_once(executor: ProcessExecutor) -> None:
    """What is written faster than anybody looks must stop by itself."""
    code = (
        "import os\nfile = os.open('big', os.O_RDWR | os.O_CREAT)\nos.unlink('big')\n"
        "for _ in range(655): os.write(file, bytes(1 << 20))"
    )
    task = a_task(code, scratch_bytes=16 * MIB, memory_bytes=512 * MIB)
    await executor.start(task)
    assert not (await executor.over(task.key)).succeeded


@EVERY
async def test_shared_memory_is_counted_once(executor: ProcessExecutor) -> None:
    """A program that forks to read one large table together must not be told that it took eight of them."""
    code = (
        "import os, time\ntable = bytearray(b'x' * 60_000_000)\n"
        "for _ in range(8):\n if os.fork() == 0: time.sleep(1); os._exit(0)\n"
        "for _ in range(8): os.wait()\n"
    )
    task = a_task(code, memory_bytes=250_000_000)
    await executor.start(task)
    look = await executor.over(task.key)
    assert look.succeeded, look


DAEMON = (
    "import os, sys, time\n"
    "if os.fork() == 0:\n os.setsid()\n if os.fork() == 0:\n"
    "  os.execvp('sleep', ['sleep', {seconds!r}])\n os._exit(0)\n"
    "os.wait(); print('ready', flush=True); time.sleep({stay})\n"
)


@EVERY
@pytest.mark.parametrize("end", ["by itself", "stopped", "shim killed"])
async def test_nothing_outlives_a_task(kind: str, executor: ProcessExecutor, end: str) -> None:
    """A job that has been paid and settled must not go on mining in a process nobody knows of."""
    if end == "shim killed" and "sandbox" not in kind and os.geteuid() != 0:
        pytest.skip("an agent without sandbox and root loses sight of a daemon whose shim was killed")
    seconds = f"300.{uuid.uuid4().int % 10**9:09}"
    task = a_task(DAEMON.format(seconds=seconds, stay=0 if end == "by itself" else 300))
    await executor.start(task)
    await log_says(executor, task.key, b"ready")
    if end == "stopped":
        executor.stop(task.key)
    if end == "shim killed":
        _kill_shim(executor, task.key.placement)
    await executor.over(task.key)
    await _comes_true(lambda: not _runs(seconds))


@AS_ROOT
@BOUNDED
async def test_a_killed_shim_leaves_no_mount(executor: ProcessExecutor, tmp_path: Path) -> None:
    """A site that loses a loop device with every crash is out of them one day."""
    task = a_task("import time; print('ready', flush=True); time.sleep(300)")
    await executor.start(task)
    await log_says(executor, task.key, b"ready")
    assert _loops_of(tmp_path)
    assert str(tmp_path) not in Path("/proc/mounts").read_text()  # noqa: ASYNC240 - the kernel's own
    _kill_shim(executor, task.key.placement)
    await executor.over(task.key)
    await _comes_true(lambda: not _loops_of(tmp_path))


@AS_ROOT
async def test_a_killed_agent_leaves_no_mount(tmp_path: Path) -> None:
    """An agent that is killed while it collects outputs must not leave the file system mounted for good."""
    make_executor("sandbox", tmp_path / "tasks")
    script = (
        "import asyncio, os, sys\nsys.path[:0] = [sys.argv[1]]\nfrom pathlib import Path\n"
        "from executor_kinds import ProcessExecutor, a_task, make_executor\n"
        "async def main():\n executor = make_executor('sandbox', Path(sys.argv[2]))\n"
        " task = a_task(\"open('out/x', 'w').write('kept')\", outputs=('out',))\n"
        " await executor.start(task); await executor.over(task.key)\n"
        " print(task.key.placement, (executor.output(task.key, 'out') / 'x').read_text(), flush=True)\n"
        " os.kill(os.getpid(), 9)\n"
        "asyncio.run(main())\n"
    )
    arguments = [sys.executable, "-c", script, str(Path(__file__).parent), str(tmp_path / "tasks")]
    agent = await asyncio.to_thread(subprocess.run, arguments, capture_output=True, text=True, check=False, timeout=60)
    assert agent.returncode == -signal.SIGKILL, agent.stderr
    placement, kept = agent.stdout.split()
    assert kept == "kept"
    await _comes_true(lambda: not _loops_of(tmp_path))
    successor = make_executor("sandbox", tmp_path / "tasks")
    successor.forget(placement)
    assert successor.placements() == []


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder every user may pass through, unlike pytest's."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def _ways_through_proc(below: str, link: str = "root") -> list[Path]:
    ids = [path for path in Path("/proc").iterdir() if path.name.isdigit()]
    return [path / link / below for path in ids if os.path.lexists(path / link / below)]


def _kill_shim(executor: ProcessExecutor, placement: str) -> None:
    started = (executor._folder / placement / "0" / "shim" / "started.json").read_text()
    os.kill(int(started.split(":")[1].split(",")[0]), signal.SIGKILL)


def _runs(word: str) -> bool:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if word in path.read_text().split("\0"):
                return True
        except OSError:
            continue
    return False


def _loops_of(folder: Path) -> list[str]:
    found = [path.read_text().strip() for path in Path("/sys/block").glob("loop*/loop/backing_file")]
    return [name for name in found if name.startswith(str(folder))]


async def _comes_true(condition: object) -> None:
    async with asyncio.timeout(60):
        while not condition():  # type: ignore[operator]  # noqa: ASYNC110 - the kernel tells nobody
            await asyncio.sleep(0.02)
