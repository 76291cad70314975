"""How far the watch is behind is told while it is behind, not only when it has caught up."""

from __future__ import annotations

import asyncio

from suanmesh_chassis.discovery import Directory, Record, Registration
from suanmesh_chassis.watch_lag import WatchLag
from suanmesh_kernel.clock import HandClock
from suanmesh_store import MemoryStore

TURNS = 500
"""Of the event loop, in which everything in memory comes to rest."""


async def _rest() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


async def test_a_watch_that_hangs_is_shown_to_hang() -> None:
    """A process that decides by what was a minute ago must be seen before its decisions are."""
    clock = HandClock()
    store = MemoryStore("registry", clock=clock)
    directory = Directory(store)
    registration = Registration(store, Record(area="registry", id="one", address="here:1"), 5.0)
    lag = WatchLag(clock, directory)

    def shown() -> list[float]:
        return [each.value for each in lag.readings()]

    async with asyncio.TaskGroup() as tasks:
        kept = [tasks.create_task(registration.run())]
        await _rest()
        kept.append(tasks.create_task(lag.run(registration)))
        await _rest()
        clock.advance(7)
        hanging = shown()
        kept.append(tasks.create_task(directory.run()))
        await _rest()
        caught_up = shown()
        clock.advance(100)
        later = shown()
        for each in kept:
            each.cancel()

    assert (hanging, caught_up, later) == ([7.0], [7.0], [7.0])
