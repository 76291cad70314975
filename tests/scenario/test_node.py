"""A whole node on virtual time: a job goes its way from submit to charge, and the same seed does the same."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from scenario.clients import simulated_job
from scenario.node import SimulatedNode
from scenario.virtual_time import run
from suanmesh.accounting.v1 import accounting_service_pb2 as accounting
from suanmesh.accounting.v1 import usage_pb2
from suanmesh.scheduler.v1 import job_pb2
from suanmesh_local import trials, world
from suanmesh_store.keyspace import Events

R = TypeVar("R")
TASK_S = 20
DONE_S_MAX = 30.0
"""Within which a task of 20 s is run, delivered and charged where nothing is in its way."""

Play = Callable[[Callable[[SimulatedNode], Awaitable[R]]], R]


def a_job() -> job_pb2.Job:
    """A job of one task that leaves a result."""
    return simulated_job(TASK_S, outputs=["result"])


@pytest.fixture
def play(tmp_path: Path) -> Play[R]:
    """Plays a scene at a node on virtual time, each in a folder of its own."""
    folders = iter(range(100))

    def played(scene: Callable[[SimulatedNode], Awaitable[R]]) -> R:
        async def within() -> R:
            folder = tmp_path / str(next(folders))
            folder.mkdir()
            async with SimulatedNode(folder, seed=1) as node:
                found = await scene(node)
                assert node.faults == []
                return found

        return run(within(), seed=1)

    return played


def test_a_job_is_run_delivered_and_charged(play: Play[tuple[job_pb2.Job, float, usage_pb2.Hold]]) -> None:
    """A simulated node that does less than a real one would show nothing."""

    async def scene(node: SimulatedNode) -> tuple[job_pb2.Job, float, usage_pb2.Hold]:
        user = node.mesh(world.CONSUMER, "alice")
        begun_s = node.clock.monotonic()
        name = await trials.submit(user, "one", a_job())
        job = await trials.ended(user, name)
        took_s = node.clock.monotonic() - begun_s
        await asyncio.sleep(10.0)
        holds = await user.accounting.ListHolds(accounting.ListHoldsRequest())
        return job, took_s, holds.holds[0]

    job, took_s, hold = play(scene)

    assert job.state == job_pb2.Job.STATE_DONE
    assert list(job.output_datasets)
    assert TASK_S < took_s < DONE_S_MAX
    assert hold.state == usage_pb2.Hold.STATE_RELEASED
    assert 0 < hold.charged_micros <= hold.amount_micros


def test_a_scheduler_that_is_killed_loses_no_job(play: Play[list[str]]) -> None:
    """What a user was told is accepted is done, whoever dies meanwhile."""

    async def scene(node: SimulatedNode) -> list[str]:
        user = node.mesh(world.CONSUMER, "alice")
        names = [await trials.submit(user, f"j{number}", a_job()) for number in range(5)]
        await asyncio.sleep(TASK_S / 2)
        await node.services["scheduler"].kill()
        await asyncio.sleep(3.0)
        node.services["scheduler"].start()
        return [job_pb2.Job.State.Name((await trials.ended(user, name)).state) for name in names]

    assert play(scene) == ["STATE_DONE"] * 5


def test_the_same_seed_writes_the_same_history(play: Play[tuple[int, str]]) -> None:
    """A fault that comes again only sometimes cannot be mended."""

    async def scene(node: SimulatedNode) -> tuple[int, str]:
        history = hashlib.sha256()
        revisions = 0

        async def note() -> None:
            nonlocal revisions
            async for events in node.keys.watch("/", 0):
                revisions += 1
                history.update(_told(node, events).encode())

        noting = asyncio.get_running_loop().create_task(note())
        user = node.mesh(world.CONSUMER, "alice")
        for number in range(5):
            await trials.submit(user, f"j{number}", a_job())
        await trials.ended(user, "jobs/j4")
        noting.cancel()
        return revisions, history.hexdigest()

    first, again = play(scene), play(scene)

    assert first[0] > 50
    assert first == again


def _told(node: SimulatedNode, events: Events) -> str:
    """What was written when; of the values, which hold keys that are made anew, only how long they are."""
    changes = [f"{key} {'' if entry is None else entry.lease}" for key, entry in events.changes]
    return f"{node.clock.monotonic()} {events.revision} {changes}\n"
