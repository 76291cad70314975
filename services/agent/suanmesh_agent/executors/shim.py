"""The task shim: a small process of its own that starts one task, meters it, and keeps its end on disk.

It is started once per task by `command` and outlives the agent, so that a task, its usage and its exit status survive
a kill -9 of the agent; but not the site's permission to run, which the agent renews in a file. Standard library only;
of ours it imports what is so too. In FOLDER:

    spec.json      read once: what to run and within which bounds
    lock           held by flock for the shim's life, so that one task never runs twice
    started.json   the shim's pid and the wall clock of the start
    usage.json     cumulative usage, rewritten while the task runs
    exit.json      exit status, failure and final usage; written last, atomically
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import json
import os
import resource
import select
import signal
import sys
import time
from pathlib import Path
from typing import Any

from suanmesh_agent.executors.permit import Permit
from suanmesh_agent.executors.task_log import Log

TICK_S = 0.1
"""How often bounds are checked."""
MEMORY_EVERY_S = 0.25
"""How often resident memory is summed where no cgroup bounds it."""
USAGE_EVERY_S = 0.5
"""How often cumulative usage is written; what is lost when the shim itself is killed."""
SCRATCH_EVERY_S = 2.0
TERM_GRACE_S = 3.0
"""Time a task has between SIGTERM and SIGKILL."""
FENCE_GRACE_S = 2.0
"""The same once the site may run nothing any more: short of `suanmesh_kernel.permission.STOP_S_MAX` with all else."""
REAP_BOUND_S = 5.0
LOCK_TRIES = 50
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


_ROOT = Path(__file__).parents[2]
_START = (
    "import sys; sys.path.append(sys.argv.pop(1)); from suanmesh_agent.executors.shim import main; sys.exit(main())"
)


def command(folder: Path) -> list[str]:
    """How the shim of a task is started; without site-packages, which take longer than all the rest."""
    return [sys.executable, "-I", "-S", "-c", _START, str(_ROOT), str(folder)]


def main() -> int:
    """Detach from the starter, run the task to its end; the starter returns once `started.json` is there."""
    folder = Path(sys.argv[1])
    if not _lock(folder / "lock") or (folder / "exit.json").exists():
        return 0
    reader, writer = os.pipe()
    if os.fork():
        os.close(writer)
        os.read(reader, 1)
        os._exit(0)
    os.close(reader)
    os.setsid()
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    spec = json.loads((folder / "spec.json").read_text())
    Run(folder, spec).to_the_end(writer)
    return 0


def _lock(path: Path) -> bool:
    """Hold `path` for the life of this process. An agent that looks holds it for a moment, another shim for long."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    for _ in range(LOCK_TRIES):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(0.01)
    return False


class Run:
    """One run of one task."""

    def __init__(self, folder: Path, spec: dict[str, Any]) -> None:
        self._folder = folder
        self._spec = spec
        self._log = Log(Path(spec["log_folder"]), spec["log_bytes"])
        self._failure = ""
        self._status: int | None = None
        self._kill_at = float("inf")
        self._cpu_us = 0
        self._start_ns = time.time_ns()
        self._start = time.monotonic()
        self._oom_kills = self._count_oom_kills()
        self._permit = Permit(spec.get("permission", ""))
        self._outlived = _open_pidfd(spec["lives_with"]) if spec["lives_with"] else None

    def to_the_end(self, starter: int) -> None:
        """Start the task, watch its bounds until it ends, and write down how it ended."""
        wake_reader, wake_writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_writer)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: self._end("CANCELLED"))
        output_reader, output_writer = os.pipe2(os.O_CLOEXEC)
        _write(self._folder / "started.json", {"pid": os.getpid(), "start_unix_ns": self._start_ns})
        if self._permit.over_s() >= 0:
            self._failure = "FENCED"
            self._keep_exit()
            return
        self._child = self._spawn(output_writer)
        os.close(output_writer)
        # A signal, because nothing the task does may make a look at the permission late: not a folder to be measured.
        signal.signal(signal.SIGALRM, lambda *_: self._check_permission())
        signal.setitimer(signal.ITIMER_REAL, TICK_S, TICK_S)
        self._keep_usage()
        _let_go(starter)
        self._watch(output_reader, wake_reader)
        self._clear_out()
        self._drain(output_reader)
        self._keep_exit()

    def _spawn(self, output: int) -> int:
        pid = os.fork()
        if pid:
            return pid
        try:
            os.setsid()
            _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            for path in self._spec["join"]:
                Path(path).write_text(str(os.getpid()))
            null = os.open(os.devnull, os.O_RDONLY)
            for source, target in ((null, 0), (output, 1), (output, 2)):
                os.dup2(source, target)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.chdir(self._spec["cwd"])
            os.execvpe(self._spec["argv"][0], self._spec["argv"], self._spec["env"])
        except OSError as fault:
            os.write(2, f"cannot run {self._spec['argv'][0]}: {fault.strerror}\n".encode())
        finally:
            os._exit(127)

    def _watch(self, output: int, wake: int) -> None:
        next_usage = next_scratch = next_memory = 0.0
        os.set_blocking(output, False)
        poll = select.poll()
        poll.register(output, select.POLLIN)
        poll.register(wake, select.POLLIN)
        if self._outlived is not None:
            poll.register(self._outlived, select.POLLIN)
        while self._status is None:
            for fd, _ in poll.poll(TICK_S * 1000):
                if fd == wake:
                    os.read(wake, 4096)
                elif fd == self._outlived:
                    poll.unregister(fd)
                    self._end("CANCELLED")
                elif not self._copy(output):
                    poll.unregister(output)
            self._reap()
            now = time.monotonic()
            if now >= next_usage:
                next_usage = now + USAGE_EVERY_S
                self._keep_usage()
            if now >= next_scratch:
                next_scratch = now + SCRATCH_EVERY_S
                self._check_scratch()
            if now >= next_memory:
                next_memory = now + MEMORY_EVERY_S
                self._check_memory()
            self._check_time(now)

    def _check_memory(self) -> None:
        bound = self._spec["watch_memory_bytes"]
        if bound and _resident_bytes() > bound:
            self._end("OUT_OF_MEMORY", grace_s=0)

    def _check_time(self, now: float) -> None:
        if now - self._start >= self._spec["max_duration_s"]:
            self._end("TIMED_OUT")
        if now >= self._kill_at:
            for pid in self._members():
                _kill(pid, signal.SIGKILL)

    def _check_permission(self) -> None:
        over_s = self._permit.over_s()
        if over_s >= 0:
            self._end("FENCED", FENCE_GRACE_S)
        if over_s >= FENCE_GRACE_S:
            for pid in self._members():
                _kill(pid, signal.SIGKILL)

    def _check_scratch(self) -> None:
        bound = self._spec["scratch_bytes"]
        if bound and _used_bytes(self._spec["scratch_folder"], bound) > bound:
            self._end("SCRATCH_EXCEEDED", grace_s=0)

    def _end(self, failure: str, grace_s: float = TERM_GRACE_S) -> None:
        """Begin to end the task, once, for the first reason that came up."""
        if self._failure or self._status is not None:
            return
        self._failure = failure
        self._kill_at = time.monotonic() + grace_s
        for pid in self._members():
            # A sandbox that is asked to end kills what is in it at once; the task itself is to have its grace.
            if grace_s == 0:
                _kill(pid, signal.SIGKILL)
            elif _command(pid) != self._spec["sandbox"]:
                _kill(pid, signal.SIGTERM)

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                if pid == self._child:
                    self._status = os.waitstatus_to_exitcode(status)

    def _clear_out(self) -> None:
        """Nothing the task started outlives it."""
        give_up = time.monotonic() + REAP_BOUND_S
        while time.monotonic() < give_up:
            self._reap()
            members = self._members()
            if not members:
                return
            for pid in members:
                _kill(pid, signal.SIGKILL)
            time.sleep(0.01)

    def _copy(self, output: int) -> bool:
        try:
            content = os.read(output, 65536)
        except BlockingIOError:
            return True
        self._log.add(content)
        return bool(content)

    def _drain(self, output: int) -> None:
        give_up = time.monotonic() + REAP_BOUND_S
        while time.monotonic() < give_up and select.select([output], [], [], 0)[0] and self._copy(output):
            pass

    def _members(self) -> list[int]:
        """Everything the task has started: its descendants, which a subreaper does not lose, and its cgroup's."""
        pids = {pid for pid, fields in _descendants(os.getpid()) if fields[0] != "Z"}
        for path in self._spec["join"]:
            with contextlib.suppress(OSError):
                pids.update(int(pid) for pid in Path(path).read_text().split())
        return sorted(pids - {os.getpid()})

    def _measure_cpu_us(self) -> int:
        """Processor time of the task and all it started: the kernel's count where it has a cgroup of its own."""
        if self._spec["cpu_file"]:
            with contextlib.suppress(OSError, ValueError):
                return _read_cpu_us(Path(self._spec["cpu_file"]))
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        ticks = sum(sum(int(field) for field in fields[11:15]) for _, fields in _descendants(os.getpid()))
        return int((ended.ru_utime + ended.ru_stime) * 1e6) + ticks * 1_000_000 // _TICKS_PER_S

    def _usage(self) -> dict[str, int]:
        self._cpu_us = max(self._cpu_us, self._measure_cpu_us())
        return {"cpu_us": self._cpu_us, "elapsed_us": int((time.monotonic() - self._start) * 1e6)}

    def _keep_usage(self) -> None:
        _write(self._folder / "usage.json", self._usage())

    def _count_oom_kills(self) -> int:
        if not self._spec["oom_file"]:
            return 0
        with contextlib.suppress(OSError):
            for line in Path(self._spec["oom_file"]).read_text().splitlines():
                if line.startswith("oom_kill "):
                    return int(line.split()[1])
        return 0

    def _keep_exit(self) -> None:
        status = self._status if self._status is not None else 127
        failure = self._failure
        if not failure and self._count_oom_kills() > self._oom_kills:
            failure = "OUT_OF_MEMORY"
        self._log.close()
        facts = {
            "exit_status": 128 - status if status < 0 else status,
            "failure": failure,
            "start_unix_ns": self._start_ns,
            "end_unix_ns": time.time_ns(),
        }
        _write(self._folder / "exit.json", facts | self._usage())


def _descendants(root: int) -> list[tuple[int, list[str]]]:
    """Every process below `root` with the fields of its stat line from `state` on."""
    children: dict[int, list[int]] = {}
    stats: dict[int, list[str]] = {}
    for entry in os.listdir("/proc"):  # noqa: PTH208 - a hot loop
        if entry.isdigit():
            with contextlib.suppress(OSError):
                fields = Path("/proc", entry, "stat").read_text().rpartition(")")[2].split()
                stats[int(entry)] = fields
                children.setdefault(int(fields[1]), []).append(int(entry))
    found, ahead = [], [root]
    while ahead:
        for pid in children.get(ahead.pop(), ()):
            found.append((pid, stats[pid]))
            ahead.append(pid)
    return found


def _resident_bytes() -> int:
    page = os.sysconf("SC_PAGE_SIZE")
    return sum(int(fields[21]) * page for _, fields in _descendants(os.getpid()))


def _command(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def _used_bytes(folder: str, bound: int) -> int:
    """Bytes under `folder`, counted no further than past `bound`; more than that where a path is too long to see."""
    used, ahead = 0, [folder]
    while ahead and used <= bound:
        try:
            with os.scandir(ahead.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        ahead.append(entry.path)
                    else:
                        used += entry.stat(follow_symlinks=False).st_blocks * 512
        except OSError as fault:
            if fault.errno == errno.ENAMETOOLONG:
                return bound + 1
    return used


def _read_cpu_us(path: Path) -> int:
    text = path.read_text()
    if path.name == "cpuacct.usage":
        return int(text) // 1000
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("usage_usec "))


def _write(path: Path, facts: dict[str, Any]) -> None:
    draft = path.with_suffix(".new")
    with draft.open("w") as file:
        json.dump(facts, file)
        file.flush()
        if path.name == "exit.json":
            os.fsync(file.fileno())
    draft.replace(path)


def _open_pidfd(pid: int) -> int:
    """Readable when `pid` has ended, and at once where it had ended before."""
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        reader, writer = os.pipe2(os.O_CLOEXEC)
        os.close(writer)
        return reader


def _kill(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _let_go(starter: int) -> None:
    """Tell the starter that the task runs, and let go of its terminal and pipes."""
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.close(starter)


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(main())
