"""What the tasks of a sweep differ in, said by as few values as it takes."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from suanmesh_sdk.parameters import parameter_of, spelled_out, value_of

VALUES = st.one_of(st.sampled_from(["a", "b", "01", "-0", "1", "2", "3", "-1", "\u0663"]), st.integers().map(str))


@given(st.lists(VALUES, min_size=1, max_size=24))
def test_every_task_finds_the_value_that_was_written_for_it(values: list[str]) -> None:
    """A task with the value of another one gives a result that nobody suspects."""
    made = parameter_of("X", values)
    assert [value_of(made, index) for index in range(len(values))] == values


@given(st.lists(VALUES, min_size=1, max_size=24))
def test_spelled_out_each_task_has_its_value_at_its_place(values: list[str]) -> None:
    """Agents of earlier versions look there."""
    (spelled,) = spelled_out([parameter_of("X", values)], len(values))
    assert (list(spelled.values), spelled.each, spelled.HasField("range")) == (values, 0, False)


@given(st.lists(st.lists(VALUES, min_size=1, max_size=5, unique=True), min_size=1, max_size=4))
def test_a_sweep_is_no_longer_than_its_axes(axes: list[list[str]]) -> None:
    """A job has room for so many bytes: the combinations of a sweep would fill it soon."""
    columns = zip(*itertools.product(*axes), strict=True)
    for axis, column in zip(axes, columns, strict=True):
        made = parameter_of("X", column)
        assert len(made.values) <= len(axis)
        assert [value_of(made, index) for index in range(len(column))] == list(column)


def test_ten_thousand_seeds_take_a_few_bytes() -> None:
    """It is the array that most have."""
    made = parameter_of("SEED", [str(seed) for seed in range(1, 10_001)])
    assert made.ByteSize() < 32
    assert (value_of(made, 0), value_of(made, 9_999)) == ("1", "10000")
