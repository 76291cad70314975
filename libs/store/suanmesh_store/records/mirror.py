"""Mirrors of records: those that stand in an index, in memory, kept up to date by the feed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Generic

import structlog

from suanmesh_kernel.refusals import Refusal
from suanmesh_store.followed import Followed
from suanmesh_store.layout import M
from suanmesh_store.records.kinds import Index, RecordKind
from suanmesh_store.records.ports import Records
from suanmesh_store.records.values import Commit, Record

log = structlog.get_logger()

AT_ONCE = 500
"""Records that are read at a time."""
PAUSE_S = 0.5
"""How long a mirror waits until it asks again where it is refused, seconds."""

RecordChange = tuple[str, Record[M] | None]
"""A name, and the record as it stands now, in the index or not; None where it was removed."""


class RecordMirror(Followed, Generic[M]):
    """A copy of the records of a kind that stand in an index. Open it with `open_record_mirror`, start `run` as a task.

    What this process writes it shows before the writer goes on; what others write it learns of from the feed. Names of
    all that has changed are told, also where a record has left the index. What it hands out is shared.
    """

    def __init__(self, records: Records, kind: RecordKind[M], index: Index[M]) -> None:
        """Empty until it is loaded."""
        super().__init__()
        self._records = records
        self._kind = kind
        self._index = index
        self._held: dict[str, Record[M]] = {}
        self._sequence = 0
        self._reading = asyncio.Lock()
        self._later: list[Commit] = []
        """What was written while the feed was read: it may follow upon that."""
        self._projections: list[Callable[[Sequence[RecordChange[M]]], None]] = []
        records.tell(self._follow)

    @property
    def sequence(self) -> int:
        """Up to which it has seen every change."""
        return self._sequence

    def get(self, name: str) -> Record[M] | None:
        """One record; None where it does not stand in the index."""
        return self._held.get(name)

    def values(self) -> list[Record[M]]:
        """All records; a copy."""
        return list(self._held.values())

    def __len__(self) -> int:
        """How many there are."""
        return len(self._held)

    def project(self, projection: Callable[[Sequence[RecordChange[M]]], None]) -> None:
        """Feed a projection: with all there is, then with every change before anybody is told of it."""
        projection([(name, record) for name, record in self._held.items()])
        self._projections.append(projection)

    def changes(self) -> AsyncGenerator[str, None]:
        """Names of what changed, for one consumer; begins with all there are."""
        return self._names(lambda: self._held)

    async def run(self) -> None:
        """Follow all changes until cancelled; where it is refused it asks again."""
        while True:
            try:
                await self._reach(await self._records.moved(self._sequence))
            except Refusal as refusal:
                log.warning("records not followed", item=self._kind.collection, reason=refusal.reason)
                await asyncio.sleep(PAUSE_S)

    async def catch_up(self) -> None:
        """Take in all that was committed before this call, by whatever process."""
        await self._reach(await self._records.newest())

    async def reached(self, sequence: int) -> None:
        """Wait until every change up to a sequence is shown."""
        await self._until(lambda: self._sequence >= sequence)

    async def load(self) -> None:
        """Read everything there is."""
        async with self._reading:
            await self._load()
            self._go_on()

    async def _reach(self, sequence: int) -> None:
        """Read the feed up to a sequence. What this process writes meanwhile is shown before what was read by then."""
        async with self._reading:
            while self._sequence < sequence:
                after = self._sequence
                feed = await self._records.feed(self._kind, after, limit=AT_ONCE)
                if feed.reset:
                    await self._load()
                elif after == self._sequence:
                    self._advance(feed.sequence, feed.changes)
                self._go_on()
                if after == self._sequence:
                    return

    async def _load(self) -> None:
        sequence, after, found = await self._records.newest(), self._sequence, dict[str, Record[M]]()
        behind: tuple[str | int, ...] = ()
        while page := await self._records.page(self._kind, self._index.name, after=behind, limit=AT_ONCE):
            found |= {record.name: record for record in page}
            behind = (*next(iter(self._index.keys(page[-1].message))), page[-1].name)
        if after != self._sequence:  # what was written meanwhile was shown already, and may be newer
            return
        gone: list[RecordChange[M]] = [(name, None) for name in self._held if name not in found]
        self._advance(sequence, [*gone, *found.items()])

    def _follow(self, commit: Commit) -> None:
        """Take in what this process has written, where nothing is missing before it: else the feed tells."""
        if commit.after == self._sequence:
            self._advance(commit.sequence, commit.of(self._kind))
        elif self._reading.locked():
            self._later.append(commit)

    def _go_on(self) -> None:
        later, self._later = self._later, []
        for commit in later:
            self._follow(commit)

    def _advance(self, sequence: int, changes: Sequence[RecordChange[M]]) -> None:
        self._sequence = sequence
        for name, record in changes:
            if record is not None and any(True for _ in self._index.keys(record.message)):
                self._held[name] = record
            else:
                self._held.pop(name, None)
        for projection in self._projections:
            projection(changes)
        self._tell([name for name, _ in changes])


async def open_record_mirror(records: Records, kind: RecordKind[M], index: Index[M]) -> RecordMirror[M]:
    """A mirror that is loaded; its `run` is still to be started as a task."""
    mirror = RecordMirror(records, kind, index)
    await mirror.load()
    return mirror
