"""The site's permission to run, as a shim reads it from the file that the agent renews. Standard library only."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Counts on while the host sleeps, as the mesh's clock does."""
_BOOT_ID = "/proc/sys/kernel/random/boot_id"


class Permit:
    """Reads the end of the permission again and again; what cannot be read has not been renewed.

    A host other than the agent's goes by the wall's clock.
    """

    def __init__(self, path: str) -> None:
        """Without a path it never ends."""
        self._until = 0.0 if path else float("inf")
        self._clock: Callable[[], float] = _uptime
        self._file = -1
        if path:
            self._boot = _boot_id()
            with contextlib.suppress(OSError):
                self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def over_s(self) -> float:
        """For how long it has been over; negative while it lasts."""
        if self._file >= 0:
            with contextlib.suppress(OSError, ValueError, IndexError):
                *boot, wall, moment = os.pread(self._file, 256, 0).split()
                elsewhere = bool(boot) and boot[0] != self._boot
                self._until, self._clock = (int(wall) / 1e9, _wall) if elsewhere else (int(moment) / 1e9, _uptime)
        return self._clock() - self._until


def _uptime() -> float:
    return time.clock_gettime(_CLOCK)


def _wall() -> float:
    return time.time_ns() / 1e9


def _boot_id() -> bytes:
    with contextlib.suppress(OSError), open(_BOOT_ID, "rb") as file:  # noqa: PTH123 - pathlib is not for shims
        return file.read().strip()
    return b""
