"""What a shim keeps in its folder: its lock, and facts for others to read. Standard library only."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from pathlib import Path
from typing import Any

LOCK_TRIES = 50


def locked(path: Path) -> bool:
    """Hold `path` as long as it is open. An agent that looks holds it for a moment, another shim for long."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    for _ in range(LOCK_TRIES):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(0.01)
    return False


def write(folder: Path, name: str, facts: dict[str, Any]) -> None:
    """Facts under a name, all of them or none; those of the end are on disk then. Raises OSError."""
    path = f"{folder}/{name}.json"
    file = os.open(draft := f"{folder}/{name}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    os.write(file, json.dumps(facts).encode())
    if name == "exit":
        os.fsync(file)
    os.close(file)
    os.replace(draft, path)  # noqa: PTH105 - for every task again and again
