"""The twin of etcd in memory: revisions, transactions, leases on an injected clock, watches, elections.

It passes the contract suite that etcd passes. As an etcd that compacts itself it keeps the last HISTORY_MAX revisions:
a watch from before them is answered with what there is now. Leases end by the clock it is given; with a hand-moved one
call `tick()` after moving it, so that watchers and candidates learn of it.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from operator import itemgetter
from types import TracebackType
from typing import Self

from suanmesh_kernel.clock import Clock, Rng, SystemClock, system_rng
from suanmesh_store import plan
from suanmesh_store.keyspace import (
    Compare,
    Entry,
    Events,
    KeyspaceError,
    KeyspaceErrorKind,
    Listing,
    Outcome,
    Put,
    Remove,
    Write,
)
from suanmesh_store.layout import election_key
from suanmesh_store.ports import Leadership
from suanmesh_store.projections import SortedNames
from suanmesh_store.store import KeyspaceStore

HISTORY_MAX = 10_000
"""Revisions that are kept for watches; when there are so many, the older half is compacted away."""
WAKE_S_MAX = 0.2
"""Waiters look at the clock this often, since nobody tells them that a lease has ended."""
LAPSE_S = 0.001
"""How long after its time the end of a lease is noticed on the loop's time."""


class MemoryLease:
    """A lease; a kept one stands until it is silenced, as if each of its keep-alives arrived."""

    def __init__(self, keys: MemoryKeyspace, number: int, ttl_s: float, kept: bool) -> None:
        """Begin now."""
        self._keys = keys
        self._kept = kept
        self.id = number
        self.ttl_s = ttl_s
        self.deadline = keys.clock.monotonic() + ttl_s
        self.lost = asyncio.Event()

    @property
    def alive(self) -> bool:
        """Whether it still stands."""
        self._keys.tick()
        return not self.lost.is_set()

    async def revoke(self) -> None:
        """End it now."""
        self._keys.end(self)

    def silence(self) -> None:
        """Let it lapse as if its owner had been stopped: no keep-alive arrives from here on."""
        if self._kept:
            self._kept = False
            self.deadline = self._keys.clock.monotonic() + self.ttl_s
            self._keys.let_lapse(self)

    async def __aenter__(self) -> Self:
        """The lease itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Revoke it."""
        await self.revoke()


@dataclass(frozen=True, slots=True)
class MemoryTerm:
    """A term of leading, on a kept lease."""

    key: str
    fence: int
    lease: MemoryLease

    @property
    def alive(self) -> bool:
        """Whether the term still runs."""
        return self.lease.alive

    @property
    def lost(self) -> asyncio.Event:
        """Set once it is over."""
        return self.lease.lost

    async def resign(self) -> None:
        """End it."""
        await self.lease.revoke()


@dataclass(slots=True)
class _Space:
    entries: dict[str, Entry] = field(default_factory=dict)
    order: SortedNames = field(default_factory=SortedNames)
    history: list[tuple[int, list[tuple[str, Entry | None]]]] = field(default_factory=list)
    leases: dict[int, MemoryLease] = field(default_factory=dict)
    lapsing: dict[int, MemoryLease] = field(default_factory=dict)
    """Those of the leases that nobody keeps."""
    revision: int = 1
    compacted: int = 0
    next_lease: int = 1000


class MemoryKeyspace:
    """One etcd's worth of keys; give the same one to the stores of all areas."""

    def __init__(self, clock: Clock | None = None, *, on_loop_time: bool = False) -> None:
        """Begin empty at revision 1, as etcd does.

        With `on_loop_time` the clock is that of the event loop, whose timers tell when a lease ends; else the clock is
        looked at time and again.
        """
        self.clock: Clock = clock or SystemClock()
        self._on_loop_time = on_loop_time
        self._space = _Space()
        self._moved = asyncio.Event()

    async def get(self, key: str) -> Entry | None:
        """One key as it is now."""
        self.tick()
        return self._space.entries.get(key)

    async def get_many(self, keys: Sequence[str]) -> list[Entry | None]:
        """Some keys, in their order."""
        self.tick()
        return [self._space.entries.get(key) for key in keys]

    async def scan(self, prefix: str) -> Listing:
        """All keys under a prefix."""
        self.tick()
        return Listing(self._space.revision, [self._space.entries[key] for key in self._space.order.after("", prefix)])

    async def page(self, prefix: str, after: str, limit: int) -> Listing:
        """The first `limit` keys under a prefix behind one, as they are now."""
        await asyncio.sleep(0)  # as with etcd, others run meanwhile
        self.tick()
        keys = list(islice(self._space.order.after(after, prefix), limit + 1))
        entries = [self._space.entries[key] for key in keys[:limit]]
        return Listing(self._space.revision, entries, more=len(keys) > limit)

    async def txn(self, compares: Sequence[Compare], writes: Sequence[Write]) -> Outcome:
        """Do all writes if all comparisons hold, else read what is there."""
        await asyncio.sleep(0)  # as with etcd, others run meanwhile
        self.tick()
        space = self._space
        found = {compare.key: space.entries.get(compare.key) for compare in compares}
        if not all(plan.holds(compare, found[compare.key]) for compare in compares):
            return Outcome(False, space.revision, found)
        for write in writes:
            self._check(write)
        self._write(writes)
        return Outcome(True, space.revision, {})

    async def watch(
        self, prefix: str, after_revision: int, known: Mapping[str, int] | None = None
    ) -> AsyncGenerator[Events, None]:
        """Whole revisions in order; a watch from before a compaction is answered with what the keys are now."""
        known = dict(known or {})
        seen = after_revision
        while True:
            if seen < self._space.compacted:
                behind, seen = seen, self._space.revision
                yield self._relisted(prefix, behind, known)
                continue
            upto = self._space.revision
            for events in self._after(seen, prefix):
                for key, entry in events.changes:
                    if entry is None:
                        known.pop(key, None)
                    else:
                        known[key] = entry.mod_revision
                yield events
            seen = max(seen, upto)
            await self._wait_past(seen)

    async def lease(self, ttl_s: float, *, kept: bool) -> MemoryLease:
        """A new lease."""
        self._space.next_lease += 1
        lease = MemoryLease(self, self._space.next_lease, ttl_s, kept)
        self._space.leases[lease.id] = lease
        if not kept:
            self.let_lapse(lease)
        return lease

    async def campaign(self, prefix: str, value: bytes, ttl_s: float) -> MemoryTerm:
        """Wait until this candidate is the oldest that stands."""
        lease = await self.lease(ttl_s, kept=True)
        key = f"{prefix}/{lease.id:016x}"
        try:
            await self.txn((), (Put(key, value, lease.id),))
            while True:
                standing = (await self.scan(prefix + "/")).entries
                first = min(standing, key=lambda entry: entry.create_revision)
                if first.key == key:
                    return MemoryTerm(key, first.create_revision, lease)
                await self._wait_past(self._space.revision)
        except BaseException:
            await lease.revoke()
            raise

    async def depose(self, prefix: str, value: bytes) -> None:
        """End the term of whoever leads with `value`."""
        standing = (await self.scan(prefix + "/")).entries
        leader = min(standing, key=lambda entry: entry.create_revision, default=None)
        if leader is not None and leader.value == value:
            self.end(self._space.leases[leader.lease])

    def tick(self) -> None:
        """Look at the clock: end what has lapsed."""
        now = self.clock.monotonic()
        for lease in [each for each in self._space.lapsing.values() if each.deadline <= now]:
            self.end(lease)

    def let_lapse(self, lease: MemoryLease) -> None:
        """End a lease at its deadline; where the clock's time is the loop's, somebody looks at it then."""
        self._space.lapsing[lease.id] = lease
        if self._on_loop_time:
            asyncio.get_running_loop().call_later(lease.ttl_s + LAPSE_S, self.tick)

    def end(self, lease: MemoryLease) -> None:
        """End a lease and remove what is attached to it."""
        if self._space.leases.pop(lease.id, None) is None:
            return
        self._space.lapsing.pop(lease.id, None)
        lease.lost.set()
        attached = [entry.key for entry in self._space.entries.values() if entry.lease == lease.id]
        if attached:
            self._write([Remove(key) for key in attached])

    def compact(self) -> None:
        """Forget all history, as etcd does every few minutes."""
        self._space.compacted = self._space.revision
        self._space.history.clear()

    def _check(self, write: Write) -> None:
        if isinstance(write, Put) and write.lease and write.lease not in self._space.leases:
            raise KeyspaceError(KeyspaceErrorKind.LEASE_GONE, f"lease {write.lease} not found")

    def _write(self, writes: Sequence[Write]) -> None:
        space = self._space
        revision = space.revision + 1
        changes: list[tuple[str, Entry | None]] = []
        for write in writes:
            before = space.entries.get(write.key)
            if isinstance(write, Remove):
                if space.entries.pop(write.key, None) is not None:
                    changes.append((write.key, None))
                continue
            created = before.create_revision if before else revision
            value, lease = (
                (write.value, write.lease) if isinstance(write, Put) else (before.value if before else b"", 0)
            )
            space.entries[write.key] = entry = Entry(write.key, value, created, revision, lease)
            changes.append((write.key, entry))
        if changes:
            space.revision = revision
            self._order(changes)
            space.history.append((revision, changes))
            self._forget_old()
            moved, self._moved = self._moved, asyncio.Event()
            moved.set()

    def _order(self, changes: Sequence[tuple[str, Entry | None]]) -> None:
        """Keep the order of keys; a key of a transaction is written once."""
        revision = self._space.revision
        added = [key for key, entry in changes if entry is not None and entry.create_revision == revision]
        self._space.order.update(added, [key for key, entry in changes if entry is None])

    def _forget_old(self) -> None:
        history = self._space.history
        if len(history) > HISTORY_MAX:
            self._space.compacted = history[HISTORY_MAX // 2][0]
            del history[: HISTORY_MAX // 2 + 1]

    def _relisted(self, prefix: str, behind: int, known: dict[str, int]) -> Events:
        """How what is now differs from what is known; leaves `known` up to date."""
        current = {key: self._space.entries[key] for key in self._space.order.after("", prefix)}
        changes: list[tuple[str, Entry | None]] = [
            (key, entry)
            for key, entry in current.items()
            if entry.mod_revision > behind or known.get(key) != entry.mod_revision
        ]
        changes += [(key, None) for key in sorted(known.keys() - current.keys())]
        known.clear()
        known.update((key, entry.mod_revision) for key, entry in current.items())
        return Events(self._space.revision, changes)

    def _after(self, revision: int, prefix: str) -> list[Events]:
        found = []
        history = self._space.history
        for past, changes in history[bisect_right(history, revision, key=itemgetter(0)) :]:
            if mine := [change for change in changes if change[0].startswith(prefix)]:
                found.append(Events(past, mine))
        return found

    async def _wait_past(self, revision: int) -> None:
        while self._space.revision <= revision and self._space.compacted <= revision:
            try:
                async with asyncio.timeout(None if self._on_loop_time else WAKE_S_MAX):
                    await self._moved.wait()
            except TimeoutError:
                self.tick()


class MemoryStore(KeyspaceStore):
    """A store in memory. Stores that are to see each other share `keys`."""

    def __init__(
        self,
        area: str,
        *,
        keys: MemoryKeyspace | None = None,
        clock: Clock | None = None,
        rng: Rng = system_rng,
        leadership: Leadership | None = None,
    ) -> None:
        """Begin empty unless `keys` are given."""
        self.keys = keys or MemoryKeyspace(clock)
        super().__init__(self.keys, area, clock or self.keys.clock, rng, leadership)

    def of(self, area: str) -> MemoryStore:
        """Another area's store over the same keys."""
        return MemoryStore(area, keys=self.keys, clock=self._clock, rng=self._rng)

    async def elected(self, address: str = "127.0.0.1:0", ttl_s: float = 5.0) -> MemoryTerm:
        """Campaign for the store's area, and write under that term from now on."""
        term = await self.keys.campaign(election_key(self.area), address.encode(), ttl_s)
        self.lead(term)
        return term
