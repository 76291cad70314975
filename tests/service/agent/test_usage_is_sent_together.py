"""Usage of tasks that go on is sent by the batch; whoever waits for the last record of a task has it at once."""

from __future__ import annotations

import asyncio
from pathlib import Path

from scenario.virtual_time import LoopClock, run

from suanmesh_agent.domain.metering import Allotment
from suanmesh_agent.domain.tasks import TaskLook, TaskState, Usage
from suanmesh_agent.fakes import FakeAccounting, PlainSigner
from suanmesh_agent.journal import Journal
from suanmesh_agent.meter import GATHER_S, Meter
from suanmesh_kernel.clock import seeded_rng

TASKS = 20


def test_tasks_that_go_on_share_a_call(tmp_path: Path) -> None:
    """A site of a thousand tasks that makes a call for each of them keeps its gateway busy with signatures."""

    async def scene() -> tuple[int, int, bool]:
        accounting, clock = FakeAccounting(), LoopClock()
        meter = Meter("sites/a", Journal(tmp_path / "agent.db"), accounting, PlainSigner(), clock, seeded_rng(1))
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(meter.run())
            for number in range(TASKS):
                await _looked_at(meter, number, clock, TaskState.RUNNING)
                await asyncio.sleep(GATHER_S / 2 / TASKS)
            await asyncio.sleep(GATHER_S)
            gathered = accounting.calls, len(accounting.stored)
            await _looked_at(meter, 0, clock, TaskState.ENDED)
            await asyncio.sleep(0.1)
            running.cancel()
        return *gathered, any(record.final for record in accounting.stored.values())

    assert run(scene()) == (1, TASKS, True)


async def _looked_at(meter: Meter, number: int, clock: LoopClock, state: TaskState) -> None:
    look = TaskLook(state, Usage(cpu_us=1000, elapsed_us=1000), start_time=clock.now())
    await meter.record_tasks(f"placements/p{number}", [(0, look)], Allotment(1, 0), traceparent="")
