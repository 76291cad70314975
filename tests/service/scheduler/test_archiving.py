"""What ended moves out, whatever stands in the way of some of it."""

from __future__ import annotations

import asyncio

from suanmesh.scheduler.v1 import job_pb2, placement_pb2
from suanmesh_chassis.archiving import Archiver
from suanmesh_kernel.clock import HandClock, seeded_rng
from suanmesh_scheduler.archiving import Archiving
from suanmesh_scheduler.mirrors import open_mirrors
from suanmesh_scheduler.record_kinds import ENDED_PLACEMENTS, JOBS
from suanmesh_scheduler.settings import SchedulerSettings
from suanmesh_store import Create, MemoryStore, Update
from suanmesh_store.archive import Archive
from suanmesh_store.layout import PLACEMENTS
from suanmesh_store.records import MemoryRecords, Put, Write


async def test_a_placement_that_cannot_be_moved_does_not_keep_the_others() -> None:
    """One stubborn placement would let etcd fill up with all that ended after it, or end the scheduler.

    One whose job does not tell of its end yet is not to be moved: the job would never learn how it ended.
    """
    clock = HandClock()
    store, records = MemoryStore("scheduler", clock=clock), MemoryRecords(clock, seeded_rng(1))
    waiting = job_pb2.Job(name="jobs/w", state=job_pb2.Job.STATE_PENDING)
    await records.apply([Write([Put(JOBS, waiting.name, waiting)])])
    for name, job in (("placements/a", "jobs/a"), ("placements/b", "jobs/b"), ("placements/w", "jobs/w")):
        placement = placement_pb2.Placement(name=name, job=job, state=placement_pb2.Placement.STATE_DONE)
        placement.decision = f"{job}/decisions/1"
        placement.end_time.FromDatetime(clock.now())
        await store.commit(Create(PLACEMENTS, name, placement))
    mirrors = await open_mirrors(store, records)
    overtaken = (await store.snapshot(PLACEMENTS)).held[0]
    await store.commit(Update(overtaken, overtaken.message))
    clock.advance(4000)
    archive = Archive(records)
    archiver = Archiver(ENDED_PLACEMENTS, store, archive, clock)
    archiving = Archiving(store, mirrors, archiver, clock, SchedulerSettings(sweep_s=0))
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        revision = (await store.snapshot(PLACEMENTS)).revision
        sweeping = tasks.create_task(archiving.run())
        await anext(store.watch(PLACEMENTS, revision))
        sweeping.cancel()
    assert [held.name for held in (await store.snapshot(PLACEMENTS)).held] == ["placements/a", "placements/w"]
    assert await archive.get(ENDED_PLACEMENTS, "placements/b") is not None
