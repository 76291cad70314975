"""What ended moves out, whatever stands in the way of some of it."""

from __future__ import annotations

import asyncio

from suanmesh.scheduler.v1 import job_pb2
from suanmesh_chassis import FailureBackoff
from suanmesh_kernel.clock import HandClock, seeded_rng
from suanmesh_scheduler.archiving import Archiving
from suanmesh_scheduler.mirrors import open_mirrors
from suanmesh_scheduler.record_kinds import ENDED_JOBS
from suanmesh_scheduler.settings import SchedulerSettings
from suanmesh_store import Create, MemoryStore, Update
from suanmesh_store.archive import Archive
from suanmesh_store.layout import JOBS
from suanmesh_store.records import MemoryRecords


async def test_a_job_that_cannot_be_moved_does_not_keep_the_others() -> None:
    """One stubborn job would let etcd fill up with all that ended after it, or end the scheduler."""
    clock = HandClock()
    store = MemoryStore("scheduler", clock=clock)
    for name in ("jobs/a", "jobs/b"):
        job = job_pb2.Job(name=name, state=job_pb2.Job.STATE_DONE)
        job.end_time.FromDatetime(clock.now())
        await store.commit(Create(JOBS, name, job))
    mirrors = await open_mirrors(store)
    overtaken = (await store.snapshot(JOBS)).held[0]
    await store.commit(Update(overtaken, overtaken.message))
    clock.advance(4000)
    archive = Archive(MemoryRecords(clock, seeded_rng(1)))
    archiving = Archiving(
        store, mirrors, archive, clock, SchedulerSettings(sweep_s=0), FailureBackoff("archive job", clock)
    )
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        revision = (await store.snapshot(JOBS)).revision
        sweeping = tasks.create_task(archiving.run())
        await anext(store.watch(JOBS, revision))
        sweeping.cancel()
    assert [held.name for held in (await store.snapshot(JOBS)).held] == ["jobs/a"]
    assert await archive.get(ENDED_JOBS, "jobs/b") is not None
