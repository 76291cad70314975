"""What the agent must not forget, in one SQLite file: placements, meters, usage on its way, transfers, datasets."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from suanmesh.type.v1.signed_pb2 import Signed
from suanmesh_agent.domain.metering import Amounts, MeterMark
from suanmesh_agent.domain.stages import Stage, follows
from suanmesh_kernel.texts import Text
from suanmesh_store.agreement import too_new
from suanmesh_store.soundness import StoreRefused
from suanmesh_store.sqlite_files import open_hard

VERSION = 1
"""Of its tables; raised with every change that an older agent would get wrong."""
_TABLES = """
CREATE TABLE IF NOT EXISTS facts (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS placements (name TEXT PRIMARY KEY, message BLOB NOT NULL, stage TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS meters (
  placement TEXT, task INTEGER, cpu_us INTEGER, memory_mib_s INTEGER, device_milli_s INTEGER, end_ns INTEGER,
  final INTEGER, PRIMARY KEY (placement, task)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS usage_records (
  sequence INTEGER PRIMARY KEY, record BLOB NOT NULL, traceparent TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS transfers (
  name TEXT PRIMARY KEY, start_ns INTEGER NOT NULL, bytes_received INTEGER NOT NULL DEFAULT 0,
  chunks_again INTEGER NOT NULL DEFAULT 0, end_ns INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS chunks (
  transfer TEXT, number INTEGER, verified INTEGER NOT NULL, PRIMARY KEY (transfer, number)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS datasets (name TEXT PRIMARY KEY, digest TEXT NOT NULL) WITHOUT ROWID;
"""
_NODE = "node_id"
_STAGES = """
UPDATE placements SET stage = 'accepted' WHERE stage = 'staged';
UPDATE placements SET stage = 'started' WHERE stage = 'ended';
"""
"""Earlier versions wrote two stages more, each before a step that may be taken again."""


@dataclass(frozen=True, slots=True)
class TransferMark:
    """What a transfer has cost so far. `end_ns` is when the last chunk came, 0 before the first."""

    start_ns: int
    bytes_received: int
    chunks_again: int
    end_ns: int


@dataclass(slots=True)
class _Step:
    """A step that waits to be taken, and what came of it."""

    take: Callable[[], None]
    taken: bool = False
    fault: BaseException | None = None


class _Savepoint:
    """Undoes a step that fails, and keeps the fault for whoever asked for the step."""

    def __init__(self, db: sqlite3.Connection, step: _Step) -> None:
        self._db = db
        self._step = step

    def __enter__(self) -> None:
        self._db.execute("SAVEPOINT step")

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, traceback: object) -> bool:
        self._step.fault = fault
        if not self._db.in_transaction:  # a full disk has undone all that was to be written
            return False
        if fault is not None:
            self._db.execute("ROLLBACK TO step")
        self._db.execute("RELEASE step")
        return True


class Journal:
    """The file. Every method is one durable step; `together` makes several one, and `commit` takes them elsewhere.

    Any thread may call it. What a thread reads is what has been committed, and what it has itself written `together`.
    """

    def __init__(self, path: Path) -> None:
        """Open or create the file. Raises StoreCorrupt where it is damaged or of a newer version."""
        self.path = path
        self._writer, self._reader = open_hard(path, "the agent's journal", connections=2)
        (version,) = self._reader.execute("PRAGMA user_version").fetchone()
        if version > VERSION:
            self._reader.close()
            self._writer.close()
            raise too_new("the agent's journal", "代理的日志账", version, VERSION)
        self._writer.executescript(f"{_TABLES}{_STAGES}PRAGMA user_version = {VERSION};")
        _take_over_signed_usage(self._writer)
        self._lock = threading.RLock()
        self._writing = 0
        self._waiting: deque[_Step] = deque()
        self._turn = asyncio.Lock()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._reader.close()
            self._writer.close()

    @contextmanager
    def together(self) -> Iterator[None]:
        """All steps within are taken, or none."""
        with self._lock:
            if self._writing:
                yield
                return
            self._writer.execute("BEGIN IMMEDIATE")
            self._writing = threading.get_ident()
            try:
                yield
            except BaseException:
                if self._writer.in_transaction:  # a full disk ends it by itself
                    self._writer.execute("ROLLBACK")
                raise
            else:
                self._writer.execute("COMMIT")
            finally:
                self._writing = 0

    async def commit(self, take: Callable[[], None]) -> None:
        """Take a step beside the event loop, together with all others that wait by then: one write to disk for all.

        Raises what the step raises, which then leaves no trace and does not concern the others. Nothing is lost of a
        step whose caller is cancelled.
        """
        step = _Step(take)
        self._waiting.append(step)
        async with self._turn:
            if not step.taken:
                await asyncio.sleep(0)  # whoever has something to write in this turn of the loop writes with us
                await asyncio.to_thread(self._take_waiting)
        if step.fault is not None:
            raise step.fault

    def _take_waiting(self) -> None:
        with self._lock:  # what another thread has taken off the queue has been taken when this one gets here
            steps = [self._waiting.popleft() for _ in range(len(self._waiting))]
            try:
                with self.together():
                    for step in steps:
                        with _Savepoint(self._writer, step):
                            step.take()
            except sqlite3.Error as fault:
                for step in steps:
                    step.fault = step.fault or fault
            finally:
                for step in steps:
                    step.taken = True

    @property
    def _db(self) -> sqlite3.Connection:
        """To read from."""
        return self._writer if self._writing == threading.get_ident() else self._reader

    def fact(self, key: str) -> str | None:
        """A single remembered value."""
        row = self._db.execute("SELECT value FROM facts WHERE key = ?", (key,)).fetchone()
        return str(row[0]) if row else None

    def remember(self, key: str, value: str) -> None:
        """Remember a single value; what is remembered already is not written, which a full disk would refuse."""
        if self.fact(key) == value:
            return
        with self.together():
            self._db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (key, value))

    def belong(self, node_id: str) -> None:
        """Belong to a node from now on. Raises StoreRefused (`STORE_OF_ANOTHER_NODE`) where it is another one's."""
        kept = self.fact(_NODE)
        if kept not in (None, node_id):
            raise StoreRefused(
                "STORE_OF_ANOTHER_NODE",
                Text(
                    f"the agent's journal is of the node {kept}, and {node_id} answers: join with a folder of its own",
                    f"代理的日志账属于节点 {kept}，而应答的是 {node_id}：请用另一个文件夹加入该节点",
                ),
            )
        with suppress(sqlite3.Error):  # a disk that is full: it is told again
            self.remember(_NODE, node_id)

    def keep_placement(self, name: str, message: bytes) -> None:
        """Keep a placement as the mesh last showed it; a new one is SEEN."""
        with self.together():
            self._db.execute(
                "INSERT INTO placements VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET message = excluded.message",
                (name, message, Stage.SEEN.value),
            )

    def placements(self) -> list[tuple[str, bytes, Stage]]:
        """Every placement that is kept."""
        rows = self._db.execute("SELECT name, message, stage FROM placements ORDER BY name").fetchall()
        return [(name, message, Stage(stage)) for name, message, stage in rows]

    def placement(self, name: str) -> bytes | None:
        """One that is kept, as the mesh last showed it; None where it is not."""
        row = self._db.execute("SELECT message FROM placements WHERE name = ?", (name,)).fetchone()
        return row[0] if row else None

    def stages(self) -> dict[Stage, int]:
        """How many placements are at each stage."""
        rows = self._db.execute("SELECT stage, COUNT(*) FROM placements GROUP BY stage").fetchall()
        return {Stage(stage): count for stage, count in rows}

    def messages_at(self, stages: Iterable[Stage]) -> list[tuple[str, bytes]]:
        """The placements that are at one of `stages`."""
        wanted = [stage.value for stage in stages]
        query = f"SELECT name, message FROM placements WHERE stage IN ({', '.join('?' * len(wanted))}) ORDER BY name"
        return self._db.execute(query, wanted).fetchall()

    def stage(self, name: str) -> Stage | None:
        """How far the agent is with a placement; None for one it does not know."""
        row = self._db.execute("SELECT stage FROM placements WHERE name = ?", (name,)).fetchone()
        return Stage(row[0]) if row else None

    def go_on(self, name: str, stage: Stage) -> None:
        """Write down that a placement has come to `stage`. Raises ValueError where that cannot follow."""
        with self.together():
            now = self.stage(name)
            if now is stage:
                return
            if now is None or not follows(now, stage):
                raise ValueError(f"{name} cannot go from {now} to {stage}")
            self._db.execute("UPDATE placements SET stage = ? WHERE name = ?", (stage.value, name))

    def forget_placement(self, name: str) -> None:
        """Forget a placement; its meters once all usage has been acknowledged."""
        with self.together():
            self._db.execute("DELETE FROM placements WHERE name = ?", (name,))
            self._forget_meters()

    def meter(self, placement: str, task: int) -> MeterMark | None:
        """Up to where a task's usage has been written down."""
        row = self._db.execute(
            "SELECT cpu_us, memory_mib_s, device_milli_s, end_ns, final FROM meters WHERE placement = ? AND task = ?",
            (placement, task),
        ).fetchone()
        return MeterMark(Amounts(*row[:3]), row[3], bool(row[4])) if row else None

    def set_meter(self, placement: str, task: int, mark: MeterMark) -> None:
        """Write down up to where a task's usage is in usage records."""
        with self.together():
            done = mark.amounts
            row = (placement, task, done.cpu_us, done.memory_mib_s, done.device_milli_s, mark.end_ns, mark.final)
            self._db.execute("INSERT OR REPLACE INTO meters VALUES (?, ?, ?, ?, ?, ?, ?)", row)

    def meters(self) -> list[tuple[str, int, MeterMark]]:
        """Up to where the usage of every task, and of every transfer as its task 0, has been written down."""
        query = "SELECT placement, task, cpu_us, memory_mib_s, device_milli_s, end_ns, final FROM meters"
        rows = self._db.execute(query).fetchall()
        return [(row[0], row[1], MeterMark(Amounts(*row[2:5]), row[5], bool(row[6]))) for row in rows]

    def begin_epoch(self, epoch: str) -> None:
        """Count from 1 again under another epoch; what had not been acknowledged is dropped. Call it in `together`."""
        with self.together():
            self.remember("epoch", epoch)
            self.remember("sequence", "0")
            self._db.execute("DELETE FROM usage_records")

    @property
    def sequence(self) -> int:
        """Number of the last usage record; 0 before the first."""
        return int(self.fact("sequence") or "0")

    def next_sequence(self) -> int:
        """Take the next number of a usage record; call it within `together` with `add_usage`."""
        with self.together():
            number = self.sequence + 1
            self.remember("sequence", str(number))
            return number

    def add_usage(self, sequence: int, record: bytes, traceparent: str) -> None:
        """Keep a record until it is acknowledged."""
        with self.together():
            self._db.execute("INSERT INTO usage_records VALUES (?, ?, ?)", (sequence, record, traceparent))

    def unsent_usage(self, limit: int, after: int = 0) -> list[tuple[int, bytes, str]]:
        """The oldest records with a sequence beyond `after` that have not been acknowledged."""
        query = "SELECT * FROM usage_records WHERE sequence > ? ORDER BY sequence LIMIT ?"
        return self._db.execute(query, (after, limit)).fetchall()

    def acknowledge_usage(self, sequences: Iterable[int]) -> None:
        """Forget records that accounting has."""
        with self.together():
            self._db.executemany("DELETE FROM usage_records WHERE sequence = ?", [(number,) for number in sequences])
            self._forget_meters()

    def begin_transfer(self, name: str, start_ns: int) -> None:
        """A transfer that is new begins now."""
        with self.together():
            self._db.execute("INSERT OR IGNORE INTO transfers (name, start_ns) VALUES (?, ?)", (name, start_ns))

    def transfer(self, name: str) -> TransferMark:
        """What is known of a transfer that has begun. Raises KeyError for one that has not."""
        query = "SELECT start_ns, bytes_received, chunks_again, end_ns FROM transfers WHERE name = ?"
        row = self._db.execute(query, (name,)).fetchone()
        if row is None:
            raise KeyError(name)
        return TransferMark(*row)

    def ask_chunks(self, transfer: str, numbers: Iterable[int]) -> None:
        """Chunks are asked for; one that had been asked for before comes again."""
        with self.together():
            for number in numbers:
                again = self._db.execute(
                    "SELECT 1 FROM chunks WHERE transfer = ? AND number = ?", (transfer, number)
                ).fetchone()
                if again:
                    self._count(transfer, "chunks_again", 1)
                self._db.execute("INSERT OR REPLACE INTO chunks VALUES (?, ?, 0)", (transfer, number))

    def verify_chunks(self, transfer: str, numbers: Iterable[int], received_bytes: int, now_ns: int) -> None:
        """Chunks are on disk, as they should be, since now."""
        with self.together():
            for number in numbers:
                self._db.execute("UPDATE chunks SET verified = 1 WHERE transfer = ? AND number = ?", (transfer, number))
            self._count(transfer, "bytes_received", received_bytes)
            self._db.execute("UPDATE transfers SET end_ns = ? WHERE name = ?", (now_ns, transfer))

    def doubt_chunks(self, transfer: str, numbers: Iterable[int]) -> None:
        """Chunks are not on disk as they should be after all."""
        with self.together():
            for number in numbers:
                self._db.execute("UPDATE chunks SET verified = 0 WHERE transfer = ? AND number = ?", (transfer, number))

    def verified_chunks(self, transfer: str) -> frozenset[int]:
        """Numbers of the chunks that need not be fetched any more."""
        rows = self._db.execute("SELECT number FROM chunks WHERE transfer = ? AND verified = 1", (transfer,))
        return frozenset(number for (number,) in rows)

    def end_transfer(self, name: str, end_ns: int) -> None:
        """A transfer has ended, at the latest at `end_ns`; its chunks need not be remembered."""
        with self.together():
            self._db.execute("UPDATE transfers SET end_ns = ? WHERE name = ? AND end_ns = 0", (end_ns, name))
            self._db.execute("DELETE FROM chunks WHERE transfer = ?", (name,))

    def forget_transfer(self, name: str) -> None:
        """Forget a transfer the mesh has put down as ended."""
        with self.together():
            self._db.execute("DELETE FROM transfers WHERE name = ?", (name,))
            self._forget_meters()
            self._db.execute("DELETE FROM chunks WHERE transfer = ?", (name,))

    def name_dataset(self, name: str, digest: str) -> None:
        """A dataset of that name has a complete replica here."""
        with self.together():
            self._db.execute("INSERT OR REPLACE INTO datasets VALUES (?, ?)", (name, digest))

    def forget_content(self, digest: str) -> None:
        """Datasets with that digest have no replica here any more."""
        with self.together():
            self._db.execute("DELETE FROM datasets WHERE digest = ?", (digest,))

    def dataset(self, name: str) -> str | None:
        """Digest of a dataset that has a complete replica here."""
        row = self._db.execute("SELECT digest FROM datasets WHERE name = ?", (name,)).fetchone()
        return str(row[0]) if row else None

    def _forget_meters(self) -> None:
        """Forget meters nobody asks for any more: what is on its way may have to be told anew from them."""
        if self._db.execute("SELECT 1 FROM usage_records LIMIT 1").fetchone() is None:
            kept = "SELECT name FROM placements UNION SELECT name FROM transfers"
            self._db.execute(f"DELETE FROM meters WHERE placement NOT IN ({kept})")

    def _count(self, transfer: str, column: str, more: int) -> None:
        self._db.execute(f"UPDATE transfers SET {column} = {column} + ? WHERE name = ?", (more, transfer))


def _take_over_signed_usage(db: sqlite3.Connection) -> None:
    """Records on their way were once kept as they were signed, each by itself: what was signed is what is sent."""
    if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'usage'").fetchone() is None:
        return
    rows = db.execute("SELECT sequence, record, traceparent FROM usage").fetchall()
    db.execute("BEGIN IMMEDIATE")
    records = [(sequence, Signed.FromString(signed).payload, traceparent) for sequence, signed, traceparent in rows]
    db.executemany("INSERT OR IGNORE INTO usage_records VALUES (?, ?, ?)", records)
    db.execute("DROP TABLE usage")
    db.execute("COMMIT")
