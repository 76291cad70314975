"""The keyspace as one process has it: cut off with its host, and gone with its process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

from suanmesh_store.keyspace import (
    Compare,
    Entry,
    Events,
    KeyspaceError,
    KeyspaceErrorKind,
    Listing,
    Outcome,
    Write,
)
from suanmesh_store.memory import MemoryKeyspace, MemoryLease, MemoryTerm

CALL_S_MAX = 2.0
"""How long a call waits for a keyspace that does not answer."""

Fault = Callable[[], str]
"""What befalls the next transaction: `""`, `"unreachable"` before it, or `"unknown"` after it."""


class ProcessKeys:
    """`Keyspace` of one process. From `die` on nothing that the process still does has any effect."""

    def __init__(
        self,
        keys: MemoryKeyspace,
        delay_s: Callable[[], float] = lambda: 0.0,
        fault: Fault = lambda: "",
        cut: Callable[[], bool] = lambda: False,
    ) -> None:
        """`delay_s` is how long a call takes, `cut` whether none gets through at all."""
        self._keys = keys
        self._delay_s = delay_s
        self._fault = fault
        self._cut = cut
        self._dead = False
        self._leases: list[MemoryLease] = []

    def die(self) -> None:
        """The process is gone: its leases lapse when nobody has renewed them for their time."""
        self._dead = True
        self.fall_silent()

    def fall_silent(self) -> None:
        """No keep-alive arrives any more."""
        for lease in self._leases:
            if lease.alive:
                lease.silence()
        self._leases.clear()

    async def get(self, key: str) -> Entry | None:
        """As the keyspace does."""
        await self._reach()
        return await self._keys.get(key)

    async def get_many(self, keys: Sequence[str]) -> list[Entry | None]:
        """As the keyspace does."""
        await self._reach()
        return await self._keys.get_many(keys)

    async def scan(self, prefix: str) -> Listing:
        """As the keyspace does."""
        await self._reach()
        return await self._keys.scan(prefix)

    async def page(self, prefix: str, after: str, limit: int) -> Listing:
        """As the keyspace does."""
        await self._reach()
        return await self._keys.page(prefix, after, limit)

    async def txn(self, compares: Sequence[Compare], writes: Sequence[Write]) -> Outcome:
        """As the keyspace does, unless a fault befalls it."""
        await self._reach()
        fault = self._fault()
        if fault == "unreachable":
            raise _away()
        outcome = await self._keys.txn(compares, writes)
        if fault == "unknown":
            raise KeyspaceError(KeyspaceErrorKind.UNKNOWN, "the connection broke before the answer came")
        return outcome

    async def watch(
        self, prefix: str, after_revision: int, known: Mapping[str, int] | None = None
    ) -> AsyncGenerator[Events, None]:
        """As the keyspace does; it asks on as etcd's client does, and what happened meanwhile is told afterwards."""
        while self._cut() and not self._dead:  # noqa: ASYNC110 - time has to pass, nobody tells
            await asyncio.sleep(CALL_S_MAX)
        await self._reach()
        async for events in self._keys.watch(prefix, after_revision, known):
            while self._cut() or self._dead:  # noqa: ASYNC110 - time has to pass, nobody tells
                await asyncio.sleep(CALL_S_MAX)
            yield events

    async def lease(self, ttl_s: float, *, kept: bool) -> ProcessLease:
        """As the keyspace does."""
        await self._reach()
        lease = await self._keys.lease(ttl_s, kept=kept)
        self._leases.append(lease)
        return ProcessLease(lease, self)

    async def campaign(self, prefix: str, value: bytes, ttl_s: float) -> ProcessTerm:
        """As the keyspace does."""
        await self._reach()
        term = await self._keys.campaign(prefix, value, ttl_s)
        self._leases.append(term.lease)
        return ProcessTerm(term, self)

    async def depose(self, prefix: str, value: bytes) -> None:
        """As the keyspace does."""
        await self._reach()
        await self._keys.depose(prefix, value)

    async def revoke(self, lease: MemoryLease) -> None:
        """End a lease of the process; where that cannot be asked for it lapses, as with etcd."""
        if lease in self._leases:
            self._leases.remove(lease)
        if lease.alive:
            lease.silence()
        with suppress(KeyspaceError):
            await self._reach()
            await lease.revoke()

    async def _reach(self) -> None:
        if self._dead:
            raise _away()
        if self._cut():
            await asyncio.sleep(CALL_S_MAX)
            raise _away()
        await asyncio.sleep(self._delay_s())
        if self._dead:
            raise _away()


class ProcessLease:
    """`RoundLease` of a process."""

    def __init__(self, lease: MemoryLease, keys: ProcessKeys) -> None:
        self._lease = lease
        self._keys = keys
        self.id = lease.id

    @property
    def alive(self) -> bool:
        """Whether it still stands."""
        return self._lease.alive

    @property
    def lost(self) -> asyncio.Event:
        """Set once it is over."""
        return self._lease.lost

    async def revoke(self) -> None:
        """End it now."""
        await self._keys.revoke(self._lease)

    async def __aenter__(self) -> Self:
        """The lease itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Revoke it."""
        await self.revoke()


class ProcessTerm:
    """`Leadership` of a process."""

    def __init__(self, term: MemoryTerm, keys: ProcessKeys) -> None:
        self._term = term
        self._keys = keys
        self.key = term.key
        self.fence = term.fence

    @property
    def alive(self) -> bool:
        """Whether the term still runs."""
        return self._term.alive

    @property
    def lost(self) -> asyncio.Event:
        """Set once it is over."""
        return self._term.lost

    async def resign(self) -> None:
        """End it."""
        await self._keys.revoke(self._term.lease)


def _away() -> KeyspaceError:
    return KeyspaceError(KeyspaceErrorKind.UNREACHABLE, "no member can be reached")
