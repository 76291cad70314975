"""Records in memory, for tests and virtual time: the same decisions, and nothing is left when the process ends."""

from __future__ import annotations

import asyncio
from bisect import bisect_left, insort
from collections.abc import Callable, Collection, Sequence
from itertools import islice
from typing import Any

from suanmesh_kernel.clock import Clock, Rng
from suanmesh_kernel.refusals import Refusal, Unavailable
from suanmesh_store.agreement import Belonging
from suanmesh_store.documents import current_traceparent
from suanmesh_store.layout import M
from suanmesh_store.records.kinds import Key, RecordKind, bounds, encoded
from suanmesh_store.records.ports import REMOVALS_MAX, too_old
from suanmesh_store.records.rows import Kept, Removal, Row, read_record
from suanmesh_store.records.transaction import (
    Changes,
    Claim,
    EncodedWrite,
    Name,
    Request,
    Stored,
    Transaction,
    encode,
)
from suanmesh_store.records.values import Commit, Feed, Identity, Outcome, Record, Write, feed_of
from suanmesh_store.values import Answered, IdempotencyKey

_BY_NAME = ""


class MemoryDatabase:
    """What lies in memory; several processes of one test open it as they would a file."""

    def __init__(self, store: str = "memory") -> None:
        """`store` names it."""
        self.identity = Identity(store, "", 0)
        self.sequence = 0
        self.rows: dict[Name, Row] = {}
        self.requests: dict[Request, Kept] = {}
        self.indexes: dict[tuple[str, str], list[tuple[bytes, str]]] = {}
        """Of each collection and index, encoded keys and names in order."""
        self.removals: dict[str, list[Removal]] = {}
        self.forgotten: dict[str, int] = {}
        """Of each collection, the sequence of the last removal that is forgotten."""
        self.moved = asyncio.Event()
        self._keys: dict[Name, set[tuple[str, bytes]]] = {}

    def keep(self, changes: Changes) -> None:
        """Take in what a transaction leaves."""
        for place, row in changes.rows.items():
            self._take_out(place)
            if row is not None:
                self._put_in(place, row, {*changes.keys[place], (_BY_NAME, encoded((row.name,)))})
        for removal in changes.removals:
            kept = self.removals.setdefault(removal.collection, [])
            kept.append(removal)
            if len(kept) > REMOVALS_MAX:
                self.forgotten[removal.collection] = kept.pop(0).sequence
        self.requests = {r: kept for r, kept in self.requests.items() if r not in changes.requests} | changes.requests
        while (oldest := next(iter(self.requests), None)) and self.requests[oldest].create_us < too_old(changes.now_us):
            del self.requests[oldest]
        self.identity, self.sequence = changes.identity, changes.sequence
        self.wake()

    def wake(self) -> None:
        """Let whoever waits for a change look again."""
        moved, self.moved = self.moved, asyncio.Event()
        moved.set()

    def _take_out(self, place: Name) -> None:
        self.rows.pop(place, None)
        for index, key in self._keys.pop(place, ()):
            entries = self.indexes[place[0], index]
            del entries[bisect_left(entries, (key, place[1]))]

    def _put_in(self, place: Name, row: Row, keys: set[tuple[str, bytes]]) -> None:
        self.rows[place] = row
        self._keys[place] = keys
        for index, key in keys:
            insort(self.indexes.setdefault((place[0], index), []), (key, place[1]))


class MemoryRecords:
    """`Records` over a database in memory."""

    def __init__(self, clock: Clock, rng: Rng, database: MemoryDatabase | None = None) -> None:
        """Over a database of its own where none is given."""
        self._clock = clock
        self._rng = rng
        self._database = database or MemoryDatabase()
        self._followers: list[Callable[[Commit], None]] = []
        self._closed = False
        self.fault: Refusal | None = None

    async def apply(self, writes: Sequence[Write], *, fence: int = 0) -> list[Outcome]:
        """Make writes in one transaction."""
        self._require_open()
        traceparent, transaction = current_traceparent(), self._begin()
        ready = [encode(write, traceparent, fence) for write in writes]
        outcomes: list[Outcome] = [
            transaction.carry_out(write) if isinstance(write, EncodedWrite) else write for write in ready
        ]
        if transaction.changes.sequence != self._database.sequence:
            commit = Commit(self._database.sequence, transaction.changes.sequence, transaction.changes.records)
            self._database.keep(transaction.changes)
            for follower in self._followers:
                follower(commit)
        return outcomes

    async def get_many(self, kind: RecordKind[M], names: Collection[str]) -> dict[str, Record[M]]:
        """Those of the names that stand."""
        self._require_open()
        rows = self._database.rows
        found = {name: rows.get((kind.collection, name)) for name in names}
        return {name: read_record(kind, row) for name, row in found.items() if row is not None}

    async def page(
        self, kind: RecordKind[M], index: str = _BY_NAME, equals: Key = (), *, after: Key = (), limit: int,
        descending: bool = False,
    ) -> list[Record[M]]:  # fmt: skip
        """Records in the order of an index."""
        names = self._between(kind, index, *bounds(equals, after, descending=descending))
        taken = islice(reversed(names) if descending else names, limit)
        return [read_record(kind, self._database.rows[kind.collection, name]) for name in taken]

    async def count(self, kind: RecordKind[M], index: str, equals: Key, *, most: int) -> int:
        """How many records are found there."""
        return min(most, len(self._between(kind, index, *bounds(equals, (), descending=False))))

    async def feed(self, kind: RecordKind[M], after: int, *, limit: int) -> Feed[M]:
        """What has changed after a sequence."""
        self._require_open()
        data, collection = self._database, kind.collection
        if not data.forgotten.get(collection, 0) <= after <= data.sequence:
            return Feed(data.sequence, (), reset=True)
        changed: list[tuple[int, str, Record[M] | None]] = [
            (row.sequence, row.name, read_record(kind, row))
            for (of, _), row in data.rows.items()
            if of == collection and row.sequence > after
        ]
        changed += [(r.sequence, r.name, None) for r in data.removals.get(collection, ()) if r.sequence > after]
        return feed_of(changed, data.sequence, limit)

    async def newest(self) -> int:
        """The sequence of the last change."""
        self._require_open()
        return self._database.sequence

    def tell(self, follower: Callable[[Commit], None]) -> None:
        """Call it with what each transaction leaves."""
        self._followers.append(follower)

    async def moved(self, after: int) -> int:
        """Wait until something has changed."""
        while self._database.sequence <= after:
            self._require_open()
            await self._database.moved.wait()
        return self._database.sequence

    async def lookup(self, key: IdempotencyKey) -> Answered | None:
        """What was answered to a request before."""
        self._require_open()
        kept = self._database.requests.get((key.principal, key.request_id))
        return None if kept is None else kept.answered

    async def identity(self) -> Identity:
        """Which store this is."""
        self._require_open()
        return self._database.identity

    async def claim(self, own: Belonging, fence: int, *, over: int) -> None:
        """Begin to lead with it."""
        self._require_open()
        transaction = self._begin()
        if refusal := transaction.claim(Claim(own, fence, over)):
            raise refusal
        self._database.keep(transaction.changes)

    async def close(self) -> None:
        """Take nothing more; what lies in memory stays for others."""
        self._closed = True
        self._database.wake()

    def _begin(self) -> Transaction:
        data, now = self._database, self._clock.now()
        stored = Stored(data.identity, data.sequence, data.rows, data.requests)
        return Transaction(stored, now, self._rng)

    def _between(self, kind: RecordKind[Any], index: str, low: bytes, high: bytes) -> list[str]:
        self._require_open()
        entries = self._database.indexes.get((kind.collection, index), [])
        return [name for _, name in entries[bisect_left(entries, (low, "")) : bisect_left(entries, (high, ""))]]

    def _require_open(self) -> None:
        if self._closed:
            raise Unavailable(
                "NOT_READY", "the records are closed, this instance leads no more", domain="mesh.suanmesh"
            )
