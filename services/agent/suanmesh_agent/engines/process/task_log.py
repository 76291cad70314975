"""What a task wrote, kept within a bound: its beginning and its end. Standard library only."""

from __future__ import annotations

import os
import struct
import time
from pathlib import Path

LOG_SEGMENTS = 4
"""The first is kept for good; of the others the oldest goes when a new one is begun."""
TIME_EVERY_NS = 1_000_000_000
"""How closely it is known when something was written."""
TIME = struct.Struct("<QQ")
"""An offset, and the wall clock in milliseconds when that was written."""


class Log:
    """A bounded log in segments named by their number, each with the times of what is in it beside it."""

    def __init__(self, folder: Path, bound_bytes: int) -> None:
        self._folder = folder
        self._segment_bytes = segment_bytes(bound_bytes)
        self._written = self._number = 0
        self._file: int | None = None
        self._times: int | None = None
        self._first = b""
        self._next_ns = 0

    def add(self, content: bytes) -> None:
        """Append, beginning new segments where one is full."""
        while content:
            room = self._segment_bytes - self._written % self._segment_bytes
            if self._file is None or room == self._segment_bytes:
                self._begin(self._written // self._segment_bytes)
            self._mark(time.time_ns())
            written = os.write(self._file or 0, content[:room])
            self._written += written
            content = content[written:]

    def close(self) -> None:
        """Put what was written on disk."""
        if self._file is not None:
            os.fsync(self._file)

    def _mark(self, now_ns: int) -> None:
        """Of a segment that is written within one time, its last change says when: nothing is kept beside it."""
        if now_ns < self._next_ns:
            return
        self._next_ns = now_ns + TIME_EVERY_NS
        mark = TIME.pack(self._written, now_ns // 1_000_000)
        if self._times is None and not self._first:
            self._first = mark
        elif self._times is None:
            self._times = self._open("times")
            os.write(self._times, self._first + mark)
        else:
            os.write(self._times, mark)

    def _begin(self, number: int) -> None:
        for file in (self._file, self._times):
            if file is not None:
                os.close(file)
        if (dropped := number - LOG_SEGMENTS + 1) > 0:
            for kind in ("log", "times"):
                (self._folder / f"{dropped}.{kind}").unlink(missing_ok=True)
        self._number = number
        self._file = self._open("log")
        self._times, self._first, self._next_ns = None, b"", 0

    def _open(self, kind: str) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        return os.open(self._folder / f"{self._number}.{kind}", flags, 0o600)


def segment_bytes(bound_bytes: int) -> int:
    """Size of each segment of a log of `bound_bytes`."""
    return max(1, bound_bytes // LOG_SEGMENTS)
