"""Leases, sessions and elections on three real members."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import pytest

from suanmesh_etcd3 import Client, Compare, Election, Op, Session, connect
from suanmesh_local.etcd import EtcdCluster
from suanmesh_store.etcd import EtcdKeyspace

TTL_S = 2
TOO_LONG_S = 3600
"""More than a test waits for."""


async def test_a_kept_lease_outlives_its_time_to_live(client: Client, prefix: str) -> None:
    """A service that is well must not be thought dead."""
    lease = await client.lease(2 * TTL_S)
    await client.put(prefix + "alive", b"", lease=lease.id)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(lease.lost.wait(), 3 * TTL_S)

    assert lease.alive
    assert await client.get(prefix + "alive") is not None
    await lease.revoke()
    assert not lease.alive
    assert await client.get(prefix + "alive") is None


async def test_a_lease_ended_by_somebody_else_is_lost_at_the_next_keep_alive(client: Client, other: Client) -> None:
    """Its owner must stop acting on it long before it would have lapsed."""
    lease = await client.lease(12)
    await other.revoke(lease.id)

    await lease.lost.wait()

    assert client.clock.monotonic() < lease.deadline


async def test_a_lease_is_lost_by_its_own_clock_when_the_whole_cluster_is_silent(etcd_cluster: EtcdCluster) -> None:
    """A leader that hears nothing must stop in time, because by then somebody else may lead."""
    async with connect(etcd_cluster.endpoints) as client:
        lease = await client.lease(TTL_S)
        try:
            for member in range(3):
                etcd_cluster.pause(member)
            silent = client.clock.monotonic()
            await lease.lost.wait()
            assert not lease.alive
        finally:
            for member in range(3):
                etcd_cluster.resume(member)
            for member in range(3):
                await etcd_cluster.healthy(member)
        assert lease.deadline < silent + TTL_S


async def test_a_lease_not_kept_lapses_with_its_keys(client: Client, prefix: str) -> None:
    """The holds of a scheduler that died must evaporate."""
    lease = await client.grant(TTL_S)
    revision = await client.put(prefix + "hold", b"", lease=lease)

    async with aclosing(client.watch(prefix, after_revision=revision)) as changes:
        batch = await anext(changes)

    assert [event.kind for event in batch.events] == ["delete"]
    assert await client.time_to_live(lease) == -1


async def test_a_session_puts_its_keys_back_under_a_new_epoch(client: Client, other: Client, prefix: str) -> None:
    """A service must be found again after an outage, and know that it was gone."""
    async with Session(client, 5) as session:
        await session.put(prefix + "instance", b"here")
        await session.put(prefix + "dropped", b"")
        await session.delete(prefix + "dropped")
        first = await other.get(prefix + "instance")
        assert first is not None
        await other.revoke(first.lease)

        await session.reach(2)

        again = await other.get(prefix + "instance")
        assert again is not None
        assert (again.value, again.lease != first.lease) == (b"here", True)
        assert [kv.key.decode() for kv in (await other.snapshot(prefix)).kvs] == [prefix + "instance"]
        assert session.alive

    assert await other.get(prefix + "instance") is None


async def test_candidates_follow_each_other_in_order_and_each_waits_for_one(
    client: Client, other: Client, prefix: str
) -> None:
    """A candidate that gives up must neither lead nor let those behind it pass."""
    first = await Election(client, prefix, b"first", 5).campaign()
    async with asyncio.TaskGroup() as tasks:
        second = tasks.create_task(Election(client, prefix, b"second", 5).campaign())
        await candidates(other, prefix, 2)
        third = tasks.create_task(Election(other, prefix, b"third", 5).campaign())
        await candidates(other, prefix, 3)
        second.cancel()
        await candidates(other, prefix, 2)
        leader = await Election(other, prefix, b"", 5).leader()
        assert leader is not None
        assert leader.value == b"first"
        assert not third.done()
        await first.resign()
    leadership = third.result()

    assert leadership.alive
    assert leadership.fence > first.fence
    await leadership.resign()


async def test_a_lead_in_doubt_goes_on_before_all_who_wait(
    door: Any, client: Client, other: Client, prefix: str
) -> None:
    """When the cluster changes its leader the one before is prolonged in etcd, and so is who waited and died with it:
    writes would wait for a lead that nobody has."""
    async with connect([door.address]) as doubting:
        keys = EtcdKeyspace(doubting)
        doubted = await keys.campaign(prefix, b"", 8)
        lease = await other.grant(TOO_LONG_S)
        await other.put(f"{prefix}{lease:016x}", b"waited, and is dead", lease=lease)
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(Election(client, prefix, b"waits, and lives", 8).campaign())
            door.deaf = True
            await doubted.lost.wait()
            door.deaf = False
            door.drop()

            again = await keys.campaign(prefix, b"", 8)

            assert again.fence > doubted.fence
            leader = await Election(other, prefix, b"", 8).leader()
            assert leader is not None
            assert leader.key.decode() == again.key
            await again.resign()
            await (await waiting).resign()
        await other.revoke(lease)


async def test_a_leader_that_was_replaced_can_write_nothing(client: Client, other: Client, prefix: str) -> None:
    """A process that slept through its own lease still believes that it leads; the fence must stop it."""
    asleep = await Election(client, prefix + "e", b"asleep", 5).campaign()
    await client.txn([asleep.guard()], [Op.put(prefix + "state", b"1")])
    await other.delete(asleep.key)
    awake = await Election(other, prefix + "e", b"awake", 5).campaign()

    late = await client.txn([asleep.guard()], [Op.put(prefix + "state", b"late")])
    fresh = await other.txn([awake.guard()], [Op.put(prefix + "state", b"2")])

    assert (late.succeeded, fresh.succeeded) == (False, True)
    state = await client.get(prefix + "state")
    assert state is not None
    assert state.value == b"2"
    await asleep.resign()
    await awake.resign()


async def test_whoever_watches_an_election_sees_every_leader(client: Client, other: Client, prefix: str) -> None:
    """A follower must know where to send its writes, and when nobody takes them."""
    election = Election(client, prefix, b"one", 5)
    async with aclosing(Election(other, prefix, b"", 5).observe()) as leaders:
        seen = [await anext(leaders)]
        for value in (b"one", b"two"):
            leadership = await Election(client, prefix, value, 5).campaign()
            seen.append(await anext(leaders))
            await leadership.resign()
            seen.append(await anext(leaders))

    assert [leader and leader.value for leader in seen] == [None, b"one", None, b"two", None]
    assert await election.leader() is None


async def test_a_fence_holds_against_a_key_made_anew(client: Client, prefix: str) -> None:
    """The same name under a new revision is another leader."""
    leadership = await Election(client, prefix + "e", b"", 5).campaign()
    await client.delete(leadership.key)
    await client.put(leadership.key, b"impostor")

    result = await client.txn([leadership.guard()], [Op.put(prefix + "x", b"")])

    assert not result.succeeded
    assert (await client.txn([Compare.create_revision(prefix + "x", "=", 0)], [])).succeeded
    await leadership.resign()
    await client.delete(leadership.key)


async def candidates(client: Client, prefix: str, count: int) -> None:
    """Wait until so many stand for election."""
    async with asyncio.timeout(60):
        while len((await client.snapshot(prefix)).kvs) != count:
            continue
