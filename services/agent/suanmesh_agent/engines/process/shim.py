"""The shim: a process of its own that starts a task, meters it, and keeps its end on disk; one task at a time.

It is forked by the fork server and outlives the agent, so that a task, its usage and its exit status survive a kill -9
of the agent; but not the site's permission to run, which the agent renews in a file. Standard library only; of ours it
imports what is so too. In its folder:

    spec.json      read once: what to run and within which bounds
    lock           held by flock as long as the task runs, so that it never runs twice
    started.json   the shim's pid, the wall clock of the start, and the task's user where it has one of its own
    cancel         written by whoever cancels the task, before the shim is sent SIGTERM
    usage.json     cumulative usage, rewritten while the task runs
    <n>.log        what the task wrote, in segments
    exit.json      exit status, failure and final usage; written last, atomically
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from suanmesh_agent.domain.redaction import Redactor
from suanmesh_agent.engines.process import seccomp, syscalls
from suanmesh_agent.engines.process.confinement import Confinement, Mounts
from suanmesh_agent.engines.process.group_files import GroupFiles
from suanmesh_agent.engines.process.keeping import locked, write
from suanmesh_agent.engines.process.permit import Permit
from suanmesh_agent.engines.process.processes import (
    children,
    descendants,
    has_children,
    kill,
    memory_bytes,
    short_name,
)
from suanmesh_agent.engines.process.scratch_folders import exceeds, take_back
from suanmesh_agent.engines.process.starting import STATUS_NOT_SHUT_IN, Starting, let_go
from suanmesh_agent.engines.process.task_log import Log

TICK_S = 0.1
"""How often bounds are checked."""
WATCH_EVERY_S = 0.25
"""How often memory and processes are counted where no cgroup bounds them."""
USAGE_EVERY_S = 0.5
"""How often cumulative usage is written; what is lost when the shim itself is killed."""
SCRATCH_SHARE = 10
"""Where scratch is a folder, it is counted again after so many times as long as counting took."""
TERM_GRACE_S = 3.0
"""Time a task has between SIGTERM and SIGKILL."""
FENCE_GRACE_S = 2.0
"""The same once the site may run nothing any more: short of `suanmesh_kernel.permission.STOP_S_MAX` with all else."""
REAP_BOUND_S, REAP_PAUSE_S = 5.0, 0.01
CANCEL = "cancel"
"""A file beside the task's others that says that it is to end."""
SECCOMP_FD = 10
"""Where the sandbox finds the filter of system calls."""
_BOUNDS = {"oom": "OUT_OF_MEMORY", "pids": "PROCESSES_EXCEEDED"}
"""The failure that it is to hit a bound of the control groups."""
_KILLED = (-signal.SIGKILL, 128 + signal.SIGKILL)
"""How a task ends of which the kernel killed a process; the group of a pod or a job may have others in it too."""
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Host:
    """Its own number on it, who tasks end with, and whether all others in its namespace of processes are a task's."""

    def __init__(self, pid: int, outlived: int | None, *, alone: bool) -> None:
        self.pid, self.outlived, self.alone = pid, outlived, alone


def run(
    folder: Path, starter: int, mounts: Mounts, host: Host, add: Callable[[dict[str, Any]], None] | None = None
) -> bool:
    """Run the task of `folder` to its end, unless it has ever been started; `starter` is let go once it runs.

    What to run is what spec.json says, and what is known only here, which `add` adds to it. Answers whether nothing is
    left of the task in this process but open files, so that it may run another.
    """
    if not locked(folder / "lock") or any((folder / name).exists() for name in ("exit.json", "started.json")):
        return True
    syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
    spec = json.loads((folder / "spec.json").read_text())
    if add is not None:
        add(spec)
    try:
        return Run(folder, spec, host).to_the_end(starter, mounts)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGALRM, signal.SIGTERM):  # what is still on its way was for this task
            signal.signal(number, signal.SIG_IGN)


class Run:
    """One run of one task."""

    def __init__(self, folder: Path, spec: dict[str, Any], host: Host) -> None:
        self._folder, self._host = folder, host
        self._spec = spec
        self._log = Log(Path(spec["log_folder"]), spec["log_bytes"])
        self._redactor = Redactor.of(spec.get("secrets", ""))
        self._failure = ""
        self._status: int | None = None
        self._kill_at = float("inf")
        self._cpu_us = self._ended_before_us = self._memory_bytes = 0
        self._start_ns, self._start = time.time_ns(), time.monotonic()
        self._next_usage, self._next_watch = self._start + USAGE_EVERY_S, self._start + WATCH_EVERY_S
        self._next_scratch = 0.0
        self._groups = GroupFiles(spec)
        self._permit = Permit(spec.get("permission", ""))
        self._checking = self._cleared = self._stopped = False
        self._queued = bool(spec.get("queued"))
        facts = spec["confine"]
        self._confinement = Confinement(facts, spec["scratch_bytes"]) if facts else None

    def to_the_end(self, starter: int, mounts: Mounts) -> bool:
        """Start the task, watch its bounds until it ends, and write down how it ended; as `run`."""
        wake_reader, wake_writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_writer)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: self._asked_to_end())
        if self._confinement:
            self._confinement.enter(mounts)
        output_reader, output_writer = os.pipe2(os.O_CLOEXEC)
        self._start_ns, self._start = time.time_ns(), time.monotonic()
        user = self._confinement.user if self._confinement else 0
        write(self._folder, "started", {"pid": self._host.pid, "start_unix_ns": self._start_ns, "user": user})
        if self._permit.over_s() >= 0:
            self._failure, self._cleared = "FENCED", not has_children()
            clean = self._leave()
            self._keep_exit()
            return clean
        self._ended_before_us = _ended_cpu_us()
        self._starting = Starting(self._spec)
        self._child = self._spawn(output_writer)
        os.close(output_writer)
        # A signal, because nothing the task does may make a look at the permission late: not a folder to be measured.
        signal.signal(signal.SIGALRM, lambda *_: self._check_permission())
        signal.setitimer(signal.ITIMER_REAL, TICK_S, TICK_S)
        let_go(starter)
        self._watch(output_reader, wake_reader)
        self._clear_out(wake_reader)
        signal.setitimer(signal.ITIMER_REAL, 0)
        self._drain(output_reader)
        self._judge()
        clean = self._leave()
        self._keep_exit()
        return clean

    def _spawn(self, output: int) -> int:
        parent, pid = os.getpid(), os.fork()
        if pid:
            self._starting.forked()
            return pid
        try:
            os.setsid()
            self._groups.enter()
            null = os.open(os.devnull, os.O_RDONLY)
            for source, target in ((null, 0), (output, 1), (output, 2)):
                os.dup2(source, target)
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGALRM, signal.SIGPIPE):
                signal.signal(number, signal.SIG_DFL)
            self._shut_in(parent)
            os.chdir(self._spec["cwd"])
            os._exit(self._starting.become())
        except OSError as fault:
            os.write(2, f"the site cannot shut the task in: {fault.strerror}\n".encode())
        finally:
            os._exit(STATUS_NOT_SHUT_IN)

    def _shut_in(self, parent: int) -> None:
        """In the task's process: give up every privilege, now and for good."""
        if self._confinement:
            self._confinement.become()
        syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
        syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)  # a change of user before would have undone it
        if os.getppid() != parent:
            os._exit(STATUS_NOT_SHUT_IN)
        for name, bound in self._spec["limits"].items():
            number = getattr(resource, name)
            hard = resource.getrlimit(number)[1]
            least = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
            resource.setrlimit(number, (least, least))
        program = seccomp.program()
        if program and self._spec["sandbox"]:  # which still has to make namespaces, and installs the filter itself
            reader, writer = os.pipe()
            os.write(writer, program)
            os.close(writer)
            os.dup2(reader, SECCOMP_FD)
            os.set_inheritable(SECCOMP_FD, True)
        elif program:
            syscalls.install_seccomp(program)

    def _watch(self, output: int, wake: int) -> None:
        os.set_blocking(output, False)
        poll = select.poll()
        poll.register(output, select.POLLIN)
        poll.register(wake, select.POLLIN)
        if self._host.outlived is not None:
            poll.register(self._host.outlived, select.POLLIN)
        while self._status is None:
            for fd, _ in poll.poll(TICK_S * 1000):
                if fd == wake:
                    os.read(wake, 4096)
                elif fd == self._host.outlived:
                    poll.unregister(fd)
                    self._end("CANCELLED")
                elif not self._copy(output):
                    poll.unregister(output)
            self._reap()
            self._check(time.monotonic())

    def _check(self, now: float) -> None:
        if now >= self._next_usage:
            self._next_usage = now + USAGE_EVERY_S
            self._keep_usage()
        if now >= self._next_watch:
            self._next_watch = now + WATCH_EVERY_S
            self._check_members()
            if self._queued:
                self._check_cancelled()
        if now >= self._next_scratch:
            if self._outgrown():
                self._end("SCRATCH_EXCEEDED", grace_s=0)
            self._next_scratch = now + SCRATCH_SHARE * (time.monotonic() - now)
        self._check_time(now)

    def _asked_to_end(self) -> None:
        """Whoever else started this shim may end it, and sends the task the same signal."""
        self._check_cancelled()
        if self._queued:
            self._stopped = True
            self._end("SITE_STOPPED")

    def _check_cancelled(self) -> None:
        """A signal may have been meant for the task before this one: who cancels a task leaves word beside it."""
        if (self._folder / CANCEL).exists():
            self._end("CANCELLED")

    def _check_permission(self) -> None:
        if self._checking:  # a look that takes longer than a tick is not begun again within itself
            return
        self._checking = True
        over_s = self._permit.over_s()
        if over_s >= 0:
            self._end("FENCED", FENCE_GRACE_S)
        if over_s >= FENCE_GRACE_S:
            self._kill(self._members())
        self._checking = False

    def _check_members(self) -> None:
        memory, processes = self._spec["watch_memory_bytes"], self._spec["watch_processes"]
        if not memory and not processes:
            return
        members = descendants(os.getpid())
        if processes and len(members) > processes:
            self._end("PROCESSES_EXCEEDED", grace_s=0)
        if memory and (taken := memory_bytes(pid for pid, _ in members)) > memory:
            self._memory_bytes = self._memory_bytes or taken
            self._end("OUT_OF_MEMORY", grace_s=0)

    def _outgrown(self) -> bool:
        """Whether scratch holds too much; where it is no file system of its own, as far as a look can tell."""
        if self._confinement and self._confinement.bounded:
            return self._confinement.exceeded()
        return exceeds(self._spec["scratch_folders"], self._spec["scratch_bytes"], self._spec["scratch_files"])

    def _check_time(self, now: float) -> None:
        if now - self._start >= self._spec["max_duration_s"]:
            self._end("TIMED_OUT")
        if now >= self._kill_at:
            self._kill(self._members())

    def _end(self, failure: str, grace_s: float = TERM_GRACE_S) -> None:
        """Begin to end the task, once, for the first reason that came up."""
        if self._failure or self._status is not None:
            return
        self._failure = failure
        self._kill_at = time.monotonic() + grace_s
        for pid in self._members():
            # A sandbox that is asked to end kills what is in it at once; the task itself is to have its grace.
            if grace_s == 0:
                kill(pid, signal.SIGKILL)
            elif short_name(pid) != self._spec["sandbox"]:
                kill(pid, signal.SIGTERM)

    def _kill(self, members: Iterable[int]) -> None:
        """Kill the task: alone in a namespace, or in a group that can be killed, at one blow."""
        self._groups.kill_all()
        for pid in (-1,) if self._host.alone else members:
            kill(pid, signal.SIGKILL)

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                if pid == self._child:
                    self._status = os.waitstatus_to_exitcode(status)

    def _clear_out(self, wake: int) -> None:
        """Nothing the task started outlives it: whose parent ends becomes our child, until there is none."""
        give_up = time.monotonic() + REAP_BOUND_S
        while time.monotonic() < give_up:
            self._reap()
            members = {*children(), *self._groups.members()} - {os.getpid()}
            if not members and not has_children():
                self._cleared = True
                return
            self._kill(members)
            if select.select([wake], [], [], REAP_PAUSE_S)[0]:
                os.read(wake, 4096)

    def _copy(self, output: int) -> bool:
        try:
            content = os.read(output, 65536)
        except BlockingIOError:
            return True
        self._log.add(self._redactor.take(content))
        return bool(content)

    def _drain(self, output: int) -> None:
        give_up = time.monotonic() + REAP_BOUND_S
        while time.monotonic() < give_up and select.select([output], [], [], 0)[0] and self._copy(output):
            pass

    def _members(self) -> list[int]:
        """Everything the task has started: its descendants, which a subreaper does not lose, and its cgroup's."""
        pids = {pid for pid, fields in self._descendants() if fields[0] != "Z"}
        return sorted((pids | self._groups.members()) - {os.getpid()})

    def _descendants(self) -> list[tuple[int, list[str]]]:
        """None where no child is left: nobody then looks through all the processes of the host."""
        return descendants(os.getpid()) if has_children() else []

    def _measure_cpu_us(self) -> int:
        """Processor time of the task and all it started: the kernel's count where it has a cgroup of its own."""
        if (counted := self._groups.cpu_us()) is not None:
            return counted
        ended_us = _ended_cpu_us() - self._ended_before_us
        ticks = sum(sum(int(field) for field in fields[11:15]) for _, fields in self._descendants())
        return ended_us + ticks * 1_000_000 // _TICKS_PER_S

    def _usage(self) -> dict[str, int]:
        self._cpu_us = max(self._cpu_us, self._measure_cpu_us())
        return {"cpu_us": self._cpu_us, "elapsed_us": int((time.monotonic() - self._start) * 1e6)}

    def _keep_usage(self) -> None:
        write(self._folder, "usage", self._usage())

    def _judge(self) -> None:
        """Say why a task that failed by itself did not start, or which bound it had hit."""
        if self._failure or self._status == 0:
            return
        by_signal = self._stopped and (self._status or 0) < 0
        self._failure = "SITE_STOPPED" if by_signal else self._starting.failure(self._status)
        if not self._failure and self._outgrown():
            self._failure = "SCRATCH_EXCEEDED"
        for name, failure in _BOUNDS.items():
            if not self._failure and self._groups.hit(name) and (not self._queued or self._status in _KILLED):
                self._failure = failure

    def _leave(self) -> bool:
        """Take back the task's files. Whether nothing that runs or is mounted is left of it."""
        if self._confinement:
            return self._confinement.leave(cleared=self._cleared) and self._cleared
        for folder in self._spec["scratch_folders"]:
            take_back(folder)
        return self._cleared

    def _keep_exit(self) -> None:
        status = self._status if self._status is not None else 127
        self._log.add(self._redactor.rest())
        self._log.close()
        facts = {
            "exit_status": 128 - status if status < 0 else status,
            "failure": self._failure,
            "start_unix_ns": self._start_ns,
            "end_unix_ns": time.time_ns(),
            "memory_bytes": (self._memory_bytes or self._groups.peak_bytes()) * (self._failure == "OUT_OF_MEMORY"),
        }
        write(self._folder, "exit", facts | self._usage())


def _ended_cpu_us() -> int:
    """Processor time of all processes that this one has started and that have ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return int((ended.ru_utime + ended.ru_stime) * 1e6)
