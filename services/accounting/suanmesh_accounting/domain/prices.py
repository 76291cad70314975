"""Price books, quotes and the rating of usage. Everything is integers (architecture, decision 11)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from suanmesh_kernel.money import Price, divided_half_even
from suanmesh_kernel.refusals import InvalidArgument

Rate = tuple[int, str]
"""A meter and the version of its price: lines of a placement that have both in common are rounded together."""
NOTHING: Mapping[Rate, int] = MappingProxyType({})
"""What is carried to the first line."""
LINE_MICROS_MAX = 10**15
"""A single line beyond a thousand million of a currency is a mistake; sums of lines fit 64 bits."""


@dataclass(frozen=True, slots=True)
class MeterPrice:
    """What one meter costs; the meter by its wire number."""

    meter: int
    price: Price


@dataclass(frozen=True, slots=True)
class Book:
    """One version of a price book."""

    name: str
    version: int
    party: str
    currency: str
    prices: tuple[MeterPrice, ...]

    @property
    def reference(self) -> str:
        """`priceBooks/{book}@{version}`."""
        return f"{self.name}@{self.version}"

    def price_of(self, meter: int) -> Price | None:
        """The meter's price, None where it is free."""
        for priced in self.prices:
            if priced.meter == meter:
                return priced.price
        return None


@dataclass(frozen=True, slots=True)
class LinkTariff:
    """The price of moving bytes over one link, and who earns it."""

    link: str
    party: str
    price: Price


class Reading(NamedTuple):
    """How much of a meter was used."""

    meter: int
    quantity: int


class RatedLine(NamedTuple):
    """One rated line: what, how much, at which price, to whom."""

    meter: int
    quantity: int
    price: Price
    price_version: str
    payee_party: str
    amount_micros: int
    remainder_in: int
    """What rounding left over before, in 10^-6 of the currency divided by the price's `per_quantity`."""
    remainder_out: int
    """What it has left over now: no more than half of `per_quantity`, either way."""

    @property
    def rate(self) -> Rate:
        """Which lines it carries its remainder to."""
        return self.meter, self.price_version


def compute_lines(readings: Iterable[Reading], book: Book, carried: Mapping[Rate, int] = NOTHING) -> list[RatedLine]:
    """Rate what a site measured by its book; meters without a price and empty readings make no line.

    `carried` is what rounding has left over of the same placement so far.
    """
    version, payee = book.reference, book.party
    lines = []
    for reading in readings:
        price = book.price_of(reading.meter)
        if price is not None and reading.quantity:
            lines.append(_line(reading, price, version, payee, carried))
    return lines


def transfer_lines(
    meter: int, transfer_bytes: int, tariffs: Iterable[LinkTariff], carried: Mapping[Rate, int] = NOTHING
) -> list[RatedLine]:
    """Rate moved bytes once for each priced link they crossed; `carried` is what rounding left over."""
    if transfer_bytes == 0:
        return []
    moved = Reading(meter, transfer_bytes)
    return [
        _line(moved, tariff.price, f"{tariff.link}@declared", tariff.party, carried)
        for tariff in tariffs
        if tariff.price.amount_micros
    ]


def _line(reading: Reading, price: Price, version: str, payee: str, carried: Mapping[Rate, int]) -> RatedLine:
    """One rounding, half to even, of what is new and what was left over.

    Raises InvalidArgument (`FIELD_INVALID`) beyond LINE_MICROS_MAX.
    """
    quantity, before = reading.quantity, carried.get((reading.meter, version), 0)
    exact = quantity * price.amount_micros + before
    amount = divided_half_even(exact, price.per_quantity)
    if amount > LINE_MICROS_MAX:
        problem = f"quantity: {quantity} at {price.amount_micros} for {price.per_quantity} is beyond {LINE_MICROS_MAX}"
        raise InvalidArgument("FIELD_INVALID", problem, field="quantity")
    return RatedLine(
        reading.meter, quantity, price, version, payee, amount, before, exact - amount * price.per_quantity
    )
