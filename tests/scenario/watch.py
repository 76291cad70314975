"""What must hold after every write, looked at after every write: of placements, of jobs, and of the ledger."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

from chaos.books import placement_next
from chaos.facts import Change
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import OperationalError

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
from suanmesh_store.layout import PLACEMENTS
from suanmesh_store.memory import MemoryKeyspace

Step = tuple[JobState, int]
"""A state of a job, and when it was reached, in nanoseconds."""
_JOB, _PLACEMENT = job_pb2.Job.State, placement_pb2.Placement.State
UNBALANCED = (
    "SELECT entry, currency, SUM(amount_micros) FROM postings WHERE id > ?"
    " GROUP BY entry, currency HAVING SUM(amount_micros) != 0"
)
OVERSPENT = (
    "SELECT name, balance_micros - held_micros FROM accounts WHERE kind != 'FUNDING' AND balance_micros < held_micros"
)
OVERCHARGED = "SELECT name, charged_micros - amount_micros FROM holds WHERE charged_micros > amount_micros"
CHANGED_JOBS = (
    "SELECT name, sequence, payload FROM records WHERE collection = 'jobs' AND sequence > ? ORDER BY sequence"
)
JOBS_READY = "SELECT 1 FROM sqlite_master WHERE name = 'records'"
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
        if any(key.startswith(PLACEMENTS.prefix) for key, _ in changes):
            self._room()

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
            count = sum(run.tasks for leg in placement.legs for run in leg.hosts)
            self._taken[name] = (placement.site, placement.work.ask.cpu_milli * count)

    def _room(self) -> None:
        """Placements that live ask for no more than their sites have."""
        taken: Counter[str] = Counter()
        for site, milli in self._taken.values():
            taken[site] += milli
        for site, milli in taken.items():
            if milli > self._capacity_milli[site]:
                self._findings.add(f"OVERSOLD: {site} has {self._capacity_milli[site]} milli-cores, {milli} are taken")


class WatchedJobs:
    """The jobs of a simulated node, every change of which is looked at as it is written; it may be of several steps."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._seen = 0
        self._last: dict[str, Step] = {}

    def look(self, raw: Any) -> None:
        """Look at what a transaction of the scheduler's records has changed."""
        for name, sequence, payload in raw.execute(CHANGED_JOBS, (self._seen,)):
            self._seen = sequence
            steps = _steps(job_pb2.Job.FromString(payload))
            last = self._last.get(name, steps[0])
            if last not in steps:
                self._findings.add(f"JOB_HISTORY: {name} does not tell any more that it was {last[0]}")
            for (before, _), (now, _) in pairwise(steps[steps.index(last) :] if last in steps else [last, steps[-1]]):
                if before is not now and now not in JOB_TRANSITIONS[before]:
                    self._findings.add(f"JOB_TRANSITION: {name} went from {before} to {now}")
            self._last[name] = steps[-1]


def _steps(job: job_pb2.Job) -> list[Step]:
    """The states that a job tells of, and when it reached them; it stands in the last."""
    steps = [(_state(step.state), step.time.ToNanoseconds()) for step in job.history]
    return steps if steps and steps[-1][0] is _state(job.state) else [*steps, (_state(job.state), 0)]


def _state(state: job_pb2.Job.State.ValueType) -> JobState:
    return JobState(_JOB.Name(state).removeprefix("STATE_"))


class WatchedLedger:
    """The ledger of a simulated node."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._seen = 0

    def look(self, raw: Any) -> None:
        """Look at what a transaction leaves, and at the entries it has made."""
        for entry, currency, amount in raw.execute(UNBALANCED, (self._seen,)):
            self._findings.add(f"ENTRY_UNBALANCED: {entry} sums to {amount} {currency}")
        for account, free in raw.execute(OVERSPENT):
            self._findings.add(f"OVERSPENT: {account} has {free} micros free")
        for hold, beyond in raw.execute(OVERCHARGED):
            self._findings.add(f"CHARGED_BEYOND_HOLD: {hold} by {beyond} micros")
        [self._seen] = raw.execute(LAST).fetchone()


@contextmanager
def watched_databases(findings: Findings, death: Callable[[str], str] = lambda area: "") -> Iterator[None]:
    """Look at every transaction of a ledger, and of the scheduler's records, right before it commits.

    `death` says whether the scheduler dies of a transaction, as `SeededKeys` has it: `unreachable` undoes it.
    """
    jobs, ledger = WatchedJobs(findings), WatchedLedger(findings)

    def look(connection: Connection) -> None:
        database = connection.engine.url.database or ""
        is_jobs = database.endswith("scheduler/records.sqlite")
        if not (is_jobs or database.endswith("ledger.sqlite")):
            return
        raw: Any = connection.connection.driver_connection  # statements of the library take ten times as long
        if raw.total_changes == connection.info.get("looked_at", 0):
            return
        if not raw.execute(JOBS_READY if is_jobs else READY).fetchone():
            return
        connection.info["looked_at"] = raw.total_changes
        findings.events += 1
        if is_jobs and death("scheduler") == "unreachable":
            raise OperationalError("COMMIT", None, sqlite3.OperationalError("its process died"))
        (jobs if is_jobs else ledger).look(raw)

    event.listen(Engine, "commit", look)
    try:
        yield
    finally:
        event.remove(Engine, "commit", look)
