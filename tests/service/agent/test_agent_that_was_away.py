"""An agent that was away for longer than the mesh waits: what ran to its end is handed over, the rest is stopped."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from suanmesh_agent.domain.stages import Stage
from suanmesh_agent.journal import Journal
from suanmesh_agent.testing import FakeSite, State, a_placement
from suanmesh_kernel.reasons import StateReason
from suanmesh_sdk.state_reasons import reason_from

NAME = "placements/p1"
CODE = "open('out/answer', 'w').write('42')"


@pytest.fixture
def world(tmp_path: Path) -> FakeSite:
    return FakeSite(tmp_path)


async def killed_before(world: FakeSite, stage: Stage) -> None:
    """An agent's life until it would write down `stage`: what led to it has been done, and is not known."""
    reached = asyncio.Event()

    class Mortal(Journal):
        def go_on(self, name: str, to: Stage) -> None:
            if to is stage:
                reached.set()
                raise asyncio.CancelledError
            super().go_on(name, to)

    async with world.agent(Mortal):
        await reached.wait()


async def lost_at_its_end(world: FakeSite, stage: Stage, code: str = CODE) -> None:
    """A placement whose tasks are over, whose agent has died before it wrote down `stage`, and whose site is lost."""
    world.scheduler.put(a_placement(code))
    await killed_before(world, stage)
    world.scheduler.reports.clear()
    world.scheduler.end(NAME, State.STATE_LOST)


@pytest.mark.parametrize("stage", [Stage.METERED, Stage.REPORTED], ids=str)
async def test_what_ended_well_is_handed_over(world: FakeSite, stage: Stage) -> None:
    """The run is charged; that its agent was away for half a minute should not cost its results."""
    await lost_at_its_end(world, stage)
    async with world.agent() as journal:
        report = await world.scheduler.reported(NAME, State.STATE_DELIVERING)
        assert list(report.output_datasets) == ["datasets/j1-result", "datasets/j1-log"]
        assert journal.placements(), "it is carried until its results have arrived"
        world.scheduler.end(NAME, State.STATE_DONE)
        await world.cleared_up()
        assert not journal.placements()
    assert [record.final for record in world.accounting.records.values()].count(True) == 1


async def test_what_failed_by_itself_says_so(world: FakeSite) -> None:
    """Its user would read that the site was lost, and try the same again."""
    await lost_at_its_end(world, Stage.METERED, "raise SystemExit(3)")
    async with world.agent():
        report = await world.scheduler.reported(NAME, State.STATE_FAILED)
    assert reason_from(report.reason) == StateReason("EXIT_STATUS", {"task": "0", "exit_status": "3"})


@pytest.mark.parametrize("named", [True, False], ids=["shown", "not shown"])
async def test_what_was_placed_elsewhere_is_let_go(world: FakeSite, named: bool) -> None:
    """Two runs of one job would both deliver."""
    await lost_at_its_end(world, Stage.METERED)
    if named:
        world.scheduler.placements[NAME].replaced_by = "placements/p2"
    else:
        world.scheduler.placements[NAME].state = State.STATE_CANCELLED
    async with world.agent() as journal:
        await world.cleared_up()
        assert not journal.placements()
    assert [report.state for report in world.scheduler.reports if report.state == State.STATE_DELIVERING] == []


async def test_what_still_runs_is_stopped_and_told_as_lost(world: FakeSite) -> None:
    """The mesh may have placed it elsewhere by now, and must not wait for what will not come."""
    world.scheduler.put(a_placement("import time; time.sleep(60)"))
    async with world.agent():
        await world.scheduler.reported(NAME, State.STATE_RUNNING)
        world.scheduler.end(NAME, State.STATE_LOST)
        report = await world.scheduler.reported(NAME, State.STATE_LOST)
        assert world.engine.running() == []
    assert report.reason.code == "FENCED"
