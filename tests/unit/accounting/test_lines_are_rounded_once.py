"""Rating: what makes a line, and how it is rounded."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suanmesh_accounting.domain.prices import Book, LinkTariff, MeterPrice, Rate, Reading, compute_lines, transfer_lines
from suanmesh_kernel.money import Price

BOOK = Book("priceBooks/b", 3, "parties/p", "CNY", (MeterPrice(1, Price(1, 10)), MeterPrice(2, Price(0, 1))))


@pytest.mark.parametrize(("quantity", "amount"), [(4, 0), (5, 0), (6, 1), (15, 2), (25, 2), (26, 3)])
def test_a_half_goes_to_the_even_micro(quantity: int, amount: int) -> None:
    """Rounded always up, a million lines would take half a yuan from a customer who owes none of it."""
    (line,) = compute_lines([Reading(1, quantity)], BOOK)
    assert (line.amount_micros, line.price_version, line.payee_party) == (amount, "priceBooks/b@3", "parties/p")


prices = st.builds(Price, st.integers(0, 10**9), st.sampled_from([1, 2, 7, 1000, 1 << 20, 3_600_000_000]))


@given(prices, st.lists(st.integers(0, 10**6), max_size=60))
def test_however_often_usage_is_reported_its_bill_is_what_was_used(price: Price, quantities: list[int]) -> None:
    """A site that reports every second must get, and its customer pay, what one that reports once an hour gets."""
    book = Book("priceBooks/b", 1, "parties/p", "CNY", (MeterPrice(1, price),))
    carried: dict[Rate, int] = {}
    billed = used = 0
    for quantity in quantities:
        for line in compute_lines([Reading(1, quantity)], book, carried):
            assert line.amount_micros >= 0
            assert line.remainder_in == carried.get(line.rate, 0)
            carried[line.rate] = line.remainder_out
            billed += line.amount_micros
        used += quantity
        assert abs(billed - Fraction(used * price.amount_micros, price.per_quantity)) <= Fraction(1, 2)


def test_what_has_no_price_or_was_not_used_makes_no_line() -> None:
    """A bill is read line by line; those that say nothing hide the others."""
    assert compute_lines([Reading(1, 0), Reading(9, 100)], BOOK) == []


def test_a_price_of_nothing_is_a_line_all_the_same() -> None:
    """A provider that gives something away wants it on the bill."""
    assert [line.amount_micros for line in compute_lines([Reading(2, 100)], BOOK)] == [0]


def test_each_priced_link_is_paid_once_to_its_owner() -> None:
    """Two carriers of one way must not be paid for each other's links."""
    tariffs = [
        LinkTariff("links/a", "parties/x", Price(20, 1 << 20)),
        LinkTariff("links/b", "parties/y", Price(1, 1 << 20)),
        LinkTariff("links/free", "parties/z", Price(0, 1)),
    ]
    lines = transfer_lines(4, 3 << 20, tariffs)
    assert [(line.payee_party, line.amount_micros, line.price_version) for line in lines] == [
        ("parties/x", 60, "links/a@declared"),
        ("parties/y", 3, "links/b@declared"),
    ]
    assert transfer_lines(4, 0, tariffs) == []
