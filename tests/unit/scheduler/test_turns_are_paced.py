"""Turns that come close together are one; a turn that comes alone waits for nobody."""

from __future__ import annotations

import asyncio

from scenario.virtual_time import LoopClock, run

from suanmesh_scheduler.pacing import Pace

EVERY_S = 0.05


def test_a_turn_that_comes_alone_begins_at_once() -> None:
    """Who submits one job would wait for others that never come."""

    async def turns() -> list[float]:
        pace, clock, begun = Pace(EVERY_S), LoopClock(), list[float]()
        for idle_s in (0.0, 1.0, EVERY_S):
            await asyncio.sleep(idle_s)
            await pace.wait()
            begun.append(round(clock.monotonic(), 6))
        return begun

    assert run(turns()) == [0.0, 1.0, 1.0 + EVERY_S]


def test_turns_that_follow_each_other_wait_for_more_to_come() -> None:
    """A commit for every report of every site is what a node then spends its processors on."""

    async def turns() -> list[float]:
        pace, clock, begun = Pace(EVERY_S), LoopClock(), list[float]()
        for _ in range(3):
            await pace.wait()
            begun.append(round(clock.monotonic(), 6))
        await pace.wait(full=True)
        return [*begun, round(clock.monotonic(), 6)]

    assert run(turns()) == [0.0, EVERY_S, 2 * EVERY_S, 2 * EVERY_S]
