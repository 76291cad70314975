"""Authorities that follow each other: whoever has a good certificate is believed by everybody, at every moment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from suanmesh_kernel.rotations import Rotation, issuing, trusted

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
OVERLAP = timedelta(days=30)
parts = st.floats(0, 1, exclude_max=True)
gaps = st.lists(st.floats(0, 100), min_size=1, max_size=4)


def turns_of(gaps_days: list[float]) -> list[Rotation]:
    """Rotations that follow each other: the next begins when the one before is over, or later."""
    turns: list[Rotation] = []
    at = BEGIN
    for gap in gaps_days:
        turns.append(Rotation.begun(at + timedelta(days=gap), OVERLAP))
        at = turns[-1].alone_from
    return turns


def known(turns: list[Rotation], at: datetime) -> list[Rotation]:
    """Those that had begun by then."""
    return [each for each in turns if each.issues_from - OVERLAP <= at]


@given(gaps, st.floats(0, 300), parts, parts)
def test_two_with_good_certificates_believe_each_other(
    gaps_days: list[float], day: float, one_age: float, other_age: float
) -> None:
    """A certificate is good for no longer than the overlap, and whoever was given one was told whom to trust then."""
    turns, now = turns_of(gaps_days), BEGIN + timedelta(days=day)
    one_given, other_given = now - OVERLAP * one_age, now - OVERLAP * other_age

    shown = issuing(known(turns, one_given), one_given)

    assert shown in trusted(known(turns, other_given), other_given)
    assert shown in trusted(known(turns, now), now)


@given(gaps, st.floats(0, 500))
def test_at_most_two_are_trusted_and_the_last_ends_alone(gaps_days: list[float], day: float) -> None:
    """An authority that is replaced because its key is known to others must not stay trusted."""
    turns, now = turns_of(gaps_days), BEGIN + timedelta(days=day)
    begun = known(turns, now)

    assert 1 <= len(trusted(begun, now)) <= 2
    assert issuing(begun, now) in trusted(begun, now)
    assert list(trusted(turns, turns[-1].alone_from)) == [len(turns)]
