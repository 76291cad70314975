"""What an earlier leader committed last is booked before a new one decides anything."""

from __future__ import annotations

import asyncio
from typing import Any

from suanmesh.scheduler.v1 import placement_pb2
from suanmesh_kernel.clock import seeded_rng
from suanmesh_scheduler.circuits import Circuits
from suanmesh_scheduler.jobs import Jobs
from suanmesh_scheduler.mirrors import open_mirrors
from suanmesh_scheduler.rounds import Rounds
from suanmesh_scheduler.settings import SchedulerSettings
from suanmesh_scheduler.snapshot import SnapshotReader
from suanmesh_store import Create
from suanmesh_store.layout import PLACEMENTS
from suanmesh_store.records import MemoryRecords


async def test_a_term_begins_when_the_last_commits_are_seen(world: Any) -> None:
    """A leader whose mirrors are a moment behind would sell the cores that its predecessor has just sold."""
    store, clock = world.store, world.clock
    records = MemoryRecords(clock, seeded_rng(2))
    mirrors = await open_mirrors(store, records)
    live = placement_pb2.Placement(
        name="placements/p", site="sites/near", state=placement_pb2.Placement.STATE_COMMITTED
    )
    leg = live.legs.add(pool="sites/near/pools/cpu", hosts=[placement_pb2.HostRun(host="h1", tasks=1)])
    leg.per_task.cpu_milli = 4000
    await store.commit(Create(PLACEMENTS, live.name, live))
    snapshots = SnapshotReader(mirrors, world.peers, clock, Circuits(clock))
    jobs = Jobs(records, mirrors.jobs)
    rounds = Rounds(store, mirrors, snapshots, world.peers, jobs, clock, seeded_rng(3), SchedulerSettings())
    assert mirrors.placements.get(live.name) is None

    following = asyncio.create_task(mirrors.placements.run())
    await rounds.caught_up()

    assert mirrors.placements.get(live.name) is not None
    assert [booked.placement for booked in mirrors.bookings.of("sites/near/pools/cpu")] == [live.name]
    following.cancel()
