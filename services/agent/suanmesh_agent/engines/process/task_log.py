"""What a task wrote, kept within a bound. Standard library only."""

from __future__ import annotations

import os
from pathlib import Path

LOG_SEGMENTS = 4


class Log:
    """A bounded log in segments named by their number; the oldest goes when a new one is begun."""

    def __init__(self, folder: Path, bound_bytes: int) -> None:
        self._folder = folder
        self._segment_bytes = segment_bytes(bound_bytes)
        self._written = 0
        self._file: int | None = None

    def add(self, content: bytes) -> None:
        """Append, beginning new segments where one is full."""
        while content:
            room = self._segment_bytes - self._written % self._segment_bytes
            if self._file is None or room == self._segment_bytes:
                self._begin(self._written // self._segment_bytes)
            written = os.write(self._file or 0, content[:room])
            self._written += written
            content = content[written:]

    def close(self) -> None:
        """Put what was written on disk."""
        if self._file is not None:
            os.fsync(self._file)

    def _begin(self, number: int) -> None:
        if self._file is not None:
            os.close(self._file)
        (self._folder / f"{number - LOG_SEGMENTS}.log").unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        self._file = os.open(self._folder / f"{number}.log", flags, 0o600)


def segment_bytes(bound_bytes: int) -> int:
    """Size of each segment of a log of `bound_bytes`."""
    return max(1, bound_bytes // LOG_SEGMENTS)
