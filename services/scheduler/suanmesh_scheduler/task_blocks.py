"""What became of the tasks of a placement that has no room for all of it: in records of some tasks each, beside it.

A report tells of the few that have changed; only the blocks that these are in are read and written for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from suanmesh.scheduler.v1 import placement_pb2

Result = placement_pb2.TaskResult
TASKS_A_BLOCK = 250
TOLD_IN_PLACEMENT_MAX = 100
"""Of more tasks all results are kept beside the placement, whether it has room for them or not."""


def copy_of(result: Result) -> Result:
    """One that stays when the message it is of changes."""
    copied = Result()
    copied.CopyFrom(result)
    return copied


def block_of(placement: str, index: int) -> str:
    """The name of the record that a task's result is in; the first has that of the placement."""
    number = index // TASKS_A_BLOCK
    return f"{placement}/{number}" if number else placement


def blocks_of(placement: placement_pb2.Placement) -> list[str]:
    """The names of all records that it may have, in the order of its tasks."""
    return [block_of(placement.name, first) for first in range(0, max(1, placement.work.count), TASKS_A_BLOCK)]


def joined(blocks: Iterable[placement_pb2.TaskResults]) -> dict[int, Result]:
    """The results of blocks by their tasks. What an earlier version kept all in the first gives way to the others."""
    return {result.index: result for block in blocks for result in block.tasks}


def with_changes(
    placement: str, changed: Mapping[int, Result], kept: Mapping[str, placement_pb2.TaskResults]
) -> dict[str, placement_pb2.TaskResults]:
    """The blocks that are to be written, by name, for what has changed; `kept` are those that there are of them."""
    merged: dict[str, dict[int, Result]] = {}
    for index, result in sorted(changed.items()):
        name = block_of(placement, index)
        if name not in merged:
            merged[name] = joined([kept[name]] if name in kept else [])
        merged[name][index] = result
    written = {
        name: placement_pb2.TaskResults(tasks=[results[index] for index in sorted(results)])
        for name, results in merged.items()
    }
    return {name: block for name, block in written.items() if block != kept.get(name)}
