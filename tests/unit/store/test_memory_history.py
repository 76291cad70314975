"""The twin in memory keeps as little history as an etcd that compacts itself."""

from __future__ import annotations

from contextlib import aclosing

from suanmesh.scheduler.v1.job_pb2 import Job
from suanmesh_store import Create, Delete, MemoryStore
from suanmesh_store.layout import Kind
from suanmesh_store.memory import HISTORY_MAX

JOBS = Kind("scheduler", "jobs", Job)
"""A kind as any."""


async def test_history_is_bounded_and_a_watch_from_before_it_is_still_told_all() -> None:
    """A simulated month would else take all memory; a watcher that slept through must miss nothing for it."""
    store = MemoryStore("scheduler")
    start = (await store.snapshot(JOBS)).revision
    await store.commit(Create(JOBS, "jobs/kept", Job(name="jobs/kept")))
    for _ in range(HISTORY_MAX // 2 + 2):
        held = (await store.commit(Create(JOBS, "jobs/a", Job(name="jobs/a")))).held[0]
        await store.commit(Delete(held))

    assert len(store.keys._space.history) <= HISTORY_MAX
    async with aclosing(store.watch(JOBS, start)) as batches:
        batch = await anext(batches)
        assert [change.name for change in batch.changes] == ["jobs/kept"]
