"""Members killed, frozen and parted while a client works with them: what was acknowledged stands, once."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import pytest

from suanmesh_etcd3 import Batch, Client, Compare, EtcdError, Event, Op, OutcomeUnknown, Unavailable, connect
from suanmesh_local.etcd import EtcdCluster

WRITERS = 8
COUNTERS = 4
FAR_TTL_S = 10


class Work:
    """Puts and counts on one prefix, with a record of what was acknowledged and what may have been done."""

    def __init__(self, client: Client, prefix: str) -> None:
        self.acknowledged: set[str] = set()
        self.counted = 0
        self.unsure: list[str] = []
        self.unsure_counts = 0
        self.enough = asyncio.Event()
        self._client = client
        self._prefix = prefix
        self._wanted = 0
        self._done = asyncio.Event()

    async def run(self, tasks: asyncio.TaskGroup) -> None:
        await self._client.put(self._prefix + "counter", b"0")
        for n in range(WRITERS):
            tasks.create_task(self._put(n))
        for _ in range(COUNTERS):
            tasks.create_task(self._count())

    async def more(self, count: int = 150) -> None:
        """Wait for so many more acknowledged puts."""
        self._wanted = len(self.acknowledged) + count
        self.enough.clear()
        await asyncio.wait_for(self.enough.wait(), 60)

    def stop(self) -> None:
        self._done.set()

    async def _put(self, writer: int) -> None:
        n = 0
        while not self._done.is_set():
            key = f"{self._prefix}{writer}/{n:06}"
            n += 1
            try:
                await self._client.put(key, b"")
            except OutcomeUnknown:
                self.unsure.append(key)
            except Unavailable:
                continue
            else:
                self.acknowledged.add(key)
            if len(self.acknowledged) >= self._wanted:
                self.enough.set()

    async def _count(self) -> None:
        key = self._prefix + "counter"
        while not self._done.is_set():
            try:
                held = await self._client.get(key)
                assert held is not None
                increased = str(int(held.value) + 1).encode()
                unchanged = Compare.mod_revision(key, "=", held.mod_revision)
                result = await self._client.txn([unchanged], [Op.put(key, increased)])
                self.counted += result.succeeded
            except OutcomeUnknown:
                self.unsure_counts += 1
            except Unavailable:
                continue

    async def check(self, client: Client) -> None:
        """Everything acknowledged stands once; nothing else stands that was not unsure."""
        snapshot = await client.snapshot(self._prefix)
        standing = {kv.key.decode(): kv for kv in snapshot.kvs}
        counter = int(standing.pop(self._prefix + "counter").value)
        assert self.acknowledged <= set(standing)
        assert set(standing) <= self.acknowledged | set(self.unsure)
        assert {kv.version for kv in standing.values()} == {1}
        assert self.counted <= counter <= self.counted + self.unsure_counts


class Follower:
    """Follows a prefix and keeps what it was told."""

    def __init__(self, client: Client, prefix: str, after_revision: int) -> None:
        self.events: list[Event] = []
        self.begun = asyncio.Event()
        self._watch = client.watch(prefix, after_revision=after_revision)

    async def until(self, key: str) -> None:
        """Follow until a key is seen."""
        async with aclosing(self._watch) as changes:
            async for batch in changes:
                assert isinstance(batch, Batch)
                self.events += batch.events
                self.begun.set()
                if any(event.key.decode() == key for event in batch.events):
                    return


async def leader_of(cluster: EtcdCluster, client: Client) -> int:
    """Which member leads."""
    statuses = [await client.status(address) for address in cluster.endpoints]
    return next(index for index, status in enumerate(statuses) if status.leads)


@pytest.mark.parametrize("victim", ["leader", "follower"])
async def test_a_member_killed_during_writes_loses_and_doubles_nothing(
    etcd_cluster: EtcdCluster, client: Client, other: Client, prefix: str, victim: str
) -> None:
    """An acknowledged placement that vanishes, or is made twice, is compute sold wrongly."""
    leader = await leader_of(etcd_cluster, other)
    index = leader if victim == "leader" else (leader + 1) % 3
    start = await other.put(prefix, b"")
    await other.delete(prefix)
    lease = await client.lease(FAR_TTL_S)
    work = Work(client, prefix)
    follower = Follower(other, prefix, start + 1)

    async with asyncio.TaskGroup() as followers:
        following = followers.create_task(follower.until(prefix + "end"))
        async with asyncio.TaskGroup() as tasks:
            await work.run(tasks)
            await work.more()
            etcd_cluster.kill(index)
            await work.more()
            await etcd_cluster.restart(index)
            await work.more()
            work.stop()
        await other.put(prefix + "end", b"")
        await asyncio.wait_for(following, 60)

    await other.delete(prefix + "end")
    await work.check(other)
    assert lease.alive
    await lease.revoke()
    revisions = [event.mod_revision for event in follower.events]
    assert revisions == sorted(revisions)
    assert len({(event.key, event.mod_revision) for event in follower.events}) == len(revisions)
    puts = {event.key.decode() for event in follower.events if event.kind == "put"}
    assert work.acknowledged <= puts


async def test_a_frozen_leader_stops_neither_writes_nor_watch_nor_lease(
    etcd_cluster: EtcdCluster, client: Client, other: Client, prefix: str
) -> None:
    """A frozen machine keeps its connections open; a client that waits for it stands still with it."""
    index = await leader_of(etcd_cluster, other)
    client.endpoints.prefer(etcd_cluster.endpoints[index])
    lease = await client.lease(FAR_TTL_S)
    follower = Follower(client, prefix, await client.put(prefix, b""))
    work = Work(other, prefix)

    async with asyncio.TaskGroup() as followers:
        following = followers.create_task(follower.until(prefix + "end"))
        async with asyncio.TaskGroup() as tasks:
            await work.run(tasks)
            await work.more(20)
            await asyncio.wait_for(follower.begun.wait(), 60)
            etcd_cluster.pause(index)
            try:
                await work.more()
                work.stop()
                await eventually_put(other, prefix + "end")
                await asyncio.wait_for(following, 60)
                assert lease.alive
            finally:
                work.stop()
                etcd_cluster.resume(index)
                await etcd_cluster.healthy(index)

    await other.delete(prefix)
    await other.delete(prefix + "end")
    await work.check(other)
    await lease.revoke()


async def test_a_parted_leader_is_left_and_never_believed(parted_cluster: Any, prefix: str) -> None:
    """A member without the others still answers pings; what it knows is the past."""
    cluster = parted_cluster
    async with connect(cluster.endpoints) as far:
        statuses = [await far.status(address) for address in cluster.endpoints]
        leader = next(index for index, status in enumerate(statuses) if status.leads)
        rest = [address for index, address in enumerate(cluster.endpoints) if index != leader]
        async with connect([cluster.endpoints[leader], *rest]) as client, connect(rest) as other:
            client.endpoints.prefer(cluster.endpoints[leader])
            start = await client.put(prefix + "a", b"before")
            lease = await client.lease(FAR_TTL_S)
            follower = Follower(client, prefix, start)
            async with asyncio.TaskGroup() as tasks:
                following = tasks.create_task(follower.until(prefix + "a"))
                cluster.parted = leader
                changed = await eventually_put(other, prefix + "a")
                read = await client.get(prefix + "a")
                assert read is not None
                assert read.mod_revision >= changed
                await asyncio.wait_for(following, 60)
            assert [event.key.decode() for event in follower.events][-1] == prefix + "a"
            async with asyncio.timeout(FAR_TTL_S):
                while await other.time_to_live(lease.id) < FAR_TTL_S * 0.6:
                    assert lease.alive
            await lease.revoke()


async def test_a_lost_answer_is_called_unknown_and_a_blind_write_is_not_repeated(
    door: Any, other: Client, prefix: str
) -> None:
    """Whoever believes a lost answer to be a failure writes a second time."""
    async with connect([door.address, other.endpoints.all[1].address]) as client:
        client.endpoints.prefer(door.address)
        await client.put(prefix + "warm", b"")
        async with asyncio.TaskGroup() as tasks:
            door.deaf = True
            put = tasks.create_task(unknown(client.put(prefix + "a", b"")))
            await appears(other, prefix + "a")
            door.drop()
            await put

    written = await other.get(prefix + "a")
    assert written is not None
    assert written.version == 1


async def test_a_guarded_write_whose_answer_was_lost_is_repeated_but_never_done_twice(
    door: Any, other: Client, prefix: str
) -> None:
    """A compare-and-put that was done, and then fails its own compare, must not be reported as a conflict."""
    held = await other.put(prefix + "a", b"")
    async with connect([door.address, other.endpoints.all[1].address]) as client:
        client.endpoints.prefer(door.address)
        await client.put(prefix + "warm", b"")
        guarded = client.txn([Compare.mod_revision(prefix + "a", "=", held)], [Op.put(prefix + "a", b"mine")])
        async with asyncio.TaskGroup() as tasks:
            door.deaf = True
            txn = tasks.create_task(unknown(guarded))
            await appears(other, prefix + "a", version=2)
            door.drop()
            await txn

    written = await other.get(prefix + "a")
    assert written is not None
    assert (written.value, written.version) == (b"mine", 2)


async def test_a_member_that_refuses_connections_is_passed_over(other: Client, prefix: str) -> None:
    """What was surely not sent can be sent elsewhere; nobody need know."""
    async with connect(["127.0.0.1:1", *(e.address for e in other.endpoints.all)]) as client:
        client.endpoints.prefer("127.0.0.1:1")
        for n in range(5):
            await client.put(f"{prefix}{n}", b"")

    assert {kv.version for kv in (await other.snapshot(prefix)).kvs} == {1}


async def test_when_no_member_answers_a_write_is_surely_not_done(prefix: str) -> None:
    """ "Not reached" and "not known" are different answers; only one of them may be tried again."""
    async with connect(["127.0.0.1:1", "127.0.0.1:2"], timeout_s=0.5) as client:
        with pytest.raises(Unavailable, match="failed to connect"):
            await client.put(prefix + "a", b"")
        with pytest.raises(Unavailable):
            await client.get(prefix + "a")


async def eventually_put(client: Client, key: str) -> int:
    """Write a key, however often it takes."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await client.put(key, b"after")
            except EtcdError:
                continue


async def appears(client: Client, key: str, version: int = 1) -> None:
    """Wait until a key is there."""
    async with asyncio.timeout(60):
        while True:
            found = await client.get(key)
            if found is not None and found.version >= version:
                return


async def unknown(call: Any) -> None:
    with pytest.raises(OutcomeUnknown):
        await call
