"""Keys, transactions, pages and bulk writes on three real members."""

from __future__ import annotations

import asyncio

import pytest

from suanmesh_etcd3 import (
    Client,
    Compacted,
    Compare,
    DeleteResult,
    LeaseNotFound,
    Op,
    PutResult,
    RangeResult,
    TooManyOperations,
)


async def test_a_key_tells_its_revisions(client: Client, prefix: str) -> None:
    """Every compare in the store is built on them."""
    first = await client.put(prefix + "a", b"1")
    second = await client.put(prefix + "a", b"2")

    found = await client.get(prefix + "a")

    assert found is not None
    assert (found.key, found.value) == ((prefix + "a").encode(), b"2")
    assert (found.create_revision, found.mod_revision, found.version, found.lease) == (first, second, 2, 0)
    then = await client.get(prefix + "a", revision=first)
    assert then is not None
    assert then.value == b"1"
    assert await client.delete(prefix + "a") == 1
    assert await client.get(prefix + "a") is None


async def test_a_failed_condition_reads_what_changed(client: Client, prefix: str) -> None:
    """A writer that lost must learn to whom in the same round trip."""
    held = await client.put(prefix + "job", b"theirs")

    result = await client.txn(
        [Compare.mod_revision(prefix + "job", "=", held - 1)],
        [Op.put(prefix + "job", b"mine")],
        [Op.get(prefix + "job"), Op.range(prefix, limit=1, keys_only=True)],
    )

    assert not result.succeeded
    read, listed = result.responses
    assert isinstance(read, RangeResult)
    assert isinstance(listed, RangeResult)
    assert (read.kvs[0].value, read.kvs[0].mod_revision) == (b"theirs", held)
    assert listed.kvs[0].value == b""


async def test_a_transaction_answers_for_each_operation(client: Client, prefix: str) -> None:
    """The caller pairs answers with what it asked, by place."""
    await client.put(prefix + "old", b"")

    result = await client.txn(
        [Compare.create_revision(prefix + "new", "=", 0), Compare.version(prefix + "old", ">", 0)],
        [Op.put(prefix + "new", b"n"), Op.delete(prefix + "old"), Op.get(prefix + "new")],
    )

    put, deleted, read = result.responses
    assert result.succeeded
    assert (put, deleted) == (PutResult(), DeleteResult(1))
    assert isinstance(read, RangeResult)
    assert read.kvs[0].mod_revision == result.revision


async def test_a_detached_key_outlives_its_lease_and_keeps_its_value(client: Client, prefix: str) -> None:
    """A committed hold must not evaporate with the round that made it."""
    lease = await client.grant(60)
    await client.put(prefix + "hold", b"40 Gbit/s", lease=lease)
    await client.put(prefix + "loose", b"", lease=lease)

    await client.txn([Compare.lease(prefix + "hold", "=", lease)], [Op.put(prefix + "hold", ignore_value=True)])
    await client.revoke(lease)

    hold = await client.get(prefix + "hold")
    assert hold is not None
    assert (hold.value, hold.lease) == (b"40 Gbit/s", 0)
    assert await client.get(prefix + "loose") is None
    assert await client.time_to_live(lease) == -1


async def test_writing_on_a_lapsed_lease_is_refused_by_name(client: Client, prefix: str) -> None:
    """Whoever was too late must know that it was the lease."""
    with pytest.raises(LeaseNotFound):
        await client.put(prefix + "late", b"", lease=12345)


async def test_all_pages_of_a_snapshot_are_of_one_revision(client: Client, other: Client, prefix: str) -> None:
    """A mirror that begins with a torn list decides on a state that never was."""
    keys = [f"{prefix}{n:03}" for n in range(60)]
    await client.txn([], [Op.put(key, b"0") for key in keys])
    stop = asyncio.Event()

    async def rewrite_all_at_once() -> None:
        for generation in range(1, 1000):
            await other.txn([], [Op.put(key, str(generation).encode()) for key in keys])
            if stop.is_set():
                return

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(rewrite_all_at_once())
        snapshots = [await client.snapshot(prefix, page=7) for _ in range(5)]
        stop.set()

    for snapshot in snapshots:
        assert [kv.key.decode() for kv in snapshot.kvs] == keys
        assert len({kv.value for kv in snapshot.kvs}) == 1
        assert max(kv.mod_revision for kv in snapshot.kvs) <= snapshot.revision
    assert len({snapshot.revision for snapshot in snapshots}) > 1


async def test_a_snapshot_whose_revision_is_compacted_away_is_begun_anew(
    client: Client, other: Client, prefix: str
) -> None:
    """A long list on a busy cluster must not fail because the history is short."""
    await client.bulk_put((f"{prefix}{n:03}", b"") for n in range(100))
    pages = asyncio.Event()

    async def compact_in_mid_list() -> None:
        for _ in range(3):
            await other.compact(await other.put(prefix + "zz", b""))
        pages.set()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(compact_in_mid_list())
        while not pages.is_set():
            assert len((await client.snapshot(prefix, page=1)).kvs) >= 100


async def test_a_revision_asked_for_and_compacted_away_is_refused_by_name(client: Client, prefix: str) -> None:
    """Only the caller can say whether a newer list would do."""
    old = await client.put(prefix + "a", b"1")
    await client.compact(await client.put(prefix + "a", b"2"))

    with pytest.raises(Compacted):
        await client.snapshot(prefix, revision=old)
    with pytest.raises(Compacted):
        await client.get(prefix + "a", revision=old)


async def test_many_keys_are_written_in_few_transactions(client: Client, prefix: str) -> None:
    """A hundred thousand documents one by one would take minutes."""
    before = await client.put(prefix, b"")

    assert await client.bulk_put((f"{prefix}{n:05}", b"x" * 512) for n in range(5_000)) == 5_000

    assert await client.count(prefix) == 5_001
    after = await client.put(prefix, b"")
    assert after - before <= 5_000 // 200


async def test_a_transaction_that_is_too_large_is_refused_by_name(client: Client, prefix: str) -> None:
    """A packer must be able to tell "cut it smaller" from "try again"."""
    with pytest.raises(TooManyOperations):
        await client.txn([], [Op.get(prefix)] * 4097)


async def test_every_member_says_how_it_stands(client: Client) -> None:
    """Who leads, and how old the server is, decides what an operator may do to it."""
    members = [await client.status(address) for address in await client.members()]

    assert len({status.member_id for status in members}) == 3
    assert [status.leads for status in members].count(True) == 1
    assert all(status.version and status.db_bytes and status.revision for status in members)
