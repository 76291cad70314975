"""The names of tasks' folders within a dataset."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suanmesh.scheduler.v1.job_pb2 import NumberRange, Parameter
from suanmesh_sdk.result_folders import ResultFolders

LR = Parameter(name="LR", values=["0.1", "0.01"], each=3)
SEED = Parameter(name="SEED", range=NumberRange(first=1, step=1, count=3))


def named(template: str, *parameters: Parameter) -> ResultFolders:
    return ResultFolders(template, parameters, job="sweep", attempt=2)


def test_results_are_found_by_what_they_are_of() -> None:
    """Nobody knows by heart what the parameters of task 4 were."""
    assert [named("").of(task) for task in (0, 11)] == ["task-0", "task-11"]
    assert named("lr={lr},seed={SEED}", LR, SEED).of(4) == "lr=0.01,seed=2"
    assert named("{job}--{attempt}--{task}").of(7) == "sweep--2--7"
    assert named("lr={lr},seed={seed}", LR, SEED).problem(6) == ""


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("{lr}-{epoch}", "has {epoch}, which stands for nothing; there are {attempt}, {job}, {task}, {lr}, {seed}"),
        ("{lr", "has a brace that belongs to no placeholder"),
        ("{}", "has a brace that belongs to no placeholder"),
        ("lr={lr}", "gives tasks 0 and 1 the same 'lr=0.1'; {task} tells them apart"),
        ("all", "gives tasks 0 and 1 the same 'all'"),
        ("a/{task}", "gives task 0 'a/0', which has a slash"),
        ("a\t{task}", "which has a control or invisible character"),
        ("实验\u202e{task}", "which has a control or invisible character"),
        ("x" * 128 + "{task}", "which is longer than 128 bytes"),
    ],
)
def test_a_template_that_would_lose_results_is_refused(template: str, problem: str) -> None:
    """A collision that shows at the end has cost the whole sweep."""
    assert problem in named(template, LR, SEED).problem(6)
    assert named("实验-{task}").problem(6) == ""


@pytest.mark.parametrize("value", ["", "..", "."])
def test_a_value_that_is_no_name_is_refused(value: str) -> None:
    """What is written upwards would lie among other tasks' results."""
    assert "is no name" in named("{x}", Parameter(name="X", values=["a", value])).problem(2)


@given(
    st.lists(st.text(max_size=3), min_size=1, max_size=3, unique=True),
    st.lists(st.text(max_size=3), min_size=1, max_size=3, unique=True),
    st.lists(st.sampled_from(["{a}", "{b}", "{task}", "-", "1"]), max_size=4).map("".join),
)
def test_every_task_has_a_folder_of_its_own(one: list[str], other: list[str], template: str) -> None:
    """Whatever stands in a sweep: what is accepted keeps all results apart, and none of them leads elsewhere."""
    count = len(one) * len(other)
    parameters = Parameter(name="A", values=one, each=len(other)), Parameter(name="B", values=other)
    folders = named(template, *parameters)
    if not folders.problem(count):
        names = [folders.of(task) for task in range(count)]
        assert len(set(names)) == count
        assert not any("/" in name or name in ("", ".", "..") for name in names)
