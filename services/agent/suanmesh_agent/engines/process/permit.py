"""The site's permission to run, as a shim reads it from the file that the agent renews. Standard library only."""

from __future__ import annotations

import contextlib
import os
import time

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Counts on while the host sleeps, as the mesh's clock does."""


class Permit:
    """Reads the end of the permission again and again; what cannot be read has not been renewed."""

    def __init__(self, path: str) -> None:
        """Without a path it never ends."""
        self._until = 0.0 if path else float("inf")
        self._file = -1
        if path:
            with contextlib.suppress(OSError):
                self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def over_s(self) -> float:
        """For how long it has been over; negative while it lasts."""
        if self._file >= 0:
            with contextlib.suppress(OSError, ValueError, IndexError):
                self._until = int(os.pread(self._file, 256, 0).split()[-1]) / 1e9
        return time.clock_gettime(_CLOCK) - self._until
