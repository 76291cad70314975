"""Elections with a fence: a leader is the oldest key under a prefix, and its writes compare that key's create_revision.

A lease alone cannot keep a paused leader from writing (Jepsen on etcd 3.4.3); the comparison in the same transaction
can. Each candidate waits for its predecessor alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from suanmesh.etcdwire.v1 import etcdwire_pb2 as pb
from suanmesh_etcd3.client import Client
from suanmesh_etcd3.errors import LeaseNotFound, OutcomeUnknown, Unavailable, first_of
from suanmesh_etcd3.leases import Lease
from suanmesh_etcd3.values import Compare, KeyValue, Op, raw

RETRY_S = 0.2


class Leadership:
    """The right to write, as long as nobody else has been elected."""

    def __init__(self, key: bytes, fence: int, lease: Lease) -> None:
        self.key = key
        """The election key, in bytes."""
        self.fence = fence
        """Its create_revision: grows with every new leader."""
        self._lease = lease
        self._resigned = False

    @property
    def lost(self) -> asyncio.Event:
        """Set once the leadership cannot be counted on any more."""
        return self._lease.lost

    @property
    def resigned(self) -> bool:
        """Whether it was given up."""
        return self._resigned

    @property
    def alive(self) -> bool:
        """Whether the leadership can be counted on at this moment."""
        return self._lease.alive

    def guard(self) -> pb.Compare:
        """The condition every protected write carries."""
        return Compare.create_revision(self.key, "=", self.fence)

    async def resign(self) -> None:
        """Give the leadership up at once."""
        self._resigned = True
        await self._lease.revoke()


class Election:
    """One election under a prefix."""

    def __init__(self, client: Client, prefix: str, value: bytes, ttl_s: int) -> None:
        """`value` is what others read of the leader; `ttl_s` is how long a dead leader stays in office."""
        self._client = client
        self._prefix = raw(prefix.rstrip("/") + "/")
        self._value = value
        self._ttl_s = ttl_s

    async def campaign(self, over: Leadership | None = None) -> Leadership:
        """Wait to be elected; starts over when the candidacy's lease is lost on the way.

        `over` is what this candidate led before: where that still stands in etcd nobody else was elected since, and it
        goes on with a new fence, before all who wait. One of those may be dead as well, and its candidacy stand longer.
        """
        while True:
            try:
                leadership = await self._candidacy(over)
            except (LeaseNotFound, OutcomeUnknown, Unavailable):
                leadership = None
            if leadership is not None:
                return leadership
            await asyncio.sleep(RETRY_S)

    async def leader(self) -> KeyValue | None:
        """Who leads now; None when nobody does."""
        snapshot = await self._client.snapshot(self._prefix)
        return _oldest({kv.key: kv for kv in snapshot.kvs})

    async def observe(self) -> AsyncGenerator[KeyValue | None, None]:
        """Who leads, now and whenever it changes; None while nobody does."""
        snapshot = await self._client.snapshot(self._prefix)
        candidates = {kv.key: kv for kv in snapshot.kvs}
        leader = _oldest(candidates)
        yield leader
        known = {kv.key: kv.mod_revision for kv in snapshot.kvs}
        async with aclosing(self._client.watch(self._prefix, after_revision=snapshot.revision, known=known)) as changes:
            async for change in changes:
                for event in change.events:
                    candidates.pop(event.key, None)
                    if event.kind == "put":
                        candidates[event.key] = event.key_value()
                if _oldest(candidates) != leader:
                    leader = _oldest(candidates)
                    yield leader

    async def _candidacy(self, over: Leadership | None) -> Leadership | None:
        lease = await self._client.lease(self._ttl_s)
        elected = None
        try:
            elected = await self._elected(lease, over)
        finally:
            if elected is None:
                await lease.revoke()
        return elected

    async def _elected(self, lease: Lease, over: Leadership | None) -> Leadership | None:
        key = self._prefix + f"{lease.id:016x}".encode()
        candidacy = Op.put(key, self._value, lease=lease.id)
        if over is None or over.resigned or not await self._goes_on(over, candidacy):
            await self._client.txn([Compare.create_revision(key, "=", 0)], [candidacy])
        while lease.alive:
            snapshot = await self._client.snapshot(self._prefix)
            mine = next((kv for kv in snapshot.kvs if kv.key == key), None)
            if mine is None:
                return None
            older = [kv for kv in snapshot.kvs if kv.create_revision < mine.create_revision]
            if not older:
                return Leadership(key, mine.create_revision, lease)
            predecessor = max(older, key=lambda kv: kv.create_revision)
            await self._gone(predecessor.key, snapshot.revision, lease)
        return None

    async def _goes_on(self, over: Leadership, candidacy: pb.RequestOp) -> bool:
        """Put a candidacy in the place of all that there are, if `over` is still the first of them."""
        standing = (await self._client.snapshot(self._prefix)).kvs
        gone = [Op.delete(kv.key) for kv in standing]
        return (await self._client.txn([over.guard()], [*gone, candidacy])).succeeded

    async def _gone(self, key: bytes, after_revision: int, lease: Lease) -> None:
        """Wait until the predecessor's key is deleted, or the own lease is lost."""
        try:
            async with asyncio.TaskGroup() as tasks:
                deleted = tasks.create_task(self._deleted(key, after_revision))
                lost = tasks.create_task(_waited(lease.lost))
                await asyncio.wait([deleted, lost], return_when=asyncio.FIRST_COMPLETED)
                deleted.cancel()
                lost.cancel()
        except ExceptionGroup as failures:
            raise first_of(failures) from None

    async def _deleted(self, key: bytes, after_revision: int) -> None:
        async with aclosing(self._client.watch(key, after_revision=after_revision, known={key: 0})) as changes:
            async for change in changes:
                if any(event.kind == "delete" and event.key == key for event in change.events):
                    return


def _oldest(candidates: Mapping[bytes, KeyValue]) -> KeyValue | None:
    return min(candidates.values(), key=lambda kv: kv.create_revision, default=None)


async def _waited(event: asyncio.Event) -> None:
    await event.wait()
