"""What has ended moves from etcd to the records in few writes, whatever stands in the way of some of it."""

from __future__ import annotations

from suanmesh.scheduler.v1.placement_pb2 import Placement
from suanmesh_chassis.archiving import MOVED_AT_ONCE, Archiver
from suanmesh_kernel.clock import HandClock, seeded_rng
from suanmesh_store import MemoryStore, Update
from suanmesh_store.archive import Archive
from suanmesh_store.layout import PLACEMENTS
from suanmesh_store.records import MemoryRecords, RecordKind

ENDED = RecordKind("placements", Placement, ())
COUNT = 2 * MOVED_AT_ONCE + 1


class Stores:
    """A store with placements, and the records they move to."""

    def __init__(self) -> None:
        clock = HandClock()
        self.store, self.archive = MemoryStore("scheduler", clock=clock), Archive(MemoryRecords(clock, seeded_rng(1)))
        self.archiver = Archiver(ENDED, self.store, self.archive, clock)
        self.names = [f"placements/{number:03d}" for number in range(COUNT)]

    async def fill(self) -> None:
        await self.store.bulk_put(PLACEMENTS, [(name, Placement(name=name)) for name in self.names])


async def test_many_are_moved_in_a_few_writes() -> None:
    """A sweep that writes twice for each of some thousands would still be under way when the next is due."""
    here = Stores()
    await here.fill()
    before = await here.store.snapshot(PLACEMENTS)

    await here.archiver.move(before.held)

    after = await here.store.snapshot(PLACEMENTS)
    assert (after.held, after.revision - before.revision) == ((), 3)
    assert await here.archive.known(ENDED, here.names) == frozenset(here.names)


async def test_one_that_has_changed_since_keeps_no_other_away() -> None:
    """Of a hundred that ended together all would stay in etcd for the sake of one."""
    here = Stores()
    await here.fill()
    read = (await here.store.snapshot(PLACEMENTS)).held
    await here.store.commit(Update(read[7], read[7].message))

    await here.archiver.move(read)

    assert [held.name for held in (await here.store.snapshot(PLACEMENTS)).held] == ["placements/007"]
    assert await here.archive.known(ENDED, here.names) == frozenset(here.names)


async def test_nothing_is_moved_where_nothing_has_ended() -> None:
    """A sweep of a quiet node must not write."""
    here = Stores()
    await here.archiver.move([])
    assert (await here.store.snapshot(PLACEMENTS)).revision == (await Stores().store.snapshot(PLACEMENTS)).revision
