"""Names made of others."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from suanmesh_kernel.names import ID_PATTERN, output_dataset_id

job_ids = st.text("a1-", min_size=1, max_size=9).filter(ID_PATTERN.fullmatch)
output_ids = st.text("a1", min_size=1, max_size=4)
attempts = st.integers(0, 11)
outputs = st.tuples(job_ids, output_ids, attempts)


@given(outputs, outputs)
def test_no_two_outputs_become_one_dataset(one: tuple[str, str, int], other: tuple[str, str, int]) -> None:
    """One job's result would be refused, or taken for another's, because of how people call their jobs."""
    assert (output_dataset_id(*one) == output_dataset_id(*other)) is (one == other)


@given(outputs)
def test_what_an_output_becomes_is_a_name(made: tuple[str, str, int]) -> None:
    """A run that was paid for would fail only when its result is to be published."""
    assert ID_PATTERN.fullmatch(output_dataset_id(*made))
