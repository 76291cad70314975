"""How the tasks of a placement stand, all runs of each together."""

from __future__ import annotations

from suanmesh.scheduler.v1 import placement_pb2
from suanmesh_agent import wire
from suanmesh_agent.domain.retrying import Retrying, Runs, with_setup
from suanmesh_agent.domain.tasks import TaskKey, TaskLook, TaskState, setup_key
from suanmesh_agent.ports import Engine
from suanmesh_kernel.names import last


def first_keys(placement: placement_pb2.Placement) -> list[TaskKey]:
    """The first run of each task, in their order."""
    return [TaskKey(last(placement.name), index) for index in range(max(1, placement.work.count))]


def all_keys(placement: placement_pb2.Placement) -> list[TaskKey]:
    """Every run that there may be, each task's together."""
    times = placement.work.retry.times
    return [TaskKey(key.placement, key.index, retry) for key in first_keys(placement) for retry in range(times + 1)]


def keys_to_end(placement: placement_pb2.Placement) -> list[TaskKey]:
    """Every run that there may be, the setup's with them."""
    setup = [setup_key(last(placement.name))] if placement.work.HasField("setup") else []
    return [*setup, *all_keys(placement)]


async def runs_of(engine: Engine, placement: placement_pb2.Placement) -> list[Runs]:
    """All runs of each task, in the tasks' order."""
    looks = await engine.inspect(all_keys(placement))
    each = placement.work.retry.times + 1
    return [Runs.of(looks[begin : begin + each]) for begin in range(0, len(looks), each)]


async def newest_keys(engine: Engine, placement: placement_pb2.Placement) -> list[TaskKey]:
    """The newest run of each task."""
    runs = await runs_of(engine, placement)
    return [
        TaskKey(key.placement, key.index, run.retries) for key, run in zip(first_keys(placement), runs, strict=True)
    ]


async def results(engine: Engine, placement: placement_pb2.Placement, *, over: bool) -> list[placement_pb2.TaskResult]:
    """What is reported of those that the engine has; where the run is `over`, none is to be run again."""
    retrying = wire.retrying_of(placement)
    return [
        wire.result_to(index, run.newest, run.retries, again=not over and _again(retrying, run))
        for index, run in enumerate(await runs_of(engine, placement))
        if run.newest.state is not TaskState.ABSENT
    ]


async def metered(engine: Engine, placement: placement_pb2.Placement, *, over: bool) -> list[tuple[int, TaskLook]]:
    """What is metered of each, by its index; the last of one that is to be run again is still to come.

    What the setup has used is the first task's.
    """
    retrying = wire.retrying_of(placement)
    found = enumerate(await runs_of(engine, placement))
    looks = [(index, run.metered(again=not over and _again(retrying, run))) for index, run in found]
    if placement.work.HasField("setup"):
        (setup,) = await engine.inspect([setup_key(last(placement.name))])
        looks[0] = (0, with_setup(looks[0][1], setup, over=over))
    return looks


def _again(retrying: Retrying, run: Runs) -> bool:
    return retrying.pause_s(run.newest, run.retries) is not None
