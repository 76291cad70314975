"""Price books, quotes and the rating of usage. Everything is integers (architecture, decision 11)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from suanmesh_kernel.money import Price, divided_half_even
from suanmesh_kernel.refusals import InvalidArgument

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
        return next((p.price for p in self.prices if p.meter == meter), None)


@dataclass(frozen=True, slots=True)
class LinkTariff:
    """The price of moving bytes over one link, and who earns it."""

    link: str
    party: str
    price: Price


@dataclass(frozen=True, slots=True)
class Reading:
    """How much of a meter was used."""

    meter: int
    quantity: int


@dataclass(frozen=True, slots=True)
class Line:
    """One rated line: what, how much, at which price, to whom."""

    meter: int
    quantity: int
    price: Price
    price_version: str
    payee_party: str
    amount_micros: int


def compute_lines(readings: Iterable[Reading], book: Book) -> list[Line]:
    """Rate what a site measured by its book; meters without a price and empty readings make no line."""
    lines = []
    for reading in readings:
        price = book.price_of(reading.meter)
        if price is None or reading.quantity == 0:
            continue
        amount = _amount(reading.quantity, price)
        lines.append(Line(reading.meter, reading.quantity, price, book.reference, book.party, amount))
    return lines


def transfer_lines(meter: int, transfer_bytes: int, tariffs: Iterable[LinkTariff]) -> list[Line]:
    """Rate moved bytes once for each priced link they crossed."""
    if transfer_bytes == 0:
        return []
    return [
        Line(
            meter,
            transfer_bytes,
            tariff.price,
            f"{tariff.link}@declared",
            tariff.party,
            _amount(transfer_bytes, tariff.price),
        )
        for tariff in tariffs
        if tariff.price.amount_micros
    ]


def _amount(quantity: int, price: Price) -> int:
    """One rounding, half to even. Raises InvalidArgument (`FIELD_INVALID`) beyond LINE_MICROS_MAX."""
    amount = divided_half_even(quantity * price.amount_micros, price.per_quantity)
    if amount > LINE_MICROS_MAX:
        problem = f"quantity: {quantity} at {price.amount_micros} for {price.per_quantity} is beyond {LINE_MICROS_MAX}"
        raise InvalidArgument("FIELD_INVALID", problem, field="quantity")
    return amount
