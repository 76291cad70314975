"""Placements as agents are told of them, those of earlier versions too."""

from __future__ import annotations

import pytest

from suanmesh.scheduler.v1 import job_pb2, placement_pb2
from suanmesh_scheduler.wire import TASKS_SPELLED_MAX, told_to_site
from suanmesh_sdk.parameters import parameter_of


def placement(*columns: list[str]) -> placement_pb2.Placement:
    """One whose tasks differ in these."""
    parameters = [parameter_of(f"P{number}", column) for number, column in enumerate(columns)]
    work = placement_pb2.Work(count=len(columns[0]), max_duration_s=60, parameters=parameters)
    return placement_pb2.Placement(name="placements/p", work=work)


def as_earlier_versions_read(work: placement_pb2.Work, index: int) -> list[str]:
    """The values of a task for an agent that knows of no shorter form."""
    return [each.values[index] for each in work.parameters]


def test_an_agent_of_an_earlier_version_finds_the_values_of_each_task() -> None:
    """In the midst of an upgrade sweeps would run with values missing, and end well."""
    columns = [["0.1", "0.1", "0.2", "0.2"], ["1", "2"] * 2, [str(n) for n in range(4)]]
    stored = placement(*columns)
    told = told_to_site(stored)
    assert [as_earlier_versions_read(told.work, at) for at in range(4)] == [
        list(task) for task in zip(*columns, strict=True)
    ]
    assert (told.name, told.work.max_duration_s) == (stored.name, stored.work.max_duration_s)


@pytest.mark.parametrize("count", [TASKS_SPELLED_MAX, TASKS_SPELLED_MAX + 1])
def test_what_no_earlier_version_ran_stays_short(count: int) -> None:
    """A message to an agent has a hundred placements: each as long as a document, whatever it says."""
    told = told_to_site(placement([f"{number:012d}" for number in range(count)], ["x"] * count))
    assert told.ByteSize() < 64 * 1024
    numbers = told_to_site(placement([str(number) for number in range(count)]))
    assert numbers.work.parameters[0].HasField("range") == (count > TASKS_SPELLED_MAX)


def test_what_is_told_task_by_task_already_is_told_as_it_is() -> None:
    """Most jobs are: they are not copied."""
    alone = placement_pb2.Placement(work=placement_pb2.Work(parameters=[job_pb2.Parameter(name="A", values=["1"])]))
    assert told_to_site(alone) is alone
