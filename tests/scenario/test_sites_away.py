"""A site whose agent is away for longer than the mesh waits: what it has run is delivered, and charged once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from scenario.clients import simulated_job
from scenario.node import SimulatedNode
from scenario.virtual_time import run
from suanmesh.accounting.v1 import accounting_service_pb2 as accounting
from suanmesh.accounting.v1 import usage_pb2
from suanmesh.scheduler.v1 import job_pb2, placement_pb2
from suanmesh.scheduler.v1 import scheduler_service_pb2 as scheduler
from suanmesh_local import trials, world

TASK_S = 20.0
"""Shorter than a site may run without hearing the mesh: it ends well while its agent is away."""
HOME = "sites/guiyang"
"""The cheapest."""
J = job_pb2.Job


class Seen(NamedTuple):
    """What became of one job whose site was away."""

    job: job_pb2.Job
    placements: list[placement_pb2.Placement]
    holds: list[usage_pb2.Hold]
    runs: int


Scene = Callable[[SimulatedNode], Awaitable[Seen]]
Play = Callable[[Scene], Seen]


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Plays a scene at a node on virtual time."""

    def played(scene: Scene) -> Seen:
        async def within() -> Seen:
            async with SimulatedNode(tmp_path, seed=1) as node:
                seen = await scene(node)
                assert (node.faults, node.findings.violations) == ([], [])
                return seen

        return run(within(), seed=1)

    return played


def away(
    seconds: float, at_s: float, *, max_attempts: int, only_here: bool, task_s: float = TASK_S, deliver: str = ""
) -> Scene:
    """A job that runs at `HOME`, whose agent is killed `at_s` after it was submitted and comes back `seconds` later."""

    async def scene(node: SimulatedNode) -> Seen:
        user = node.mesh(world.CONSUMER, "alice")
        described = simulated_job(task_s, outputs=["result"])
        described.max_attempts = max_attempts
        described.outputs[0].deliver_to = deliver
        described.constraints.allow_sites.extend([HOME] if only_here else [])
        name = await trials.submit(user, "away", described)
        await asyncio.sleep(at_s)
        site = node.sites[HOME.removeprefix("sites/")]
        await site.kill()
        await asyncio.sleep(seconds)
        site.start()
        job = await trials.ended(user, name)
        await asyncio.sleep(120.0)
        holds = (await user.accounting.ListHolds(accounting.ListHoldsRequest())).holds
        placed = [
            await user.scheduler.GetPlacement(scheduler.GetPlacementRequest(name=hold.placement)) for hold in holds
        ]
        runs = sum(len(each.engine.runs) for each in node.sites.values())
        return Seen(job, placed, list(holds), runs)

    return scene


@pytest.mark.parametrize("seconds", [5.0, 35.0, 45.0, 300.0])
@pytest.mark.parametrize("max_attempts", [1, 2])
def test_a_run_that_ended_well_is_delivered_when_its_site_is_back(
    play: Play, seconds: float, max_attempts: int
) -> None:
    """It was run and is charged: whoever asked for it would pay for nothing, or twice."""
    seen = play(away(seconds, 3.0, max_attempts=max_attempts, only_here=True))

    assert J.State.Name(seen.job.state) == "STATE_DONE"
    assert (len(seen.placements), seen.runs, seen.job.attempt) == (1, 1, 1)
    assert list(seen.job.output_datasets)
    assert seen.holds[0].state == usage_pb2.Hold.STATE_RELEASED
    assert seen.holds[0].charged_micros > 0


@pytest.mark.parametrize("seconds", [45.0, 300.0])
def test_a_job_that_was_placed_elsewhere_ends_there(play: Play, seconds: float) -> None:
    """A late result beside another run's would be a second answer to one question."""
    seen = play(away(seconds, 3.0, max_attempts=2, only_here=False))

    assert J.State.Name(seen.job.state) == "STATE_DONE"
    assert [placement_pb2.Placement.State.Name(each.state) for each in seen.placements] == ["STATE_LOST", "STATE_DONE"]
    first, last = seen.placements
    assert (first.replaced_by, seen.job.placement, seen.runs) == (last.name, last.name, 2)


@pytest.mark.parametrize("seconds", [45.0, 300.0])
def test_what_could_not_end_is_run_again_where_there_is_an_attempt(play: Play, seconds: float) -> None:
    """Its site stopped it when it was not heard; it may be tried there again."""
    seen = play(away(seconds, 3.0, max_attempts=2, only_here=True, task_s=60.0))

    assert J.State.Name(seen.job.state) == "STATE_DONE"
    assert (len(seen.placements), seen.runs, seen.job.attempt) == (2, 2, 2)


def test_what_could_not_end_fails_as_soon_as_its_site_says_so(play: Play) -> None:
    """Its user would wait for ten minutes."""
    seen = play(away(45.0, 3.0, max_attempts=1, only_here=True, task_s=60.0))

    assert (J.State.Name(seen.job.state), seen.job.state_reason.code) == ("STATE_FAILED", "FENCED")
