"""Who waits for room and who does not."""

from __future__ import annotations

import asyncio
from typing import Any

from suanmesh_chassis.occupancy import Bounds, CallerClass, Holder, Obstacle, Occupancy
from suanmesh_chassis.turns import Turns

ANN = Holder(CallerClass.USER, "ann")
BOB = Holder(CallerClass.USER, "bob")


async def started(turns: Turns, holder: Holder, amount: int) -> asyncio.Task[None]:
    task = asyncio.get_running_loop().create_task(turns.take(holder, amount))
    await asyncio.sleep(0)
    return task


async def ended(*tasks: asyncio.Task[Any]) -> None:
    async with asyncio.timeout(5):
        await asyncio.gather(*tasks)


async def test_who_has_all_he_may_waits_alone() -> None:
    """A slow sender must hold up his own calls and nobody else's."""
    turns = Turns(Occupancy(Bounds(100, per_caller=10)))
    await turns.take(ANN, 10)
    first, second = await started(turns, ANN, 6), await started(turns, ANN, 4)
    await turns.take(BOB, 10)
    assert (turns.waiting, turns.try_take(ANN, 0)) == (2, Obstacle.CALLER)

    turns.give_back(ANN, 6)
    await ended(first)
    assert (second.done(), turns.waiting) == (False, 1)
    turns.give_back(ANN, 4)
    await ended(second)
    assert turns.occupancy.held_by("ann") == 10


async def test_who_stops_waiting_leaves_no_trace() -> None:
    """A caller who gave up must not keep room that others wait for."""
    turns = Turns(Occupancy(Bounds(10, per_caller=10)))
    await turns.take(ANN, 10)
    gone, late, other = [await started(turns, who, 5) for who in (BOB, BOB, Holder(CallerClass.USER, "cid"))]
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    turns.give_back(ANN, 10)
    late.cancel()  # at the moment its turn came
    await asyncio.gather(late, return_exceptions=True)
    await ended(other)
    turns.give_back(Holder(CallerClass.USER, "cid"), 5)
    assert (turns.occupancy.taken, turns.waiting) == (0, 0)
