"""What the faults of a database mean to a caller: told by the fault, without loading what talks to databases.

A process with no database, such as an agent, reads the same faults of its disk, and has no SQLAlchemy installed.
"""

from __future__ import annotations

import errno
import sqlite3
import sys
from types import ModuleType
from typing import Final

from suanmesh_kernel.refusals import Aborted, DataLoss, InvalidArgument, Refusal, Unavailable

DOMAIN = "mesh.suanmesh"
_PRIMARY_CODE = 0xFF
"""SQLite keeps the details of an error in the higher bits of its code."""

DEFECTS: Final = frozenset(
    (
        sqlite3.SQLITE_ERROR,
        sqlite3.SQLITE_INTERNAL,
        sqlite3.SQLITE_MISMATCH,
        sqlite3.SQLITE_MISUSE,
        sqlite3.SQLITE_RANGE,
        sqlite3.SQLITE_FORMAT,
    )
)
"""Errors of SQLite that only a statement of ours can cause. All others come from outside."""
_SQLITE_FULL = frozenset((sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE))
_DAMAGED = frozenset((sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB))
_SQLSTATES: Final[tuple[tuple[str, str], ...]] = (
    ("53100", "full"),  # disk_full
    ("25006", "away"),  # read_only_sql_transaction, as on a standby
    ("XX001", "damaged"),
    ("XX002", "damaged"),
    ("08", "away"),  # connection
    ("53", "away"),  # insufficient resources
    ("55", "away"),  # locked, or not in the state for it
    ("57", "away"),  # an operator intervened
    ("58", "away"),  # the operating system failed
    ("23", "conflict"),  # a constraint does not hold
    ("40", "conflict"),  # rolled back
    ("54", "large"),  # a limit of the program
)
"""Of PostgreSQL, by the beginning of the code; what is not here only a statement of ours can cause."""


def refusal_of(fault: Exception, what: str) -> Refusal | None:
    """What a caller is told about an error of the database `what`; None where it is a defect of ours."""
    kind = _kind(fault)
    said = str(getattr(fault, "orig", None) or fault).partition("\n")[0][:300]  # the statement comes below
    match kind:
        case "full":
            return Unavailable("DISK_FULL", f"{what} cannot write, its disk is full: {said}", domain=DOMAIN)
        case "damaged":
            return DataLoss("STORE_CORRUPT", f"{what} is damaged: {said}", domain=DOMAIN)
        case "conflict":
            return Aborted("CONFLICT", f"{what} has changed meanwhile: {said}", domain=DOMAIN)
        case "large":
            return InvalidArgument("DOCUMENT_TOO_LARGE", f"too much for {what}: {said}", domain=DOMAIN)
        case "away":
            return Unavailable("STORE_AWAY", f"{what} cannot be used now: {said}", domain=DOMAIN)
    return None


def fault_of(failure: Exception, what: str) -> Unavailable | None:
    """What keeps `what` from being opened for now, such as a full disk; None for damage, and for anything else."""
    exc = _sqlalchemy()
    if not isinstance(failure, sqlite3.Error | OSError) and not (exc and isinstance(failure, exc.SQLAlchemyError)):
        return None
    refusal = refusal_of(failure, what)
    return refusal if isinstance(refusal, Unavailable) else None


def _sqlalchemy() -> ModuleType | None:
    """The faults of SQLAlchemy; None where it is not in use, so that none can be its."""
    return sys.modules.get("sqlalchemy.exc")


def _kind(fault: Exception) -> str:
    exc = _sqlalchemy()
    if exc is None:
        return _kind_of_driver(fault)
    if isinstance(
        fault, exc.TimeoutError | exc.DisconnectionError | exc.ResourceClosedError | exc.PendingRollbackError
    ):
        return "away"
    if isinstance(fault, exc.DBAPIError):
        said = fault.orig if isinstance(fault.orig, Exception) else fault
        away = fault.connection_invalidated or isinstance(fault, exc.OperationalError)
        return _kind_of_driver(said) or ("away" if away and _untold(said) else "")
    return _kind_of_driver(fault)


def _kind_of_driver(fault: Exception) -> str:
    """Of an error of sqlite3, psycopg or the operating system."""
    if isinstance(fault, sqlite3.Error):
        return _kind_of_sqlite(fault)
    sqlstate = getattr(fault, "sqlstate", None)
    if isinstance(sqlstate, str):
        return next((kind for code, kind in _SQLSTATES if sqlstate.startswith(code)), "")
    if isinstance(fault, OSError):
        return "full" if fault.errno in (errno.ENOSPC, errno.EDQUOT) else "away"
    return ""


def _kind_of_sqlite(fault: sqlite3.Error) -> str:
    code = getattr(fault, "sqlite_errorcode", None)
    if code is None:  # said by Python's module itself
        return "away" if "closed" in str(fault) else ""
    if code in _SQLITE_FULL:
        return "full"
    primary = code & _PRIMARY_CODE
    if primary in DEFECTS:
        return ""
    if primary in _DAMAGED:
        return "damaged"
    if primary == sqlite3.SQLITE_CONSTRAINT:
        return "conflict"
    return "large" if primary == sqlite3.SQLITE_TOOBIG else "away"


def _untold(fault: Exception) -> bool:
    """Whether the driver gave no code, as where it could not even connect."""
    return getattr(fault, "sqlite_errorcode", None) is None and getattr(fault, "sqlstate", None) is None
