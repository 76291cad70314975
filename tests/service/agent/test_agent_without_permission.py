"""A site that does not hear the mesh: what it runs is stopped, metered and told, and nothing of it is begun anew."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from suanmesh_agent.domain.stages import Stage
from suanmesh_agent.domain.tasks import TaskKey, TaskState
from suanmesh_agent.journal import Journal
from suanmesh_agent.task_run import until_over
from suanmesh_agent.testing import FakeSite, State, a_placement
from suanmesh_kernel.permission import STOP_S_MAX

NAME = "placements/p1"
KEY = TaskKey("p1", 0)
SLEEP = "import time; print('begun', flush=True); time.sleep(60)"


@pytest.fixture
def world(tmp_path: Path) -> FakeSite:
    return FakeSite(tmp_path)


async def test_an_agent_that_is_dead_takes_its_tasks_with_it(world: FakeSite) -> None:
    """Whoever kills an agent and not its tasks would have them run on beside those that take their place."""
    world.run_for_s = 4.0
    world.scheduler.put(a_placement(SLEEP))
    async with world.agent():
        permitted = time.time()
        await world.scheduler.reported(NAME, State.STATE_RUNNING)
    (look,) = await until_over(world.engine, [KEY])
    assert (look.state, look.failure) == (TaskState.ENDED, "FENCED")
    assert look.end_time is not None
    assert look.end_time.timestamp() - permitted < world.run_for_s + STOP_S_MAX

    async with world.agent():
        report = await world.scheduler.reported(NAME, State.STATE_LOST)
        record = await world.accounting.has(lambda record: record.final)
    assert report.reason.code == "FENCED"
    assert abs(record.end_time.ToNanoseconds() / 1e9 - look.end_time.timestamp()) < 0.5


async def test_a_task_waits_for_permission_and_for_word_that_it_is_wanted(world: FakeSite) -> None:
    """An agent that comes back after long must not begin what the mesh has given to another site meanwhile."""
    world.run_for_s = 0.0
    world.scheduler.put(a_placement("pass"))
    async with world.agent():
        await world.scheduler.reported(NAME, State.STATE_ACCEPTED)
        assert [look.state for look in await world.engine.inspect([KEY])] == [TaskState.ABSENT]
        reports = len(world.scheduler.reports)
        world.permission.renew(time.clock_gettime(time.CLOCK_BOOTTIME), 3600)
        await world.scheduler.reported(NAME, State.STATE_DELIVERING)
    asked = world.scheduler.reports[reports]
    assert asked.state == State.STATE_ACCEPTED, "it asks whether the placement still lives"


async def test_what_was_placed_elsewhere_meanwhile_is_not_begun(world: FakeSite) -> None:
    """The watch shows old news for a moment; a run that began on it would be the second of the same task."""
    put_down = asyncio.Event()

    class Told(Journal):
        async def commit(self, take: Callable[[], None]) -> None:
            await super().commit(take)
            if self.stage(NAME) is Stage.REPORTED:
                put_down.set()

    world.run_for_s = 0.0
    world.scheduler.put(a_placement("pass"))
    async with world.agent(Told):
        await world.scheduler.reported(NAME, State.STATE_ACCEPTED)
        world.scheduler.placements[NAME].state = State.STATE_LOST  # not told: the watch has not come to it
        world.permission.renew(time.clock_gettime(time.CLOCK_BOOTTIME), 3600)
        await put_down.wait()
        assert [look.state for look in await world.engine.inspect([KEY])] == [TaskState.ABSENT]
