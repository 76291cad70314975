"""Putting on disk what has been written: one file, or all that a file system still holds in memory."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_BEGIN_TO_WRITE = 2
"""SYNC_FILE_RANGE_WRITE of sync_file_range(2)."""


def to_disk(path: Path | str) -> None:
    """Return once a file or folder is on disk. Raises OSError."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def to_disk_soon(file: int, offset: int, size_bytes: int) -> None:
    """Have the system begin to write these bytes of an open file to disk, so that less is left for `to_disk`."""
    _LIBC.sync_file_range(file, ctypes.c_int64(offset), ctypes.c_int64(size_bytes), _BEGIN_TO_WRITE)


def all_to_disk(path: Path) -> None:
    """Return once everything that was written to the file system of `path` is on disk. Raises OSError."""
    file = os.open(path, os.O_RDONLY)
    try:
        if _LIBC.syncfs(file) != 0:
            fault = ctypes.get_errno()
            raise OSError(fault, os.strerror(fault), str(path))
    finally:
        os.close(file)
