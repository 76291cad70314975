"""Virtual time: nothing waits, timers come in order, the same seed does the same, and what hangs says where."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scenario.virtual_time import BEGIN, Deadlock, LoopClock, run
from suanmesh_store.transactions import Worker

A_DAY_S = 86_400.0


def test_a_day_passes_at_once() -> None:
    """A scenario of an hour that takes an hour is run by nobody."""

    async def day() -> tuple[float, float]:
        clock = LoopClock()
        await asyncio.sleep(A_DAY_S)
        return clock.monotonic(), (clock.now() - BEGIN).total_seconds()

    begun = time.monotonic()

    assert run(day()) == (A_DAY_S, A_DAY_S)
    assert time.monotonic() - begun < A_DAY_S / 1000


@given(st.lists(st.integers(0, 10**9), max_size=30))
def test_timers_come_in_their_order(delays_ms: list[int]) -> None:
    """A lease that lapses before the renewal that came first would be a fault that no real node has."""
    delays = [each / 1000 for each in delays_ms]

    async def woken() -> list[float]:
        found: list[float] = []

        async def wake(delay: float) -> None:
            await asyncio.sleep(delay)
            found.append(asyncio.get_running_loop().time())

        async with asyncio.TaskGroup() as tasks:
            for delay in delays:
                tasks.create_task(wake(delay))
        return found

    assert run(woken()) == sorted(delays)


def test_a_timeout_ends_what_takes_longer() -> None:
    """Deadlines are half of what a node does under faults; one that never fires hides the rest."""

    async def late() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3.0):
                await asyncio.sleep(10.0)
        return asyncio.get_running_loop().time()

    assert run(late()) == 3.0


def test_who_waits_for_each_other_is_named() -> None:
    """Whoever reads a scenario that hangs needs the line it hangs at, not a timeout."""

    async def hold(event: asyncio.Event) -> None:
        await event.wait()

    async def both() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(hold(asyncio.Event()), name="the first")
            tasks.create_task(hold(asyncio.Event()), name="the second")

    with pytest.raises(Deadlock) as found:
        run(both())

    assert all(f"  the {which}:" in str(found.value) for which in ("first", "second"))
    assert "hold (" in str(found.value)
    assert "test_virtual_time.py:" in str(found.value)


def test_what_is_handed_to_a_thread_runs_in_the_loop() -> None:
    """A thread would finish when the machine likes, and no seed could play that again."""

    async def both() -> tuple[int, int]:
        worker = Worker("a database")
        try:
            return await worker.run(threading.get_ident), await asyncio.to_thread(threading.get_ident)
        finally:
            await worker.close()

    assert run(both()) == (threading.get_ident(), threading.get_ident())


def test_a_failure_on_the_way_to_a_thread_comes_back() -> None:
    """A full disk that nobody hears of would let a scenario end well that did not."""

    async def failing() -> None:
        await asyncio.to_thread(_fail)

    with pytest.raises(OSError, match="no room"):
        run(failing())


def test_the_same_seed_does_the_same() -> None:
    """A failing seed that fails another time otherwise cannot be mended."""
    first, again, other = (run(_race(), seed=seed) for seed in (7, 7, 8))

    assert first == again
    assert first != other


def test_a_group_ends_its_tasks_in_the_order_in_which_they_began() -> None:
    """asyncio keeps tasks in sets: ordered by their places in memory, each run would end them in another order."""

    async def ended() -> list[int]:
        found: list[int] = []

        async def wait(number: int) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                found.append(number)

        with suppress(ExceptionGroup):
            async with asyncio.TaskGroup() as tasks:
                for number in range(50):
                    tasks.create_task(wait(number))
                await asyncio.sleep(1.0)
                raise ZeroDivisionError
        return found

    assert run(ended()) == list(range(50))


def test_what_is_left_behind_is_ended() -> None:
    """A task of one scenario that lives on would act in the next."""
    assert run(_leave_behind()) == ["cancelled"]


async def _leave_behind() -> list[str]:
    told: list[str] = []

    async def forgotten() -> None:
        try:
            await asyncio.sleep(A_DAY_S)
        except asyncio.CancelledError:
            told.append("cancelled")
            raise

    keep = asyncio.get_running_loop().create_task(forgotten())
    await asyncio.sleep(0.0)
    assert not keep.done()
    return told


async def _race() -> list[tuple[float, int]]:
    """What three tasks did that wait by chance."""
    done: list[tuple[float, int]] = []

    async def act(number: int) -> None:
        for _ in range(5):
            await asyncio.sleep(random.random())
            done.append((asyncio.get_running_loop().time(), number))

    async with asyncio.TaskGroup() as tasks:
        for number in range(3):
            tasks.create_task(act(number))
    return done


def _fail() -> None:
    raise OSError("no room")
