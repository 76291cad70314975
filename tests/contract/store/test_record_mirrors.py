"""What a mirror of records promises: to show what stands in an index, whoever wrote it, and to tell of each change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from random import Random

import pytest
from record_datasets import DATASETS, Open, a_dataset, apply

from suanmesh.transport.v1.dataset_pb2 import Dataset
from suanmesh_store.records import (
    Commit,
    Index,
    Put,
    RecordChange,
    RecordKind,
    RecordMirror,
    Records,
    Remove,
    memory,
    mirror,
    open_record_mirror,
    sql,
    statements,
)

WAIT_S = 60.0
LARGE: Index[Dataset] = Index("large", lambda dataset: [(dataset.bytes,)] if dataset.bytes >= 100 else [])
KIND = RecordKind("datasets", Dataset, (*DATASETS.indexes, LARGE))


def put(dataset: Dataset) -> Put[Dataset]:
    return Put(KIND, dataset.name, dataset)


@pytest.fixture
def opened(opening: Open, monkeypatch: pytest.MonkeyPatch) -> tuple[Records, Records]:
    """Records as two processes open them, which look for each other's writes often."""
    monkeypatch.setattr(sql, "POLL_S", 0.02)
    return opening(KIND), opening(KIND)


@asynccontextmanager
async def running(records: Records) -> AsyncIterator[RecordMirror[Dataset]]:
    found = await open_record_mirror(records, KIND, LARGE)
    following = asyncio.create_task(found.run())
    try:
        yield found
    finally:
        following.cancel()


async def reached(found: RecordMirror[Dataset], sequence: int) -> None:
    async with asyncio.timeout(WAIT_S):
        await found.reached(sequence)


def shown(found: RecordMirror[Dataset]) -> dict[str, int]:
    return {record.name: record.message.bytes for record in found.values()}


async def test_it_shows_what_stands_in_the_index(opened: tuple[Records, Records]) -> None:
    """A round that is decided from what has ended long ago would never end itself."""
    own, _ = opened
    await apply(own, put(a_dataset("small", size=1)), put(a_dataset("large", size=100)))
    async with running(own) as found:
        assert shown(found) == {"datasets/large": 100}
        await apply(own, put(a_dataset("small", size=200)), put(a_dataset("large", size=2)))
        assert shown(found) == {"datasets/small": 200}
        await apply(own, Remove(KIND, "datasets/small"))
        assert (len(found), found.get("datasets/small")) == (0, None)


async def test_what_others_write_is_shown_too(opened: tuple[Records, Records]) -> None:
    """A standby would take over with the jobs of yesterday."""
    own, other = opened
    async with running(other) as found:
        last = await apply(own, put(a_dataset("a", size=100)), put(a_dataset("b", size=100)))
        await reached(found, last.sequence)
        assert shown(found) == {"datasets/a": 100, "datasets/b": 100}
        last = await apply(own, put(a_dataset("a", size=5)))
        mine = await apply(other, put(a_dataset("c", size=300)))
        await reached(found, max(last.sequence, mine.sequence))
        assert shown(found) == {"datasets/b": 100, "datasets/c": 300}


async def test_it_catches_up_with_all_that_was_written(opened: tuple[Records, Records]) -> None:
    """A new leader would decide before it knows what its predecessor did last."""
    own, other = opened
    found = await open_record_mirror(other, KIND, LARGE)
    await apply(own, *(put(a_dataset(f"d{number}", size=100 + number)) for number in range(7)))
    await found.catch_up()
    assert shown(found) == {f"datasets/d{number}": 100 + number for number in range(7)}


async def test_each_change_is_told_also_of_what_leaves_the_index(opened: tuple[Records, Records]) -> None:
    """Who waits for a job's end would wait for ever: with it the job leaves those that live."""
    own, _ = opened
    await apply(own, put(a_dataset("d", size=100)))
    told: list[RecordChange[Dataset]] = []
    async with running(own) as found, aclosing(found.changes()) as changes:
        found.project(told.extend)
        assert await anext(changes) == "datasets/d"
        with found.following_one("datasets/d") as following, found.following_one("datasets/e") as other:
            await apply(own, put(a_dataset("d", size=1)))
            async with asyncio.timeout(WAIT_S):
                assert (await following.take(), await anext(changes)) == ("datasets/d", "datasets/d")
            assert len(other) == 0
    assert [(name, record.message.bytes) for name, record in told if record] == [("datasets/d", 100), ("datasets/d", 1)]


async def test_a_mirror_that_knows_too_little_reads_everything_anew(
    opened: tuple[Records, Records], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was removed while it was not heard of would stand in it for ever."""
    own, other = opened
    await apply(own, put(a_dataset("gone", size=100)))
    found = await open_record_mirror(other, KIND, LARGE)
    for module in (memory, statements):
        monkeypatch.setattr(module, "REMOVALS_MAX", 1)
    monkeypatch.setattr(statements, "PRUNE_EVERY", 1)
    await apply(own, Remove(KIND, "datasets/gone"), put(a_dataset("there", size=100)), put(a_dataset("other")))
    await apply(own, Remove(KIND, "datasets/other"))
    assert (await other.feed(KIND, found.sequence, limit=9)).reset
    await found.catch_up()
    assert shown(found) == {"datasets/there": 100}


async def test_commits_are_told_in_order_and_without_gaps(opened: tuple[Records, Records]) -> None:
    """A mirror relies on it: what is told follows upon what was told before, unless others wrote in between."""
    own, _ = opened
    commits: list[Commit] = []
    own.tell(commits.append)
    await asyncio.gather(*(apply(own, put(a_dataset(f"d{number}"))) for number in range(20)))
    assert [commit.after for commit in commits[1:]] == [commit.sequence for commit in commits[:-1]]
    assert commits[-1].sequence == await own.newest()


@pytest.mark.parametrize("seed", range(3))
async def test_two_that_write_at_once_are_shown_alike(
    opened: tuple[Records, Records], seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is read while something is written, a mirror ends with what stands."""
    monkeypatch.setattr(mirror, "AT_ONCE", 3)
    chance = Random(seed)
    async with running(opened[0]) as first, running(opened[1]) as second:

        async def write(records: Records) -> None:
            for _ in range(25):
                dataset = a_dataset(f"d{chance.randrange(8)}", size=chance.choice([1, 100, 200]))
                change = Remove(KIND, dataset.name) if chance.random() < 0.2 else put(dataset)
                await apply(records, change)
                await asyncio.sleep(chance.random() / 200)

        await asyncio.gather(*map(write, opened))
        newest = await opened[0].newest()
        standing = {r.name: r.message.bytes for r in await opened[0].page(KIND, limit=99) if r.message.bytes >= 100}
        for found in (first, second):
            await reached(found, newest)
            assert shown(found) == standing
