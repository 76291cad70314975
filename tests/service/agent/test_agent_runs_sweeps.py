"""Jobs of several tasks at a site: what is run again, what is delivered, and what cannot be started."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from suanmesh.scheduler.v1.placement_pb2 import TaskResult
from suanmesh.scheduler.v1.scheduler_service_pb2 import TaskReport
from suanmesh_agent.domain.tasks import TaskKey
from suanmesh_agent.testing import FakeSite, State, a_placement
from suanmesh_sdk.state_reasons import reason_from

NAME = "placements/p1"


@pytest.fixture
def world(tmp_path: Path) -> FakeSite:
    return FakeSite(tmp_path)


def told(report: TaskReport) -> str:
    return str(reason_from(report.reason))


async def test_a_task_that_failed_is_run_again_alone(world: FakeSite) -> None:
    """A server that was down for a minute costs one task a minute, and its job nothing else."""
    code = (
        "import os; n, retry = os.environ['SUANMESH_TASK_INDEX'], int(os.environ['SUANMESH_RETRY'])\n"
        "assert not os.listdir('out'); open('out/n', 'w').write(f'{n} {retry}'); print('run', retry)\n"
        "raise SystemExit(75 if n == '1' and retry < 2 else 0)"
    )
    placement = a_placement(code, count=3)
    placement.legs.add(pool="sites/a/pools/cpu").hosts.add(host="h", tasks=1)
    placement.work.retry.times, placement.work.retry.exit_statuses[:] = 2, [75]
    world.scheduler.put(placement)
    async with world.agent():
        report = await world.scheduler.reported(NAME, State.STATE_DELIVERING)
        made = world.replicas.files(world.transport.datasets["datasets/j1-result"].digest)
        logs = world.replicas.files(world.transport.datasets["datasets/j1-log"].digest)
        results = {path.parent.name: path.read_text() for path in made.rglob("n")}
        said = {path.name: path.read_text() for path in logs.iterdir()}
    assert [(task.exit_status, task.retries, task.state) for task in report.tasks] == [
        (0, retries, TaskResult.STATE_DONE) for retries in (0, 2, 0)
    ]
    assert results == {"task-0": "0 0", "task-1": "1 2", "task-2": "2 0"}
    assert (said["task-1.log"], said["task-1.0.log"], said["task-1.1.log"]) == ("run 2\n", "run 0\n", "run 1\n")


async def test_what_ended_well_before_a_cancel_is_delivered(world: FakeSite) -> None:
    """Half a sweep is stopped because its first half has told enough: that half was paid for."""
    code = (
        "import os, time; n = os.environ['SUANMESH_TASK_INDEX']\n"
        "open('out/n', 'w').write(n)\n"
        "if n == '1': time.sleep(600)"
    )
    placement = a_placement(code, count=3)
    placement.legs.add(pool="sites/a/pools/cpu").hosts.add(host="h", tasks=1)
    world.scheduler.put(placement)
    async with world.agent():
        second = TaskKey("p1", 1)
        while not (await world.engine.inspect([second]))[0].start_time:  # noqa: ASYNC110 - a process
            await asyncio.sleep(0.01)
        world.scheduler.request_stop(NAME)
        report = await world.scheduler.reported(NAME, State.STATE_CANCELLED)
        made = world.replicas.files(world.transport.datasets["datasets/j1-result"].digest)
        assert [path.relative_to(made).as_posix() for path in made.rglob("n")] == ["task-0/n"]
    assert list(report.output_datasets) == ["datasets/j1-result", "datasets/j1-log"]


async def test_what_ended_well_before_a_failure_is_delivered(world: FakeSite) -> None:
    """Results that were paid for and lie there whole are no worse for what another task did."""
    code = (
        "import os; n = os.environ['SUANMESH_TASK_INDEX']\n"
        "if n == '2': os.rmdir('out'); raise SystemExit(7)\n"
        "open('out/n', 'w').write(n)"
    )
    placement = a_placement(code, count=4)
    placement.legs.add(pool="sites/a/pools/cpu").hosts.add(host="h", tasks=1)
    world.scheduler.put(placement)
    async with world.agent():
        report = await world.scheduler.reported(NAME, State.STATE_DELIVERING)
        made = world.replicas.files(world.transport.datasets["datasets/j1-result"].digest)
        results = {path.parent.name: path.read_text() for path in made.rglob("n")}
    assert told(report) == "EXIT_STATUS (exit_status 7, failed 1, task 2, tasks 4)"
    assert results == {"task-0": "0", "task-1": "1"}


async def test_a_failed_run_is_told_of_though_its_results_are_no_data(world: FakeSite) -> None:
    """Who reads that an output is missing looks there, and not at the task that failed."""
    code = "import os; n = os.environ['SUANMESH_TASK_INDEX']; os.rmdir('out'); raise SystemExit(n == '1')"
    placement = a_placement(code, count=2)
    placement.legs.add(pool="sites/a/pools/cpu").hosts.add(host="h", tasks=1)
    world.scheduler.put(placement)
    async with world.agent():
        report = await world.scheduler.reported(NAME, State.STATE_FAILED)
    assert told(report) == "EXIT_STATUS (exit_status 1, failed 1, task 1, tasks 2)"


async def test_a_command_that_is_not_there_is_told_as_such(world: FakeSite) -> None:
    """ "Exit status 1" of a program that never ran sends its owner to look for a defect in it."""
    placement = a_placement("pass")
    placement.work.variant.command[:] = ["./train.sh"]
    world.scheduler.put(placement)
    async with world.agent():
        report = await world.scheduler.reported(NAME, State.STATE_FAILED)
    assert told(report) == "COMMAND_NOT_FOUND (exit_status 127, task 0)"


async def test_a_script_of_the_job_is_executable_as_it_was(world: FakeSite) -> None:
    """A script that may be run here and not there fails only after it was paid for."""
    placement = a_placement("pass")
    placement.work.variant.command[:] = ["./run.sh"]
    placement.work.variant.artefacts.add(path="run.sh", content=b"#!/bin/sh\necho $0 > out/name\n", executable=True)
    world.scheduler.put(placement)
    async with world.agent():
        await world.scheduler.reported(NAME, State.STATE_DELIVERING)
        made = world.replicas.files(world.transport.datasets["datasets/j1-result"].digest)
        assert (made / "name").read_text() == "./run.sh\n"
