"""Who waits for room and who does not."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from suanmesh_chassis.occupancy import Bounds, CallerClass, ExceededBound, Holder, Occupancy
from suanmesh_chassis.pace import CALLERS_MAX, Pace
from suanmesh_chassis.turns import Turns

ANN = Holder(CallerClass.USER, "ann")
BOB = Holder(CallerClass.USER, "bob")


async def started(turns: Turns, holder: Holder, amount: int) -> asyncio.Task[None]:
    task = asyncio.get_running_loop().create_task(turns.take(holder, amount))
    await asyncio.sleep(0)
    return task


async def ended(*tasks: asyncio.Task[Any]) -> None:
    async with asyncio.timeout(60):
        await asyncio.gather(*tasks)


async def test_who_has_all_he_may_waits_alone() -> None:
    """A slow sender must hold up his own calls and nobody else's."""
    turns = Turns(Occupancy(Bounds(100, per_caller=10)))
    await turns.take(ANN, 10)
    first, second = await started(turns, ANN, 6), await started(turns, ANN, 4)
    await turns.take(BOB, 10)
    assert (turns.waiting, turns.try_take(ANN, 0)) == (2, ExceededBound.CALLER)

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


async def test_who_is_told_to_stop_as_his_turn_comes_takes_nothing_with_him() -> None:
    """Room that is given to a call which has just been broken off would never come back."""
    turns = Turns(Occupancy(Bounds(10, per_caller=10)))
    await turns.take(ANN, 10)
    gone, other = await started(turns, BOB, 10), await started(turns, Holder(CallerClass.USER, "cid"), 10)
    gone.cancel()
    turns.give_back(ANN, 10)  # before the other has heard
    await asyncio.gather(gone, return_exceptions=True)
    await ended(other)
    turns.give_back(Holder(CallerClass.USER, "cid"), 10)
    assert gone.cancelled()
    assert (turns.occupancy.taken, turns.waiting) == (0, 0)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 6), st.integers(1, 6)), max_size=40))
def test_whatever_comes_when_all_room_comes_back(steps: list[tuple[int, int, int]]) -> None:
    """Calls are broken off at any moment; room that leaks at one of them is gone until the process is."""

    async def run() -> None:
        turns = Turns(Occupancy(Bounds(10, per_caller=8)))
        tasks: list[tuple[Holder, int, asyncio.Task[None]]] = []
        for act, which, amount in steps:
            if act == 0 or not tasks:
                holder = Holder(CallerClass.USER, "abcd"[which % 4])
                tasks.append((holder, amount, asyncio.get_running_loop().create_task(turns.take(holder, amount))))
            elif act == 1:
                tasks[which % len(tasks)][2].cancel()
            elif act == 2:
                await asyncio.sleep(0)
            else:
                _give_back(turns, tasks, which)
        while tasks:
            for _ in range(3):
                await asyncio.sleep(0)
            before = len(tasks)
            for each in range(before):
                _give_back(turns, tasks, before - 1 - each)
            assert len(tasks) < before
        assert (turns.occupancy.taken, turns.waiting) == (0, 0)

    asyncio.run(run())


def _give_back(turns: Turns, tasks: list[tuple[Holder, int, asyncio.Task[None]]], which: int) -> None:
    """Give back what the task has got, if it has ended."""
    holder, amount, task = tasks[which % len(tasks)]
    if task.done():
        tasks.remove((holder, amount, task))
        if not task.cancelled():
            turns.give_back(holder, amount)


@given(st.lists(st.floats(0, 0.2), min_size=1, max_size=200))
def test_refusals_come_at_a_pace_and_wait_for_no_more_than_their_turn(gaps: list[float]) -> None:
    """One who is refused and calls again at once must not have a process do nothing but refuse him."""
    pace, now, sent = Pace(burst=5, per_s=10, waiting_max=20), 0.0, []
    for gap in gaps:
        now += gap
        delay_s = pace.delay_s("eve", now)
        assert 0 <= delay_s <= 2.0 + 1e-9
        if delay_s:
            sent.append(now + delay_s)
    assert all(later - earlier >= 0.1 - 1e-6 for earlier, later in itertools.pairwise(sent))
    assert pace.delay_s("ann", now) == 0


def test_too_many_are_refused_at_once() -> None:
    """Refusals that wait are memory: there is a most of them, and callers come to an end."""
    pace = Pace(burst=1, per_s=10, waiting_max=2)
    assert [round(pace.delay_s("eve", 0.0), 3) for _ in range(6)] == [0, 0.1, 0.2, 0, 0, 0]
    assert round(pace.delay_s("eve", 0.1), 3) == 0.2
    for number in range(CALLERS_MAX):
        pace.delay_s(f"caller {number}", 0.1)
    assert pace.delay_s("eve", 0.1) == 0  # forgotten
