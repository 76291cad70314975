"""What an instance answers whose mirrors are behind: newer than them where it can, and never first new and then old."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any, cast

from suanmesh.scheduler.v1 import scheduler_service_pb2 as pb
from suanmesh.scheduler.v1.job_pb2 import Job
from suanmesh_chassis import Call
from suanmesh_chassis.identity import caller_of
from suanmesh_chassis.testing import NODE, OPERATOR
from suanmesh_kernel.clock import HandClock, seeded_rng
from suanmesh_scheduler.jobs import Jobs
from suanmesh_scheduler.mirrors import open_mirrors
from suanmesh_scheduler.ports import Peers
from suanmesh_scheduler.reads import SchedulerReads
from suanmesh_scheduler.record_kinds import JOBS
from suanmesh_store import MemoryStore
from suanmesh_store.archive import Archive
from suanmesh_store.records import Feed, MemoryDatabase, MemoryRecords, Put, Records, Write


class HaltingRecords(MemoryRecords):
    """Those of a standby, whose feed stops behind the first change until it may go on."""

    halting = False

    async def feed(self, kind: Any, after: int, *, limit: int) -> Feed[Any]:
        if not self.halting:
            return await super().feed(kind, after, limit=limit)
        self.halting = False
        return Feed(self.first, ((self.seen.name, self.seen),), more=True)

    async def halt(self) -> None:
        """Let the next look at the feed find what stands by now, however late it comes."""
        self.seen = (await self.get_many(JOBS, ["jobs/j"]))["jobs/j"]
        self.first, self.halting = self.seen.sequence, True


async def test_a_watched_job_never_goes_back() -> None:
    """Whoever waits for a job would see it run, wait again, and run: and take it for a second attempt."""
    clock, database = HandClock(), MemoryDatabase()
    leader, standby = MemoryRecords(clock, seeded_rng(1), database), HaltingRecords(clock, seeded_rng(2), database)
    await written(leader, Job.STATE_PENDING)
    mirrors = await open_mirrors(MemoryStore("scheduler", clock=clock), standby)
    await written(leader, Job.STATE_PLACED)
    await standby.halt()
    await written(leader, Job.STATE_RUNNING)
    jobs = Jobs(standby, mirrors.jobs)
    reads = SchedulerReads(cast(Any, None), mirrors, cast(Peers, None), jobs, Archive(standby), cast(Any, None))
    call = Call("m", caller_of(OPERATOR, NODE), "", "", b"", "peer", None, clock)

    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        async with aclosing(cast(Any, reads.WatchJob(pb.WatchJobRequest(name="jobs/j"), call))) as watch:
            seen = [await anext(watch)]
            following = tasks.create_task(anext(watch))
            running = tasks.create_task(mirrors.jobs.run())
            for _ in range(10):
                await asyncio.sleep(0)
            await written(leader, Job.STATE_DONE)
            seen.append(await following)
        running.cancel()

    assert [job.state for job in seen] == [Job.STATE_RUNNING, Job.STATE_DONE]


async def written(records: Records, state: Job.State.ValueType) -> None:
    """The leader brings the job to a state."""
    await records.apply([Write([Put(JOBS, "jobs/j", Job(name="jobs/j", state=state))])])
