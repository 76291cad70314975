"""What every store promises of watches and mirrors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

from suanmesh.scheduler.v1.job_pb2 import Job
from suanmesh.scheduler.v1.placement_pb2 import Placement
from suanmesh_store import Create, Delete, Held, Mirror, Update, open_mirror
from suanmesh_store.layout import PLACEMENTS, Kind

JOBS = Kind("scheduler", "jobs", Job)
"""A kind as any."""


def a_job(name: str, account: str = "") -> Job:
    return Job(name=name, account=account)


async def create(store: Any, *names: str) -> list[Held[Job]]:
    return list((await store.commit(*(Create(JOBS, name, a_job(name)) for name in names))).held)


@asynccontextmanager
async def running(mirror: Mirror[Job]) -> AsyncIterator[None]:
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        task = tasks.create_task(mirror.run())
        yield
        task.cancel()


async def test_a_watch_tells_every_change_once_and_in_order(world: Any) -> None:
    """A reconciler that misses a change leaves a job hanging; one told twice does work twice."""
    store = world.store("scheduler")
    start = (await store.snapshot(JOBS)).revision
    [first] = await create(store, "jobs/a")
    await store.commit(Create(PLACEMENTS, "placements/p", Placement(name="placements/p")))
    second = (await store.commit(Update(first, a_job("jobs/a", "accounts/x")))).held[0]
    removed = await store.commit(Delete(second))
    pair = await create(store, "jobs/b", "jobs/c")

    seen: list[tuple[str, Any]] = []
    async with asyncio.timeout(60), aclosing(store.watch(JOBS, start)) as batches:
        async for batch in batches:
            seen += [(change.name, change.held) for change in batch.changes]
            if batch.revision >= pair[0].mod_revision:
                break

    assert seen == [
        ("jobs/a", first),
        ("jobs/a", second),
        ("jobs/a", None),
        ("jobs/b", pair[0]),
        ("jobs/c", pair[1]),
    ]
    assert first.mod_revision < second.mod_revision < removed.revision < pair[0].mod_revision == pair[1].mod_revision


async def test_a_mirror_follows(world: Any) -> None:
    """A decision is made from mirrors: what was committed must be seen once it is waited for."""
    store = world.store("scheduler")
    [a, b] = await create(store, "jobs/a", "jobs/b")
    mirror = await open_mirror(store, JOBS)
    await mirror.ready()
    assert mirror.values() == [a, b]

    async with running(mirror):
        done = await store.commit(Update(a, a_job("jobs/a", "accounts/x")), Delete(b))
        await mirror.wait_for(done.revision)

        assert mirror.get("jobs/a") == done.held[0]
        assert (mirror.get("jobs/b"), mirror.names(), len(mirror)) == (None, ["jobs/a"], 1)
        assert mirror.revision >= done.revision


async def test_each_consumer_of_a_mirror_has_its_own_turn(world: Any) -> None:
    """Two reconcilers on one mirror must not take each other's work."""
    store = world.store("scheduler")
    [a] = await create(store, "jobs/a")
    mirror = await open_mirror(store, JOBS)

    async with running(mirror), aclosing(mirror.changes()) as one, aclosing(mirror.changes(existing=False)) as two:
        assert await anext(one) == "jobs/a"
        waiting = asyncio.ensure_future(anext(two))
        await asyncio.sleep(0)
        done = await store.commit(Update(a, a_job("jobs/a", "accounts/x")), Create(JOBS, "jobs/b", a_job("jobs/b")))
        await mirror.wait_for(done.revision)

        assert {await anext(one), await anext(one)} == {"jobs/a", "jobs/b"}
        assert {await waiting, await anext(two)} == {"jobs/a", "jobs/b"}


async def test_what_changes_often_is_looked_at_once(world: Any) -> None:
    """A busy document must not fill a queue without bound."""
    store = world.store("scheduler")
    [held] = await create(store, "jobs/a")
    mirror = await open_mirror(store, JOBS)

    async with running(mirror), aclosing(mirror.changes()) as names:
        for i in range(20):
            [held] = (await store.commit(Update(held, a_job("jobs/a", f"accounts/{i}")))).held
        await mirror.wait_for(held.mod_revision)
        await create(store, "jobs/b")

        assert [await anext(names), await anext(names)] == ["jobs/a", "jobs/b"]


async def test_a_mirror_bridges_a_compaction(world: Any) -> None:
    """A follower cut off for longer than history is kept must still learn what came, changed and went."""
    store = world.store("scheduler")
    [kept, changed, gone] = await create(store, "jobs/kept", "jobs/changed", "jobs/gone")
    mirror = await open_mirror(store, JOBS)
    updated = (await store.commit(Update(changed, a_job("jobs/changed", "accounts/x")), Delete(gone))).held[0]
    [new] = await create(store, "jobs/new")
    await store.commit(Create(PLACEMENTS, "placements/p", Placement(name="placements/p")))
    await world.compact()

    async with running(mirror), aclosing(mirror.changes(existing=False)) as names:
        told = {await anext(names) for _ in range(3)}

        assert told == {"jobs/changed", "jobs/gone", "jobs/new"}
        assert mirror.values() == [updated, kept, new]
        [last] = await create(store, "jobs/last")
        await mirror.wait_for(last.mod_revision)
        assert mirror.get("jobs/last") == last


async def test_who_follows_one_document_is_not_woken_for_others(world: Any) -> None:
    """A thousand users wait for a job each; every change would otherwise be looked at a thousand times."""
    store = world.store("scheduler")
    [a, b] = await create(store, "jobs/a", "jobs/b")
    mirror = await open_mirror(store, JOBS)

    async with running(mirror):
        with mirror.following_one("jobs/a") as changed:
            other = await store.commit(Update(b, a_job("jobs/b", "accounts/x")))
            await mirror.wait_for(other.revision)
            assert len(changed) == 0

            own = await store.commit(Update(a, a_job("jobs/a", "accounts/x")))
            await mirror.wait_for(own.revision)
            assert await changed.take() == "jobs/a"


async def test_a_mirror_tells_what_changed_after_a_revision_or_that_it_cannot(world: Any) -> None:
    """A reader that resumes must learn what went, too; one from before this mirror's time must be told to read anew."""
    store = world.store("scheduler")
    [a, b] = await create(store, "jobs/a", "jobs/b")
    mirror = await open_mirror(store, JOBS)
    start = mirror.revision

    async with running(mirror):
        done = await store.commit(Update(a, a_job("jobs/a", "accounts/x")), Delete(b))
        await mirror.wait_for(done.revision)

        assert mirror.changed_after(start) == ["jobs/a", "jobs/b"]
        assert mirror.changed_after(mirror.revision) == []
        assert mirror.changed_after(start - 1) is None
        assert mirror.changed_after(mirror.revision + 1) is None


async def test_a_tally_counts_what_there_is_through_every_change(world: Any) -> None:
    """A bound on a party's jobs that counts wrong locks the party out, or lets it fill the node."""
    store = world.store("scheduler")
    await create(store, "jobs/a")
    mirror = await open_mirror(store, JOBS)
    tally = mirror.counted_by(lambda job: job.account or "none")
    async with running(mirror):
        counts = [(tally["none"], tally["accounts/x"])]
        [held] = await create(store, "jobs/b")
        await mirror.wait_for(held.mod_revision)
        counts.append((tally["none"], tally["accounts/x"]))
        committed = await store.commit(Update(held, a_job("jobs/b", "accounts/x")))
        await mirror.wait_for(committed.revision)
        counts.append((tally["none"], tally["accounts/x"]))
        gone = await store.commit(Delete(committed.held[0]))
        await mirror.wait_for(gone.revision)
        counts.append((tally["none"], tally["accounts/x"]))
    await create(store, "jobs/c", "jobs/d")
    await mirror.load()
    counts.append((tally["none"], tally["accounts/x"]))
    assert counts == [(1, 0), (2, 0), (1, 1), (1, 0), (3, 0)]
