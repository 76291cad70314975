"""What an instance answers whose mirrors are behind: newer than them where it can, and never first new and then old."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from typing import Any, cast

from suanmesh.scheduler.v1 import scheduler_service_pb2 as pb
from suanmesh.scheduler.v1.job_pb2 import Job
from suanmesh_chassis import Call
from suanmesh_chassis.identity import caller_of
from suanmesh_chassis.testing import NODE, OPERATOR
from suanmesh_kernel.clock import HandClock, seeded_rng
from suanmesh_scheduler.mirrors import open_mirrors
from suanmesh_scheduler.ports import Peers
from suanmesh_scheduler.reads import SchedulerReads
from suanmesh_store import Batch, Create, Held, Kind, MemoryStore, Update
from suanmesh_store.archive import Archive
from suanmesh_store.layout import JOBS, M
from suanmesh_store.records import MemoryRecords


class HaltingStore(MemoryStore):
    """Tells what it watches no further than the first change, until it may go on."""

    def __init__(self, area: str, **given: Any) -> None:
        super().__init__(area, **given)
        self.may_go_on = asyncio.Event()

    async def watch(
        self, kind: Kind[M], after_revision: int, known: Iterable[Held[M]] = ()
    ) -> AsyncGenerator[Batch[M], None]:
        async with aclosing(super().watch(kind, after_revision, known)) as batches:
            async for batch in batches:
                yield batch
                await self.may_go_on.wait()


async def test_a_watched_job_never_goes_back() -> None:
    """Whoever waits for a job would see it run, wait again, and run: and take it for a second attempt."""
    clock = HandClock()
    store = HaltingStore("scheduler", clock=clock, rng=seeded_rng(1))
    held = (await store.commit(Create(JOBS, "jobs/j", Job(name="jobs/j", state=Job.STATE_PENDING)))).held[0]
    mirrors, archive = await open_mirrors(store), Archive(MemoryRecords(clock, seeded_rng(2)))
    placed = (await store.commit(Update(held, Job(name="jobs/j", state=Job.STATE_PLACED)))).held[0]
    held = (await store.commit(Update(placed, Job(name="jobs/j", state=Job.STATE_RUNNING)))).held[0]
    reads = SchedulerReads(store, mirrors, cast(Peers, None), archive)
    call = Call("m", caller_of(OPERATOR, NODE), "", "", b"", "peer", None, clock)

    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        async with aclosing(cast(Any, reads.WatchJob(pb.WatchJobRequest(name="jobs/j"), call))) as watch:
            seen = [await anext(watch)]
            following = tasks.create_task(anext(watch))
            running = tasks.create_task(mirrors.jobs.run())
            await mirrors.jobs.wait_for(placed.mod_revision)
            for _ in range(10):
                await asyncio.sleep(0)
            store.may_go_on.set()
            await mirrors.jobs.wait_for(held.mod_revision)
            await store.commit(Update(held, Job(name="jobs/j", state=Job.STATE_DONE)))
            seen.append(await following)
        running.cancel()

    assert [job.state for job in seen] == [Job.STATE_RUNNING, Job.STATE_DONE]
