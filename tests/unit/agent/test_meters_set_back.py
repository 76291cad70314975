"""What a meter has still to tell the mesh, whichever of the two knows more."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suanmesh_agent.domain.metering import Amounts, MeterMark, set_back, squared

AMOUNTS = st.builds(Amounts, *[st.integers(0, 10**9)] * 3)
MARKS = st.builds(MeterMark, AMOUNTS, st.integers(0, 10**12), st.booleans())


@given(mark=MARKS, charged=MARKS | st.none())
def test_what_is_told_makes_up_the_difference_and_nothing_more(mark: MeterMark, charged: MeterMark | None) -> None:
    """A site must lose nothing it measured, and a user pay nothing twice."""
    after, due = squared(mark, charged, begun_ns=0)
    before = charged.amounts if charged else Amounts()
    told = due.amounts if due else Amounts()
    assert before.plus(told) == mark.amounts.most(before) == after.amounts
    assert not (due and due.final and charged and charged.final)
    assert after.final == (mark.final or bool(charged and charged.final))
    assert due is None or due.start_ns <= after.end_ns
    # What has been squared once has nothing more to tell.
    assert squared(after, MeterMark(before.plus(told), after.end_ns, after.final), 0)[1] is None


@pytest.mark.parametrize(
    ("sequence", "last_epoch", "last_sequence", "expected"),
    [
        (5, "a", 5, False),
        (5, "a", 3, False),  # two are on their way
        (5, "a", 6, True),
        (5, "b", 5, True),  # another life of the meter came after this one
        (5, "", 0, False),
        (0, "b", 0, False),  # a new journal, with an epoch of its own
    ],
)
def test_a_meter_is_set_back_when_the_mesh_knows_more(
    sequence: int, last_epoch: str, last_sequence: int, expected: bool
) -> None:
    """Missing it loses usage, and seeing it where it is not makes gaps in the numbers."""
    assert set_back("a", sequence, last_epoch=last_epoch, last_sequence=last_sequence) is expected
