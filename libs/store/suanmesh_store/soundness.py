"""Whether a SQLite file can be read: damage is found when a process starts, not by the first call that meets it.

A store that must not be lost (money, history, an agent's journal) refuses to be opened when it is damaged; one that
may be lost (traces) is set aside and begun anew.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from suanmesh_kernel.texts import Text

QUICK_BYTES_MAX = 1 << 30
"""Of a larger file only the outline is read when a process starts; `suan node check` reads it whole."""
_DAMAGES = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_PRIMARY_CODE = 0xFF
"""SQLite keeps the details of an error in the higher bits of its code."""
COMPANIONS = ("-wal", "-shm", "-journal")
"""Endings of what SQLite keeps beside a file."""


class StoreCorrupt(Exception):
    """A store that must not be lost is damaged; the text says on one line which, how, and what to do."""


class StoreRefused(StoreCorrupt):
    """A store that is sound must not be used here; `reason` is its code, and the text says what to do."""

    def __init__(self, reason: str, text: Text) -> None:
        super().__init__(text.en)
        self.reason = reason
        self.text = text


def damage_among(failure: BaseException) -> StoreCorrupt | None:
    """The damaged store that made a process fail, however many groups the failure is wrapped in."""
    if isinstance(failure, BaseExceptionGroup):
        return next((found for each in failure.exceptions if (found := damage_among(each))), None)
    return failure if isinstance(failure, StoreCorrupt) else None


def is_damage(fault: BaseException | None) -> bool:
    """Whether an error of SQLite says that the file itself is damaged, rather than busy, full or out of reach."""
    code = getattr(fault, "sqlite_errorcode", None)
    return isinstance(fault, sqlite3.DatabaseError) and code is not None and code & _PRIMARY_CODE in _DAMAGES


def damage_of(path: Path, *, whole: bool = True) -> str:
    """What is damaged in the SQLite file `path`, in SQLite's words; empty where nothing is, or where there is no file.

    Without `whole` only its outline is read. Raises sqlite3.Error for what is no damage, such as a file out of reach.
    """
    if not path.exists():
        return ""
    if not path.is_file():
        return "it is not a file"
    try:
        with closing(sqlite3.connect(path)) as connection:
            if not whole:
                connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
                return ""
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as fault:
        if is_damage(fault):
            return str(fault)
        raise
    return "" if verdict == "ok" else str(verdict).replace("\n", " ")


def require_sound(path: Path, what: str) -> None:
    """Raises StoreCorrupt where the store `what`, kept in `path`, is damaged; an absent one will be made."""
    try:
        small = not path.is_file() or path.stat().st_size <= QUICK_BYTES_MAX
        damage = damage_of(path, whole=small)
    except (sqlite3.Error, OSError):
        return  # whoever opens it says what keeps it from being read
    if damage:
        raise StoreCorrupt(
            f"{what} is damaged ({damage}): bring back a copy of {path.absolute()}, or move it away and lose what it "
            "holds; `suan node check` reads all stores of a node"
        )


def require_sound_at(url: str, what: str) -> None:
    """`require_sound` for a database by its SQLAlchemy URL; a server looks after its own files."""
    scheme, _, path = url.partition(":///")
    if scheme.startswith("sqlite") and path:
        require_sound(Path(path), what)


def set_aside(path: Path) -> Path:
    """Rename a damaged file, and what SQLite keeps beside it, out of the way; only the last one set aside is kept."""
    aside = path.with_name(f"{path.name}.damaged")
    for end in COMPANIONS:
        path.with_name(path.name + end).unlink(missing_ok=True)
    path.replace(aside)
    return aside
