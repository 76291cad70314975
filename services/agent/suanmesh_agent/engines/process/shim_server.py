"""The fork server's own side: it forks shims, and has one that has nothing left of its task run the next.

To start an interpreter for each shim took more than all the rest of a task's start, and to fork one for each still most
of it: nearly every page of a new process has to be copied. A shim has a session of its own and runs its task to the end
whatever becomes of the fork server or the agent; without a task it ends with the fork server: nobody else holds the
other end of its socket. Standard library only, and of that no more than is needed: each fork pays for it.
"""

from __future__ import annotations

import array
import contextlib
import gc
import os
import select
import signal
import socket
import sys
import time
import traceback
from pathlib import Path

from suanmesh_agent.engines.process import seccomp, shim, syscalls
from suanmesh_agent.engines.process.confinement import Mounts
from suanmesh_agent.engines.process.processes import open_pidfd

PROCESS_NAME = "suanmesh-shim"
"""What `ps` and `top` call a shim; its command line is the fork server's."""
IDLE_MAX = 8
"""Shims without a task that are kept."""
IDLE_S_MAX = 30.0
TASKS_MAX = 256
"""Tasks that one shim runs, one after the other."""
_PATH_BYTES_MAX = 4096
_IDLE = b"i"
"""What a shim says that has no task any more."""
_TOLD = 2
"""Who is told: that the task runs, and that it has ended."""


def serve() -> int:
    """Have a task run for each message, until the agent has gone."""
    agent = socket.socket(fileno=int(sys.argv[2]))
    agent.set_inheritable(False)
    lives_with, apart = int(sys.argv[3]), sys.argv[4] == "apart"
    outlived = open_pidfd(lives_with) if lives_with else None  # a shim in a namespace of its own does not find it
    wake_reader, wake_writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake_writer)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    os.umask(0o022)
    os.chdir("/")
    seccomp.program()  # made once for all
    gc.freeze()  # pages that shims share are not written to by a collection
    shims = _Shims(agent, (wake_reader, wake_writer), outlived, apart=apart)
    while True:
        ready = shims.wait()
        asked = ready.pop(agent.fileno(), 0)
        _reap(wake_reader)
        for handle in ready:
            shims.hear(handle)
        if asked:
            request = _receive(agent)
            if request is None or _is_gone(agent):  # what a dead agent has asked for is for the next to ask
                return 0
            shims.run(request)


class _Request:
    """To run a task: the folder of its shim, and the handles of who is to be told."""

    def __init__(self, task: bytes, told: list[int]) -> None:
        self.task, self.told = task, told

    def close(self) -> None:
        """Let go of the handles: in this process they are of no more use."""
        for handle in self.told:
            os.close(handle)


class _Shims:
    """The shims that live, each with its end of a socket here, and which of them have no task."""

    def __init__(self, agent: socket.socket, own: tuple[int, ...], outlived: int | None, *, apart: bool) -> None:
        self._agent, self._own, self._outlived = agent, own, outlived
        self._namespace = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC) if apart else None
        self._channels: dict[int, socket.socket] = {}
        self._idle: dict[int, float] = {}
        self._poll = select.poll()
        for handle in (agent.fileno(), own[0]):
            self._poll.register(handle, select.POLLIN)

    def wait(self) -> dict[int, int]:
        """Wait for anything: the handles that something is to be read from. Shims that were idle for long end."""
        ready = dict(self._poll.poll(IDLE_S_MAX * 1000 if self._idle else None))
        ready.pop(self._own[0], None)
        outdated = time.monotonic() - IDLE_S_MAX
        for handle in [handle for handle, since in self._idle.items() if since < outdated and handle not in ready]:
            self._end(handle)
        return ready

    def run(self, request: _Request) -> None:
        """By the shim that was idle for the shortest time, else by a new one."""
        while self._idle:
            handle, _ = self._idle.popitem()
            try:
                socket.send_fds(self._channels[handle], [request.task], request.told)
            except (BrokenPipeError, ConnectionResetError):  # it was killed
                self._end(handle)
            else:
                return request.close()
        try:
            self._fork(request)
        except OSError as fault:
            os.write(request.told[0], str(fault).encode())
        return request.close()

    def hear(self, handle: int) -> None:
        """What a shim says: that it has no task any more, or nothing, for it has ended."""
        channel = self._channels.get(handle)
        if channel is None:
            return
        with contextlib.suppress(ConnectionResetError):
            if channel.recv(len(_IDLE)) and len(self._idle) < IDLE_MAX:
                self._idle[handle] = time.monotonic()
                return
        self._end(handle)

    def _fork(self, request: _Request) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if self._fork_apart() == 0:
            signal.set_wakeup_fd(-1)
            for handle in self._own:
                os.close(handle)
            for channel in (self._agent, ours, *self._channels.values()):
                channel.close()
            _be_shim(theirs, request, self._outlived)
        theirs.close()
        self._channels[ours.fileno()] = ours
        self._poll.register(ours, select.POLLIN)

    def _fork_apart(self) -> int:
        """As `os.fork`; where shims are apart, the child is the first process of a namespace."""
        if self._namespace is None:
            return os.fork()
        server = os.getpid()
        syscalls.unshare(syscalls.CLONE_NEWPID)
        try:
            return os.fork()
        finally:
            if os.getpid() == server:  # also where there was no room for a process: the next is to begin from here
                syscalls.set_namespace(self._namespace, syscalls.CLONE_NEWPID)

    def _end(self, handle: int) -> None:
        """A shim without a task ends when its socket does; one that has ended is let go."""
        self._poll.unregister(handle)
        self._idle.pop(handle, None)
        self._channels.pop(handle).close()


def _receive(channel: socket.socket) -> _Request | None:
    """The next task; None once the other end is gone."""
    handles = array.array("i")
    space = socket.CMSG_LEN(_TOLD * handles.itemsize)
    try:
        content, ancillary, _, _ = channel.recvmsg(_PATH_BYTES_MAX, space, socket.MSG_CMSG_CLOEXEC)
    except ConnectionResetError:
        return None
    for _, _, data in ancillary:
        handles.frombytes(data[: len(data) - len(data) % handles.itemsize])
    return _Request(content, list(handles)) if len(handles) == _TOLD else None


def _is_gone(channel: socket.socket) -> bool:
    """Whether the other end has been closed, whatever is still to be read."""
    poll = select.poll()
    poll.register(channel, 0)
    return bool(poll.poll(0))


def _reap(wake: int) -> None:
    with contextlib.suppress(BlockingIOError):
        os.read(wake, 4096)
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _be_shim(channel: socket.socket, first: _Request, outlived: int | None) -> None:
    """In a shim's process: run one task after the other to its end, as long as nothing of the last one is left."""
    status, request, mounts = 1, first, Mounts()
    try:
        pid = int(os.readlink("/proc/self"))  # noqa: PTH115 - the number it has on the host
        host = shim.Host(pid, outlived, alone=os.getpid() == 1)
        os.setsid()
        syscalls.set_name(PROCESS_NAME)
        for handle in (1, 2):
            os.dup2(0, handle)
        kept = {0, 1, 2, channel.fileno(), *([] if outlived is None else [outlived])}
        for _ in range(TASKS_MAX):
            starter, waiting = request.told
            os.dup2(starter, 2)  # until the task runs, what goes wrong is told to the starter
            clean = shim.run(Path(os.fsdecode(request.task)), starter, mounts, host)
            os.dup2(0, 2)
            _close_all_but({*kept, waiting})
            if not clean:
                break
            channel.send(_IDLE)  # who waits for the end finds this shim idle then
            os.close(waiting)
            following = _receive(channel)
            if following is None:
                break
            request = following
        status = 0
    except (BrokenPipeError, ConnectionResetError):
        status = 0  # the fork server has ended
    finally:
        if status:
            traceback.print_exc()
        sys.stderr.flush()
        os._exit(status)  # nothing above this frame is a shim's


def _close_all_but(kept: set[int]) -> None:
    """Let go of all that a task had open: its lock, its user, its log, and who waits for its end."""
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - names, not paths
        if int(name) not in kept:
            with contextlib.suppress(OSError):  # what listed them
                os.close(int(name))
