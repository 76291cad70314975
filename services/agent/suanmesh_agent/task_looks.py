"""How the tasks of a placement stand, all runs of each together."""

from __future__ import annotations

from collections.abc import Container

from suanmesh.scheduler.v1 import placement_pb2
from suanmesh_agent import wire
from suanmesh_agent.domain.endings import stopper
from suanmesh_agent.domain.retrying import Retrying, Runs, with_setup
from suanmesh_agent.domain.tasks import TaskKey, TaskLook, TaskState, setup_key
from suanmesh_agent.ports import Engine
from suanmesh_kernel.names import last

LOOK_AT_ONCE = 256
"""Tasks that are looked at together where it is not known how many have begun."""


def first_keys(placement: placement_pb2.Placement) -> list[TaskKey]:
    """The first run of each task, in their order."""
    name = last(placement.name)
    return [TaskKey(name, index) for index in range(max(1, placement.work.count))]


def all_keys(placement: placement_pb2.Placement) -> list[TaskKey]:
    """Every run that there may be, each task's together."""
    times = placement.work.retry.times
    return [TaskKey(key.placement, key.index, retry) for key in first_keys(placement) for retry in range(times + 1)]


def keys_to_end(placement: placement_pb2.Placement) -> list[TaskKey]:
    """Every run that there may be, the setup's with them."""
    setup = [setup_key(last(placement.name))] if placement.work.HasField("setup") else []
    return [*setup, *all_keys(placement)]


async def runs_of(
    engine: Engine, placement: placement_pb2.Placement, but: Container[int] = (), *, begun: bool = False
) -> dict[int, Runs]:
    """All runs of each task by its index, in the tasks' order, without those in `but`.

    With `begun` it looks as far as tasks have begun, which they do in their order.

    What has not been run again so often was not run again more often: of many tasks few are asked for twice.
    """
    keys = [key for key in first_keys(placement) if key.index not in but]
    found: dict[int, list[TaskLook]] = {}
    together = LOOK_AT_ONCE if begun else max(1, len(keys))
    for first in range(0, len(keys), together):
        some = keys[first : first + together]
        looks = await engine.inspect(some)
        found |= {key.index: [look] for key, look in zip(some, looks, strict=True)}
        if begun and all(look.state is TaskState.ABSENT for look in looks):
            break
    keys = keys[: len(found)]
    for _ in range(placement.work.retry.times):
        keys = [key.again() for key in keys if found[key.index][-1].state is not TaskState.ABSENT]
        if not keys:
            break
        for key, look in zip(keys, await engine.inspect(keys), strict=True):
            found[key.index].append(look)
    return {index: Runs.of(looks) for index, looks in found.items()}


async def newest_keys(engine: Engine, placement: placement_pb2.Placement) -> list[TaskKey]:
    """The newest run of each task."""
    name, runs = last(placement.name), await runs_of(engine, placement)
    return [TaskKey(name, index, run.retries) for index, run in runs.items()]


async def results(
    engine: Engine, placement: placement_pb2.Placement, *, over: bool, but: Container[int] = ()
) -> list[placement_pb2.TaskResult]:
    """What is reported of those that the engine has, without those in `but`; where the run is `over`, none is to be run
    again.
    """
    retrying, found = wire.retrying_of(placement), await runs_of(engine, placement, but, begun=not over)
    again = {index for index, run in found.items() if not over and _again(retrying, run)}
    stopped_by = None
    if not (placement.stop_requested or wire.work_from(placement).keep_going):
        stopped_by = stopper({index: run.newest for index, run in found.items() if index not in again})
    return [
        wire.result_to(index, run.newest, run.retries, again=index in again, stopped_by=stopped_by)
        for index, run in found.items()
        if run.newest.state is not TaskState.ABSENT
    ]


async def metered(
    engine: Engine, placement: placement_pb2.Placement, *, over: bool, but: Container[int] = ()
) -> list[tuple[int, TaskLook]]:
    """What is metered of each, without those in `but`, by its index; the last of one that is to be run again is still
    to come.

    What the setup has used is the first task's.
    """
    retrying = wire.retrying_of(placement)
    found = (await runs_of(engine, placement, but, begun=not over)).items()
    looks = [(index, run.metered(again=not over and _again(retrying, run))) for index, run in found]
    if placement.work.HasField("setup") and 0 not in but:
        (setup,) = await engine.inspect([setup_key(last(placement.name))])
        looks[0] = (0, with_setup(looks[0][1], setup, over=over))
    return looks


def _again(retrying: Retrying, run: Runs) -> bool:
    return retrying.pause_s(run.newest, run.retries) is not None
