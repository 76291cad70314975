"""Whatever a database or etcd says, a caller is told something that has a name: never a defect that was none."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import create_engine, exc, text

import suanmesh_etcd3
from suanmesh.scheduler.v1.job_pb2 import Job
from suanmesh_kernel.clock import SystemClock, system_rng
from suanmesh_kernel.refusals import Refusal, Unavailable
from suanmesh_store import KeyspaceError
from suanmesh_store.database_faults import DEFECTS, refusal_of
from suanmesh_store.etcd import _as_keyspace_errors
from suanmesh_store.keyspace import KeyspaceErrorKind
from suanmesh_store.keyspace_errors import refusal_of as refusal_of_keyspace
from suanmesh_store.records import Put, RecordKind, Write, open_records
from suanmesh_store.transactions import Worker

JOBS = RecordKind("jobs", Job)

REASONS = {"DISK_FULL", "NOT_READY", "STORE_AWAY", "STORE_CORRUPT", "CONFLICT", "DOCUMENT_TOO_LARGE"}


NO_ERRORS = {"OK", "ROW", "DONE", "NOTICE", "WARNING", "DENY", "IGNORE"}


def _is_error(name: str, code: object) -> bool:
    """Whether a constant of sqlite3 is an error, with or without its details; the others name actions and limits."""
    kind = name.removeprefix("SQLITE_").split("_")[0]
    primary = getattr(sqlite3, f"SQLITE_{kind}", None)
    return name.startswith("SQLITE_") and kind not in NO_ERRORS and isinstance(code, int) and code & 0xFF == primary


CODES = {name: code for name, code in vars(sqlite3).items() if _is_error(name, code)}
"""Every error that SQLite has, with its details."""


@pytest.mark.parametrize("name", sorted(CODES))
def test_every_error_of_sqlite_has_a_name(name: str) -> None:
    """A caller who is told INTERNAL does not try again, and nobody learns that a disk is full."""
    fault = sqlite3.OperationalError("said")
    fault.sqlite_errorcode = CODES[name]
    for each in (fault, exc.OperationalError("SELECT", {}, fault)):
        refusal = refusal_of(each, "the ledger")
        if CODES[name] & 0xFF in DEFECTS:
            assert refusal is None
        else:
            assert refusal is not None
            assert refusal.reason in REASONS


def test_the_errors_that_are_told_apart() -> None:
    """What to do differs: make room, bring back a copy, or just wait."""
    told = {}
    for name in ("FULL", "IOERR_SHMSIZE", "CORRUPT", "NOTADB", "BUSY", "READONLY_DBMOVED", "CANTOPEN", "IOERR_WRITE"):
        fault = sqlite3.DatabaseError("said")
        fault.sqlite_errorcode = getattr(sqlite3, f"SQLITE_{name}")
        refusal = refusal_of(fault, "the ledger")
        assert refusal is not None
        told[name] = f"{refusal.code} {refusal.reason}"

    assert told == {
        "FULL": "UNAVAILABLE DISK_FULL",
        "IOERR_SHMSIZE": "UNAVAILABLE DISK_FULL",
        "CORRUPT": "DATA_LOSS STORE_CORRUPT",
        "NOTADB": "DATA_LOSS STORE_CORRUPT",
        "BUSY": "UNAVAILABLE STORE_AWAY",
        "READONLY_DBMOVED": "UNAVAILABLE STORE_AWAY",
        "CANTOPEN": "UNAVAILABLE STORE_AWAY",
        "IOERR_WRITE": "UNAVAILABLE STORE_AWAY",
    }


class PostgresError(Exception):
    """As psycopg's errors are: a code, or none where it could not even connect."""

    def __init__(self, sqlstate: str | None) -> None:
        super().__init__(f"said {sqlstate}")
        self.sqlstate = sqlstate


@pytest.mark.parametrize(
    ("sqlstate", "reason"),
    [
        ("53100", "DISK_FULL"),
        ("57P01", "STORE_AWAY"),  # admin_shutdown
        ("25006", "STORE_AWAY"),  # read_only_sql_transaction
        ("40001", "CONFLICT"),  # serialization_failure
        ("XX001", "STORE_CORRUPT"),
        ("58030", "STORE_AWAY"),  # io_error
        ("53300", "STORE_AWAY"),  # too_many_connections
        (None, "STORE_AWAY"),
        ("42P01", ""),  # undefined_table
    ],
)
def test_postgresql_says_the_same(sqlstate: str | None, reason: str) -> None:
    """A node at scale runs on PostgreSQL, and its users meet the same refusals."""
    refusal = refusal_of(exc.OperationalError("SELECT", {}, PostgresError(sqlstate)), "the ledger")

    assert (refusal.reason if refusal else "") == reason


def test_callers_are_told_what_a_database_says_and_not_what_it_was_asked() -> None:
    """Whoever waits for a locked table has no use for a statement of ours, which names tables they must not know of."""
    said = PostgresError("55P03")
    said.args = ("canceling statement due to lock timeout\nLINE 2: FROM accounts",)
    refusal = refusal_of(exc.OperationalError("SELECT", {}, said), "the ledger")

    assert refusal is not None
    assert refusal.message == "the ledger cannot be used now: canceling statement due to lock timeout"


@pytest.mark.parametrize("kind", [exc.TimeoutError, exc.DisconnectionError, exc.ResourceClosedError])
def test_a_pool_that_is_exhausted_or_closed_is_no_defect(kind: type[Exception]) -> None:
    """Both pass by themselves."""
    refusal = refusal_of(kind("said"), "the ledger")

    assert isinstance(refusal, Unavailable)


def _kinds(kind: type[Exception]) -> Iterator[type[Exception]]:
    for each in kind.__subclasses__():
        yield each
        yield from _kinds(each)


@pytest.mark.parametrize("kind", [suanmesh_etcd3.EtcdError, *_kinds(suanmesh_etcd3.EtcdError)])
def test_every_error_of_etcd_is_trouble(kind: type[Exception]) -> None:
    """An error of etcd that nobody foresaw would end the process that meets it."""
    fault = kind() if kind is suanmesh_etcd3.Compacted else kind("said")
    with pytest.raises(KeyspaceError) as caught, _as_keyspace_errors():
        raise fault

    assert isinstance(refusal_of_keyspace(caught.value), Refusal)


@pytest.mark.parametrize("error", list(KeyspaceErrorKind))
def test_every_error_is_a_refusal(error: KeyspaceErrorKind) -> None:
    """The same for what the store says of a keyspace."""
    assert isinstance(refusal_of_keyspace(KeyspaceError(error, "said")), Refusal)


async def test_a_worker_that_is_closed_says_so() -> None:
    """A caller whose leader has just changed asks the next one; INTERNAL would end the call."""
    worker = Worker("the ledger")
    await worker.close()

    with pytest.raises(Unavailable, match="NOT_READY"):
        await worker.run(list)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 512 KiB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a file system needs root")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(tmp_path)], check=True)
    yield tmp_path
    subprocess.run(["umount", "-l", str(tmp_path)], check=True)


async def test_a_disk_that_is_full_is_named_and_passes(small_disk: Path) -> None:
    """Whoever runs the node must learn that a disk is full, and need do no more than make room."""
    records = open_records(f"sqlite:///{small_disk}/a", "scheduler", [JOBS], SystemClock(), system_rng)
    _fill(small_disk / "filler")
    write = Write([Put(JOBS, "jobs/j", Job(name="jobs/j", display_name="x" * 100_000))])

    with pytest.raises(Unavailable, match="DISK_FULL"):
        await records.apply([write])
    assert records.fault is not None
    (small_disk / "filler").unlink()
    await records.apply([write])

    assert records.fault is None
    assert list(await records.get_many(JOBS, ["jobs/j"])) == ["jobs/j"]
    await records.close()


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as filler, suppress(OSError):
        while True:
            filler.write(b"x" * 4096)


async def test_a_statement_of_ours_that_is_wrong_stays_a_defect(tmp_path: Path) -> None:
    """A defect that is told as a refusal is never mended."""
    engine = create_engine(f"sqlite:///{tmp_path}/a.sqlite")
    worker = Worker("the ledger")

    def wrong() -> None:
        with engine.begin() as connection:
            connection.execute(text("SELECT 1 FROM nowhere"))

    with pytest.raises(exc.OperationalError, match="no such table"):
        await worker.run(wrong)
    await worker.close()
    await asyncio.to_thread(engine.dispose)
