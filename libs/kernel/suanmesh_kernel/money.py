"""Money is integers: 10^-6 of a currency, one rounding per line, half to even, and every split adds up."""

from __future__ import annotations

import re
from dataclasses import dataclass

INT64_MAX = 2**63 - 1
_CURRENCY = re.compile(r"[A-Z]{3}")


@dataclass(frozen=True, slots=True)
class Price:
    """`amount_micros` for `per_quantity` units of something; `per_quantity` is at least 1."""

    amount_micros: int
    per_quantity: int

    def __post_init__(self) -> None:
        if self.per_quantity < 1 or self.amount_micros < 0:
            raise ValueError("a price is a non-negative amount for at least one unit")


def rated_up(quantity: int, price: Price) -> int:
    """Cost of `quantity` units in micros, rounded up: a bound of what they cost, however a bill rounds."""
    return -(-quantity * price.amount_micros // price.per_quantity)


def divided_half_even(numerator: int, denominator: int) -> int:
    """`numerator / denominator` to the nearest integer, ties to the even one; `denominator` is positive."""
    quotient, remainder = divmod(numerator, denominator)
    twice = 2 * remainder
    if twice > denominator or (twice == denominator and quotient % 2 == 1):
        quotient += 1
    return quotient


def is_currency(code: str) -> bool:
    """Whether `code` has the form of an ISO 4217 code."""
    return _CURRENCY.fullmatch(code) is not None
