"""What must hold after every write, looked at after every write: of documents in the keyspace, and of the ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from chaos.books import placement_next
from chaos.facts import Change
from sqlalchemy import Connection, Engine, event

from scenario.findings import Findings
from suanmesh.scheduler.v1 import job_pb2, placement_pb2
from suanmesh.type.v1.document_pb2 import Document
from suanmesh_kernel.clock import Clock
from suanmesh_scheduler.domain.states import (
    JOB_TRANSITIONS,
    PLACEMENT_ENDS,
    JobState,
    PlacementState,
)
from suanmesh_store.keyspace import Entry, Write
from suanmesh_store.layout import JOBS, PLACEMENTS
from suanmesh_store.memory import MemoryKeyspace

_JOB, _PLACEMENT = job_pb2.Job.State, placement_pb2.Placement.State
UNBALANCED = (
    "SELECT entry, currency, SUM(amount_micros) FROM postings WHERE id > ?"
    " GROUP BY entry, currency HAVING SUM(amount_micros) != 0"
)
OVERSPENT = (
    "SELECT name, balance_micros - held_micros FROM accounts WHERE kind != 'FUNDING' AND balance_micros < held_micros"
)
OVERCHARGED = "SELECT name, charged_micros - amount_micros FROM holds WHERE charged_micros > amount_micros"
READY = "SELECT 1 FROM sqlite_master WHERE name = 'postings'"
LAST = "SELECT COALESCE(MAX(id), 0) FROM postings"


class WatchedKeyspace(MemoryKeyspace):
    """The keyspace of a simulated node, every revision of which is looked at as it is written."""

    def __init__(self, clock: Clock, findings: Findings, capacity_milli: dict[str, int]) -> None:
        """`capacity_milli` is what each site has of processor time."""
        super().__init__(clock, on_loop_time=True)
        self.changes: list[Change] = []
        self._findings = findings
        self._capacity_milli = capacity_milli
        self._jobs: dict[str, JobState] = {}
        self._placements: dict[str, PlacementState] = {}
        self._taken: dict[str, tuple[str, int]] = {}

    def _write(self, writes: Sequence[Write]) -> None:
        before = self._space.revision
        super()._write(writes)
        if self._space.revision == before:
            return
        revision, changes = self._space.history[-1]
        self._findings.events += 1
        for key, entry in changes:
            if key.startswith(PLACEMENTS.prefix):
                self._placement(revision, PLACEMENTS.name(key), entry)
            elif key.startswith(JOBS.prefix):
                self._job(JOBS.name(key), entry)
        if any(key.startswith(PLACEMENTS.prefix) for key, _ in changes):
            self._room()

    def _job(self, name: str, entry: Entry | None) -> None:
        before = self._jobs.get(name)
        if entry is None:
            self._jobs.pop(name, None)
            return
        job = job_pb2.Job.FromString(Document.FromString(entry.value).payload)
        now = JobState(_JOB.Name(job.state).removeprefix("STATE_"))
        if before is not None and before is not now and now not in JOB_TRANSITIONS[before]:
            self._findings.add(f"JOB_TRANSITION: {name} went from {before} to {now}")
        self._jobs[name] = now

    def _placement(self, revision: int, name: str, entry: Entry | None) -> None:
        before = self._placements.get(name)
        if entry is None:
            self.changes.append(Change(revision, name, "", "", ""))
            if before is not None and before not in PLACEMENT_ENDS:
                self._findings.add(f"PLACEMENT_GONE: {name} was {before}")
            self._placements.pop(name, None)
            self._taken.pop(name, None)
            return
        placement = placement_pb2.Placement.FromString(Document.FromString(entry.value).payload)
        now = PlacementState(_PLACEMENT.Name(placement.state).removeprefix("STATE_"))
        self.changes.append(Change(revision, name, placement.job, placement.site, now))
        if before is not None and before is not now and now not in placement_next(before):
            self._findings.add(f"PLACEMENT_TRANSITION: {name} went from {before} to {now}")
        self._placements[name] = now
        if now in PLACEMENT_ENDS:
            self._taken.pop(name, None)
        else:
            count = max(1, placement.work.count)
            self._taken[name] = (placement.site, placement.work.ask.cpu_milli * count)

    def _room(self) -> None:
        """Placements that live ask for no more than their sites have."""
        taken: Counter[str] = Counter()
        for site, milli in self._taken.values():
            taken[site] += milli
        for site, milli in taken.items():
            if milli > self._capacity_milli[site]:
                self._findings.add(f"OVERSOLD: {site} has {self._capacity_milli[site]} milli-cores, {milli} are taken")


@contextmanager
def watched_ledgers(findings: Findings) -> Iterator[None]:
    """Look at every transaction of a ledger right before it commits."""
    seen: dict[str, int] = {}

    def look(connection: Connection) -> None:
        database = connection.engine.url.database or ""
        if not database.endswith("ledger.sqlite"):
            return
        raw: Any = connection.connection.driver_connection  # statements of the library take ten times as long
        if raw.total_changes == connection.info.get("looked_at", 0) or not raw.execute(READY).fetchone():
            return
        connection.info["looked_at"] = raw.total_changes
        findings.events += 1
        for entry, currency, amount in raw.execute(UNBALANCED, (seen.get(database, 0),)):
            findings.add(f"ENTRY_UNBALANCED: {entry} sums to {amount} {currency}")
        for account, free in raw.execute(OVERSPENT):
            findings.add(f"OVERSPENT: {account} has {free} micros free")
        for hold, beyond in raw.execute(OVERCHARGED):
            findings.add(f"CHARGED_BEYOND_HOLD: {hold} by {beyond} micros")
        [seen[database]] = raw.execute(LAST).fetchone()

    event.listen(Engine, "commit", look)
    try:
        yield
    finally:
        event.remove(Engine, "commit", look)
