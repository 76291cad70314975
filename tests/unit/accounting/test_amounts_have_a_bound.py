"""Amounts that would not fit the books are refused where they arise."""

from __future__ import annotations

import pytest

from suanmesh_accounting.domain.prices import LINE_MICROS_MAX, Book, LinkTariff, MeterPrice, Reading, compute_lines
from suanmesh_accounting.domain.prices import transfer_lines as moved
from suanmesh_kernel.money import Price
from suanmesh_kernel.refusals import InvalidArgument

DEAR = Price(LINE_MICROS_MAX, 1)
BOOK = Book("priceBooks/dear", 1, "parties/p", "CNY", (MeterPrice(1, DEAR),))


def test_a_line_may_reach_the_bound_and_not_pass_it() -> None:
    """A sum of lines that leaves 64 bits would stop the ledger for everybody."""
    assert compute_lines([Reading(1, 1)], BOOK)[0].amount_micros == LINE_MICROS_MAX
    with pytest.raises(InvalidArgument) as refused:
        compute_lines([Reading(1, 2)], BOOK)
    assert (refused.value.reason, refused.value.facts["field"]) == ("FIELD_INVALID", "quantity")


def test_a_move_has_the_same_bound() -> None:
    """A toll nobody can pay is a mistake, whoever declared it."""
    with pytest.raises(InvalidArgument):
        moved(4, 2**63 - 1, [LinkTariff("links/a", "parties/p", DEAR)])
