"""SQLite files as stores: hard ones, which must not be lost, and soft ones, which may be."""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from pathlib import Path

from suanmesh_store.soundness import require_sound

BUSY_MS = 5_000
"""How long a transaction waits for that of another process, milliseconds."""
HARD = ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={BUSY_MS}")
"""A commit is on the disk before anybody is told."""
SOFT = ("auto_vacuum=INCREMENTAL", "journal_mode=WAL", "synchronous=NORMAL", f"busy_timeout={BUSY_MS}")
"""A loss of power may cost the last commits, never the file; room that is let go is given back."""
FILE_MODE = 0o600


def make_private(path: Path) -> None:
    """Let a new file be its owner's alone from its first byte on; SQLite gives its companions the same mode."""
    with suppress(OSError):  # whoever opens it says what keeps it from being made, or it is there
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE))


def open_hard(path: Path, what: str, *, connections: int) -> list[sqlite3.Connection]:
    """Connections to the store `what` in `path`, opened or made, and read through once for damage.

    None begins a transaction by itself, and any thread may use them. Raises StoreCorrupt where the store is damaged,
    sqlite3.Error where it cannot be opened.
    """
    require_sound(path, what)
    path.parent.mkdir(parents=True, exist_ok=True)
    make_private(path)
    return [
        _opened(sqlite3.connect(path, isolation_level=None, check_same_thread=False), HARD) for _ in range(connections)
    ]


def open_soft(path: Path, tables: str) -> sqlite3.Connection:
    """What is kept in `path`, opened or made with its `tables`; any thread may use it. Raises sqlite3.Error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    make_private(path)
    connection = _opened(sqlite3.connect(path, check_same_thread=False), SOFT)
    try:
        connection.executescript(tables)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _opened(connection: sqlite3.Connection, pragmas: tuple[str, ...]) -> sqlite3.Connection:
    try:
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")
    except sqlite3.Error:
        connection.close()
        raise
    return connection
