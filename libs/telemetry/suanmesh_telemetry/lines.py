"""Lines on their way into a file descriptor that may be full, closed or blocked, without anybody who waits for them.

Whoever logs appends to a bounded queue; one thread writes. What does not fit or cannot be written is dropped, counted,
and told in one line as soon as writing works again.
"""

from __future__ import annotations

import atexit
import os
import select
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue

from suanmesh_telemetry.metrics import LOG_LINES_DROPPED

QUEUE_CHARS_MAX = 8 * 1024 * 1024
"""Most that waits to be written, characters."""
BATCH_S = 0.02
"""How long lines are gathered before they are written together, seconds: waking a thread costs each call."""
RETRY_S = 1.0
"""How often writing is tried anew while lines are missing, seconds."""
FLUSH_BOUND_S = 2.0
"""How long the end of the process waits for what is queued, seconds."""
_NEWLINE = 10

Told = Callable[[int], str]
"""The line that says how many are missing."""


class QueuedLines:
    """A text file as far as those who log need one; neither `write` nor `flush` ever fails or waits."""

    def __init__(self, fd: int, told: Told, *, chars_max: int = QUEUE_CHARS_MAX) -> None:
        """Write to `fd`, which stays the caller's; below zero there is none, and every line is dropped."""
        self._fd = fd
        self._told = told
        self._chars_max = chars_max
        self._begin()
        os.register_at_fork(after_in_child=self._begin)
        atexit.register(self.close)

    def write(self, text: str) -> None:
        """Queue whole lines."""
        with self._lock:
            if self._chars + len(text) > self._chars_max:
                self._missing += 1
                LOG_LINES_DROPPED.inc()
                return
            self._chars += len(text)
        self._queue.put(text)

    def flush(self) -> None:
        """Nothing: the thread writes at once what it has."""

    def close(self, bound_s: float = FLUSH_BOUND_S) -> None:
        """Write what is queued, for a bounded time."""
        self._queue.put(None)
        self._thread.join(bound_s)

    def _begin(self) -> None:
        # All of these may be entered anew by the thread that holds them: a finalizer may log while a line is queued.
        self._lock = threading.RLock()
        self._queue: SimpleQueue[str | None] = SimpleQueue()
        self._chars = 0
        self._missing = 0
        self._torn = False
        self._thread = threading.Thread(target=self._run, name="log lines", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        ended = False
        while not ended:
            try:
                first = self._queue.get(timeout=RETRY_S if self._missing else None)
            except Empty:
                self._put([])
                continue
            lines, ended = self._gathered(first)
            self._put(lines)

    def _gathered(self, first: str | None) -> tuple[list[str], bool]:
        """What is queued now, and whether it is the last."""
        if first is not None:
            time.sleep(BATCH_S)
        lines, ended = [first] if first is not None else [], first is None
        for _ in range(self._queue.qsize()):
            line = self._queue.get()
            if line is None:
                ended = True
            else:
                lines.append(line)
        return lines, ended

    def _put(self, lines: list[str]) -> None:
        if self._missing:
            self._tell()
        # A lone surrogate becomes \udcxx, which is what JSON calls it.
        lost = self._written("".join(lines).encode(errors="backslashreplace")).count(b"\n")
        with self._lock:
            self._chars -= sum(map(len, lines))
            self._missing += lost
        if lost:
            LOG_LINES_DROPPED.inc(lost)

    def _tell(self) -> None:
        missing = self._missing
        if not self._written(self._told(missing).encode(errors="backslashreplace")):
            with self._lock:
                self._missing -= missing

    def _written(self, data: bytes) -> bytes:
        """Write `data` however long it takes; returns what could not be written."""
        left = memoryview(b"\n" + data if self._torn and data else data)
        while left:
            try:
                done = os.write(self._fd, left)
            except BlockingIOError:  # whoever shares the file with us made it so
                select.select([], [self._fd], [], RETRY_S)
            except OSError:
                return bytes(left)
            else:
                self._torn = left[done - 1] != _NEWLINE
                left = left[done:]
        return b""
