"""One launcher per folder: a lock that the kernel takes back, however its holder ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from suanmesh_kernel.private import FILE_MODE, private_folder


class Taken(Exception):
    """Another process holds the folder; says which."""


class Lock:
    """Names its holder in `file`, which stays behind: what counts is whether it is locked."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._held: int | None = None

    def take(self) -> None:
        """Hold it until `release` or the end of this process; holding it already is fine. Raises Taken, OSError."""
        if self._held is not None:
            return
        private_folder(self._file.parent)
        opened = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(opened, 32).decode() or "?"
            os.close(opened)
            raise Taken(f"{self._file.parent} is in use by process {holder.strip()}") from None
        os.ftruncate(opened, 0)
        os.write(opened, f"{os.getpid()}\n".encode())
        self._held = opened

    def release(self) -> None:
        """Let others have it."""
        if self._held is not None:
            os.close(self._held)
            self._held = None
