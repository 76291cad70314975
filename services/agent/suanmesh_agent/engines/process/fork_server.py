"""The agent's side of the fork server: a process that has shims run tasks, with all they need loaded once.

The fork server ends with the agent, because nobody else holds the other end of its socket; what it had run goes on. One
that was killed is replaced at the next start.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from pathlib import Path

_SEND_S_MAX = 10.0
_ROOT = Path(__file__).parents[3]
_START = (
    "import sys; sys.path.append(sys.argv.pop(1)); "
    "from suanmesh_agent.engines.process.shim_server import serve; sys.exit(serve())"
)


class ForkServer:
    """The agent's side. Threads may share it."""

    def __init__(self, folder: Path, lives_with: int = 0, *, apart: bool = False) -> None:
        """`folder` is that of the tasks, named on the command line for who looks at the processes of the host.

        Tasks end when the process `lives_with` has ended; 0 is nobody. With `apart` each shim is the first process of a
        namespace, which needs root.
        """
        self._folder, self._lives_with, self._apart = folder, lives_with, apart
        self._lock = threading.Lock()
        self._channel: socket.socket | None = None
        self._end: Callable[[], object] = lambda: None
        self.pid = 0
        """Process id; 0 before the first start."""

    def fork(self, task: Path) -> tuple[int, int]:
        """Have the task run whose shim's folder is `task`.

        Answers two handles to read from. The first ends once the task runs, was found to run or to have ended, or could
        not be started; what is read before says why not. The second ends with the task, once its end is written down.
        Raises OSError.
        """
        started, ended = os.pipe2(os.O_CLOEXEC), os.pipe2(os.O_CLOEXEC)
        try:
            with self._lock:
                self._send(os.fsencode(task), [started[1], ended[1]])
        except BaseException:
            for reader in (started[0], ended[0]):
                os.close(reader)
            raise
        finally:
            for writer in (started[1], ended[1]):
                os.close(writer)
        return started[0], ended[0]

    def close(self) -> None:
        """End the fork server; what it has forked goes on, and the next start begins another."""
        with self._lock:
            self._end()
            self._channel = None

    def _send(self, task: bytes, told: list[int]) -> None:
        if self._channel is not None:
            try:
                socket.send_fds(self._channel, [task], told)
            except (BrokenPipeError, ConnectionResetError):  # it was killed
                self._channel = None
            else:
                return
        self._channel = self._begin()
        socket.send_fds(self._channel, [task], told)

    def _begin(self) -> socket.socket:
        self._end()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        told = [str(self._folder), str(theirs.fileno()), str(self._lives_with), "apart" if self._apart else "beside"]
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _START, str(_ROOT), *told],
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
