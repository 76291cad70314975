"""The engine without processes: scenarios replay on it, so that the same calls must give the same events."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from hypothesis import given
from hypothesis import strategies as st

from suanmesh_agent.domain.endings import FENCED
from suanmesh_agent.domain.tasks import TaskKey, TaskSpec, TaskState
from suanmesh_agent.engines.memory import MemoryEngine
from suanmesh_kernel.clock import HandClock

KEY = TaskKey("p", 0)


def a_task(*words: str, index: int = 0, **fields: int) -> TaskSpec:
    return TaskSpec(TaskKey("p", index), ("simulate", *words), **fields)


async def test_a_task_takes_the_time_that_its_script_says() -> None:
    """Money and capacity of a simulated hour are checked to the microsecond."""
    clock = HandClock()
    engine, begin = MemoryEngine(clock), clock.now()
    await engine.submit([a_task("seconds=90", "exit=3", "cpu_milli=500")])
    clock.advance(60)
    (look,) = await engine.inspect([KEY])
    assert (look.state, look.usage.elapsed_us, look.usage.cpu_us) == (TaskState.RUNNING, 60_000_000, 30_000_000)
    clock.advance(60)
    (look,) = await engine.inspect([KEY])
    assert (look.exit_status, look.usage.elapsed_us, look.usage.cpu_us) == (3, 90_000_000, 45_000_000)
    assert look.end_time is not None
    assert (look.end_time - begin).total_seconds() == 90


async def test_a_site_without_permission_runs_nothing() -> None:
    """A partitioned site whose tasks went on would hide the very double run that scenarios look for."""
    clock, until = HandClock(), [100.0]
    engine = MemoryEngine(clock, permitted_until=lambda: until[0])
    await engine.submit([a_task("seconds=300")])
    clock.advance(90)
    until[0] = 200.0
    clock.advance(60)
    assert (await engine.inspect([KEY]))[0].state is TaskState.RUNNING
    clock.advance(100)
    (look,) = await engine.inspect([KEY])
    assert (look.failure, look.usage.elapsed_us) == (FENCED, 200_000_000)
    await engine.submit([a_task("seconds=1", index=1)])
    assert (await engine.inspect([TaskKey("p", 1)]))[0].failure == FENCED


async def test_what_cannot_be_started_says_why() -> None:
    """A misspelt script that ended well would prove nothing."""
    engine = MemoryEngine(HandClock())
    refused, misspelt = await engine.submit([a_task("refuse=no disk"), a_task("second=1", index=1)])
    assert (str(refused), refused and refused.by_job, engine.start_fault) == ("no disk", False, "no disk")
    assert misspelt is not None
    assert misspelt.by_job


async def test_a_lost_task_is_told() -> None:
    """The loss of a host in the middle of a run is a fault like others."""
    clock = HandClock()
    engine = MemoryEngine(clock)
    await engine.submit([a_task("seconds=10")])
    clock.advance(4)
    async with aclosing(engine.watch("p")) as batches:
        await anext(batches)
        engine.lose([KEY])
        (event,) = await anext(batches)
    assert (event.look.state, event.look.usage.elapsed_us) == (TaskState.LOST, 4_000_000)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 9)), max_size=20), st.integers(0, 60))
def test_ends_come_in_the_order_of_time_and_then_of_tasks(tasks: list[tuple[int, int]], passed_s: int) -> None:
    """Two runs of one seed must be the same to the last event."""

    async def ends() -> list[tuple[int, int | None]]:
        clock = HandClock()
        engine = MemoryEngine(clock)
        specs = [a_task(f"seconds={seconds}", f"exit={code}", index=i) for i, (seconds, code) in enumerate(tasks)]
        await engine.submit(specs)
        async with aclosing(engine.watch("p")) as batches:
            found = [event for event in await anext(batches) if event.look.over]
            clock.advance(passed_s)
            engine.settle()
            if any(0 < seconds <= passed_s for seconds, _ in tasks):
                found += await anext(batches)
        return [(event.key.index, event.look.exit_status) for event in found]

    due = sorted((seconds, index) for index, (seconds, _) in enumerate(tasks) if seconds <= passed_s)
    assert asyncio.run(ends()) == [(index, tasks[index][1]) for _, index in due]
