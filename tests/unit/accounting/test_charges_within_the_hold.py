"""Charges end where the hold ends, and an honest job loses nothing by that but what rounding made of nothing."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suanmesh_accounting.domain.ledger import Hold, HoldState, Share, chargeable, within
from suanmesh_accounting.domain.prices import Book, MeterPrice, Rate, RatedLine, Reading, compute_lines
from suanmesh_kernel.money import Price

micros = st.integers(0, 10**15)


@given(st.lists(micros, max_size=20), micros)
def test_no_more_than_what_is_left_is_charged_and_nothing_is_lost(rated: list[int], left: int) -> None:
    """A payer was told the most it can cost, and an auditor must find every micro that was rated."""
    shares = within(rated, left)
    assert sum(share.charged_micros for share in shares) == min(sum(rated), left)
    assert [share.charged_micros + share.waived_micros for share in shares] == rated
    assert all(min(share.charged_micros, share.waived_micros) >= 0 for share in shares)


def test_lines_are_charged_in_their_order() -> None:
    """Two nodes that rate the same records must not waive different lines."""
    assert within([3, 0, 4, 5], 5) == [Share(3, 0), Share(0, 0), Share(2, 2), Share(0, 5)]


prices = st.builds(Price, st.integers(1, 10**7), st.sampled_from([1, 7, 1000, 1 << 20, 3_600_000_000]))


def reported(book: Book, intervals: list[int]) -> list[RatedLine]:
    """What a task of one core for each price is charged that reports after every interval."""
    carried: dict[Rate, int] = {}
    lines = []
    for used in intervals:
        for line in compute_lines([Reading(i, used) for i in range(len(book.prices))], book, carried):
            carried[line.rate] = line.remainder_out
            lines.append(line)
    return lines


@given(
    prices=st.lists(prices, min_size=1, max_size=3),
    most=st.integers(1, 10**8),
    cuts=st.lists(st.integers(1, 10**8), max_size=40),
)
def test_of_an_honest_job_only_halves_are_waived(prices: list[Price], most: int, cuts: list[int]) -> None:
    """A site that measures often must get what its cores did, to half a micro for each line of the quote."""
    book = Book("priceBooks/b", 1, "parties/p", "CNY", tuple(MeterPrice(i, price) for i, price in enumerate(prices)))
    points = sorted({0, most, *(cut for cut in cuts if cut < most)})
    intervals = [upper - lower for lower, upper in pairwise(points)]
    held = sum(line.amount_micros for line in compute_lines([Reading(i, most) for i in range(len(prices))], book))
    rated = [line.amount_micros for line in reported(book, intervals)]

    shares = within(rated, held)

    waived = sum(share.waived_micros for share in shares)
    worth = sum(Fraction(most * price.amount_micros, price.per_quantity) for price in prices)
    assert waived <= len(prices)
    if waived:
        assert sum(share.charged_micros for share in shares) >= worth - Fraction(len(prices), 2)


@pytest.mark.parametrize(
    ("state", "free", "expected"),
    [
        (HoldState.COMMITTED, 0, 70),
        (HoldState.COMMITTED, -5, 70),
        (HoldState.RELEASED, 100, 70),
        (HoldState.RELEASED, 20, 20),
        (HoldState.RELEASED, -5, 0),
    ],
)
def test_what_comes_late_takes_nothing_that_is_promised_to_others(state: HoldState, free: int, expected: int) -> None:
    """A site that reports late must not take the money that keeps another job running."""
    hold = Hold("h", "a", "p", 0, "j", "s", 100, 30, state, True, b"", 1, "", 0)
    assert chargeable(hold, free) == expected
