"""The fork server: a process beside the agent that forks the shims of tasks, with all they need loaded once.

To start an interpreter for each shim took more than all the rest of a task's start. A shim forked here has a session of
its own and keeps running whatever becomes of the fork server or the agent; the fork server ends with the agent, because
nobody else holds the other end of its socket. One that was killed is replaced at the next start. Standard library only.
"""

from __future__ import annotations

import array
import contextlib
import gc
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import traceback
import weakref
from collections.abc import Callable
from pathlib import Path

from suanmesh_agent.engines.process import shim, syscalls

PROCESS_NAME = "suanmesh-shim"
"""What `ps` and `top` call a shim; its command line is the fork server's."""
_PATH_BYTES_MAX = 4096
_SEND_S_MAX = 10.0
_ROOT = Path(__file__).parents[3]
_START = (
    "import sys; sys.path.append(sys.argv.pop(1)); "
    "from suanmesh_agent.engines.process.fork_server import serve; sys.exit(serve())"
)


class ForkServer:
    """The agent's side. Threads may share it."""

    def __init__(self, folder: Path) -> None:
        """`folder` is that of the tasks, named on the command line for who looks at the processes of the host."""
        self._folder = folder
        self._lock = threading.Lock()
        self._channel: socket.socket | None = None
        self._end: Callable[[], object] = lambda: None
        self.pid = 0
        """Process id; 0 before the first start."""

    def fork(self, task: Path) -> int:
        """Have a shim forked for the task whose shim's folder is `task`.

        Answers a handle to read from: it ends once the task runs, was found to run or to have ended, or could not be
        started; what is read before says why not. Raises OSError.
        """
        reader, writer = os.pipe2(os.O_CLOEXEC)
        try:
            with self._lock:
                self._send(os.fsencode(task), writer)
        except BaseException:
            os.close(reader)
            raise
        finally:
            os.close(writer)
        return reader

    def close(self) -> None:
        """End the fork server; what it has forked goes on, and the next start begins another."""
        with self._lock:
            self._end()
            self._channel = None

    def _send(self, task: bytes, writer: int) -> None:
        if self._channel is not None:
            try:
                socket.send_fds(self._channel, [task], [writer])
            except (BrokenPipeError, ConnectionResetError):  # it was killed
                self._channel = None
            else:
                return
        self._channel = self._begin()
        socket.send_fds(self._channel, [task], [writer])

    def _begin(self) -> socket.socket:
        self._end()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _START, str(_ROOT), str(self._folder), str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={},  # nothing of the agent's: it has secrets there
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        ours.settimeout(_SEND_S_MAX)
        self._end, self.pid = weakref.finalize(self, _end, ours, process), process.pid
        return ours


def _end(channel: socket.socket, process: subprocess.Popen[bytes]) -> None:
    channel.close()
    process.wait()


def serve() -> int:
    """Fork a shim for each message, until the agent has gone."""
    channel = socket.socket(fileno=int(sys.argv[2]))
    channel.set_inheritable(False)
    wake_reader, wake_writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake_writer)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    os.umask(0o022)
    os.chdir("/")
    gc.freeze()  # pages that shims share are not written to by a collection
    while True:
        ready, _, _ = select.select([channel.fileno(), wake_reader], [], [])
        _reap(wake_reader)
        if channel.fileno() in ready:
            task, starter = _receive(channel)
            if starter is None:
                return 0
            if os.fork() == 0:
                signal.set_wakeup_fd(-1)
                for handle in (wake_reader, wake_writer):
                    os.close(handle)
                channel.close()
                _be_shim(task, starter)
            os.close(starter)


def _receive(channel: socket.socket) -> tuple[Path, int | None]:
    """A task's folder, and whom to tell; nobody once the agent has gone."""
    handles = array.array("i")
    space = socket.CMSG_LEN(handles.itemsize)
    content, ancillary, _, _ = channel.recvmsg(_PATH_BYTES_MAX, space, socket.MSG_CMSG_CLOEXEC)
    for _, _, data in ancillary:
        handles.frombytes(data[: handles.itemsize])
    return Path(os.fsdecode(content)), handles[0] if handles else None


def _reap(wake: int) -> None:
    with contextlib.suppress(BlockingIOError):
        os.read(wake, 4096)
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _be_shim(task: Path, starter: int) -> None:
    """In the shim's process: run the task to its end. Until it runs, what goes wrong is told to the starter."""
    status = 1
    try:
        os.dup2(starter, 2)
        os.setsid()
        syscalls.set_name(PROCESS_NAME)
        shim.run(task, starter)
        status = 0
    finally:
        if status:
            traceback.print_exc()
        sys.stderr.flush()
        os._exit(status)  # nothing above this frame is a shim's
