"""Records in SQL: SQLite in a file, or PostgreSQL 15 and newer for processes on several machines."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from suanmesh_kernel.clock import Clock, Rng
from suanmesh_kernel.refusals import Refusal, Unavailable
from suanmesh_store.agreement import Belonging
from suanmesh_store.databases import Engines
from suanmesh_store.documents import current_traceparent
from suanmesh_store.group_commit import GroupCommit
from suanmesh_store.layout import M
from suanmesh_store.reading import Readers
from suanmesh_store.records import queries
from suanmesh_store.records.kinds import Key, RecordKind, bounds, digest_of
from suanmesh_store.records.rows import read_record
from suanmesh_store.records.statements import Statements
from suanmesh_store.records.transaction import Claim, EncodedWrite, Transaction, commit_of, encode
from suanmesh_store.records.values import Commit, Feed, Identity, Outcome, Record, Write, Written, feed_of
from suanmesh_store.values import Answered, IdempotencyKey

R = TypeVar("R")

WHAT = "the records"
POLL_S = 0.5
"""How often it is looked for what other processes have changed, seconds, while anybody waits for it."""


class SqlRecords:
    """`Records`, with a thread that writes and a few that read."""

    def __init__(self, engines: Engines, kinds: Sequence[RecordKind[Any]], clock: Clock, rng: Rng) -> None:
        """Over tables that `open_records` has brought up, with the indexes of `kinds`."""
        self._engines = engines
        self._statements = Statements({kind.collection: kind for kind in kinds})
        self._digest = digest_of(kinds)
        self._clock = clock
        self._rng = rng
        self._group = GroupCommit(self._transact, WHAT)
        self._readers = Readers(engines.reading, WHAT, self._group.faults.note)
        self._followers: list[Callable[[Commit], None]] = []
        self._untold: deque[Commit] = deque()
        """What followers are to be told; filled by the thread that writes, emptied on the loop."""
        self._newest = 0
        self._moved = asyncio.Event()
        self._looking = asyncio.Lock()

    async def apply(self, writes: Sequence[Write], *, fence: int = 0) -> list[Outcome]:
        """Make writes, those of several callers in one transaction."""
        traceparent = current_traceparent()
        ready = [encode(write, traceparent, fence) for write in writes]
        sound = [write for write in ready if isinstance(write, EncodedWrite)]
        outcomes = iter(await self._group.submit(sound) if sound else ())
        self._tell_followers()
        results: list[Outcome] = [next(outcomes) if isinstance(each, EncodedWrite) else each for each in ready]
        self._advance(max((each.sequence for each in results if isinstance(each, Written)), default=0))
        return results

    async def get_many(self, kind: RecordKind[M], names: Collection[str]) -> dict[str, Record[M]]:
        """Those of the names that stand."""
        if not names:
            return {}
        rows = await self._readers.read(lambda c: queries.rows_of(c, kind.collection, names))
        return {row.name: read_record(kind, row) for row in rows}

    async def page(
        self, kind: RecordKind[M], index: str = "", equals: Key = (), *, after: Key = (), limit: int,
        descending: bool = False,
    ) -> list[Record[M]]:  # fmt: skip
        """Records in the order of an index."""
        if index:
            low, high = bounds(equals, after, descending=descending)
            place = (kind.collection, index, low, high)
            rows = await self._readers.read(lambda c: queries.rows_between(c, *place, limit, descending=descending))
        else:
            behind = str(after[0]) if after else ""
            rows = await self._readers.read(
                lambda c: queries.rows_by_name(c, kind.collection, behind, limit, descending=descending)
            )
        return [read_record(kind, row) for row in rows]

    async def count(self, kind: RecordKind[M], index: str, equals: Key, *, most: int) -> int:
        """How many records are found there."""
        low, high = bounds(equals, (), descending=False)
        return await self._readers.read(lambda c: queries.count(c, kind.collection, index, low, high, most))

    async def feed(self, kind: RecordKind[M], after: int, *, limit: int) -> Feed[M]:
        """What has changed after a sequence."""
        changed = await self._readers.read(lambda c: queries.changed(c, kind.collection, after, limit))
        if changed.rows is None:
            return Feed(changed.sequence, (), reset=True)
        changes: list[tuple[int, str, Record[M] | None]] = [
            (row.sequence, row.name, read_record(kind, row)) for row in changed.rows
        ]
        changes += [(removal.sequence, removal.name, None) for removal in changed.removals]
        return feed_of(changes, changed.sequence, limit)

    async def newest(self) -> int:
        """The sequence of the last change."""
        return await self._readers.read(queries.newest)

    def tell(self, follower: Callable[[Commit], None]) -> None:
        """Call it with what each transaction leaves."""
        self._followers.append(follower)

    async def moved(self, after: int) -> int:
        """Wait until something has changed; one of those who wait looks for all."""
        while self._newest <= after:
            async with self._looking:
                if self._newest > after:
                    break
                moved = self._moved
                self._advance(await self.newest())
                if self._newest <= after:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(POLL_S):
                            await moved.wait()
        return self._newest

    async def lookup(self, key: IdempotencyKey) -> Answered | None:
        """What was answered to a request before."""
        request = (key.principal, key.request_id)
        kept = (await self._readers.read(lambda c: queries.answers(c, [request]))).get(request)
        return None if kept is None else kept.answered

    async def identity(self) -> Identity:
        """Which store this is."""
        return await self._readers.read(queries.identity)

    async def claim(self, own: Belonging, fence: int, *, over: int) -> None:
        """Begin to lead with it."""
        [claimed] = await self._group.submit([Claim(own, fence, over)])
        if isinstance(claimed, Refusal):
            raise claimed

    @property
    def fault(self) -> Refusal | None:
        """What kept the last transaction from being made."""
        return self._group.faults.now

    @property
    def components(self) -> Mapping[str, Callable[[], Refusal | None]]:
        """How the health of its service is told of it."""
        return {"records": lambda: self.fault}

    async def close(self) -> None:
        """Finish what is under way and close the database."""
        await self._group.close()
        await self._readers.close()
        self._moved.set()
        self._engines.dispose()

    def _transact(
        self, commands: Sequence[EncodedWrite | Claim], before_commit: Callable[[], None]
    ) -> tuple[list[Any], bool]:
        now = self._clock.now()
        writes = [command for command in commands if isinstance(command, EncodedWrite)]
        with self._engines.writing.begin() as connection:
            if queries.locked_indexes(connection) != self._digest:
                return [_other_indexes()] * len(commands), False
            stored = queries.stored(connection, writes)
            transaction = Transaction(stored, now, self._rng)
            results = [
                transaction.carry_out(each) if isinstance(each, EncodedWrite) else transaction.claim(each)
                for each in commands
            ]
            wrote = self._statements.write(connection, stored, transaction.changes)
            before_commit()
        if wrote:
            self._untold.append(commit_of(stored, transaction.changes))
        return results, wrote

    def _tell_followers(self) -> None:
        while self._untold:
            commit = self._untold.popleft()
            for follower in self._followers:
                follower(commit)

    def _advance(self, sequence: int) -> None:
        """Wake those who wait for a change."""
        if sequence > self._newest:
            self._newest = sequence
            moved, self._moved = self._moved, asyncio.Event()
            moved.set()


def _other_indexes() -> Unavailable:
    message = f"a program of another version has opened {WHAT} with other indexes: what it needs would not be written"
    return Unavailable("NOT_READY", message, domain="mesh.suanmesh")
