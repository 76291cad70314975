"""Putting on disk what has been written: one file, or all that a file system still holds in memory."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)


def to_disk(path: Path) -> None:
    """Return once a file or folder is on disk. Raises OSError."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def all_to_disk(path: Path) -> None:
    """Return once everything that was written to the file system of `path` is on disk. Raises OSError."""
    file = os.open(path, os.O_RDONLY)
    try:
        if _LIBC.syncfs(file) != 0:
            fault = ctypes.get_errno()
            raise OSError(fault, os.strerror(fault), str(path))
    finally:
        os.close(file)
