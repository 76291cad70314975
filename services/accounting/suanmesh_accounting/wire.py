"""Between the rules' values and the contract's messages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import Row

from suanmesh.accounting.v1 import account_pb2, accounting_service_pb2, price_book_pb2, usage_pb2
from suanmesh.type.v1 import money_pb2
from suanmesh_accounting.domain.ledger import AccountKind
from suanmesh_accounting.domain.prices import Book, Line, LinkTariff, MeterPrice, Reading
from suanmesh_kernel.money import Price, is_currency
from suanmesh_kernel.refusals import InvalidArgument

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LINK_PRICES_MAX = 4_000
"""In one ask; lines of the largest amount for each of them still sum up within 64 bits."""


def timestamp(us: int) -> Timestamp:
    """Microseconds since 1970 as a Timestamp."""
    return Timestamp(seconds=us // 1_000_000, nanos=us % 1_000_000 * 1000)


def checked_us(stamp: Timestamp, field: str) -> int:
    """A caller's Timestamp as microseconds since 1970, or a refusal that names the field."""
    try:
        return microseconds(stamp.ToDatetime(UTC))
    except (ValueError, OverflowError) as error:
        raise _field(field, "is not a moment between the years 1 and 9999") from error


def microseconds(moment: datetime) -> int:
    """A moment as microseconds since 1970."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def moment(us: int) -> datetime:
    """Microseconds since 1970 as a moment."""
    return _EPOCH + timedelta(microseconds=us)


def account_to(row: Row[Any], held_micros: int) -> account_pb2.Account:
    """An account's row as its message."""
    return account_pb2.Account(
        name=row.name,
        party=row.party,
        currency=row.currency,
        kind=account_pb2.Account.Kind.Value(f"KIND_{row.kind}"),
        balance_micros=row.balance_micros,
        held_micros=held_micros,
        create_time=timestamp(row.create_us),
    )


def hold_to(row: Row[Any]) -> usage_pb2.Hold:
    """A hold's row as its message."""
    return usage_pb2.Hold(
        name=row.name,
        account=row.account,
        placement=row.placement,
        job=row.job,
        amount_micros=row.amount_micros,
        charged_micros=row.charged_micros,
        state=usage_pb2.Hold.State.Value(f"STATE_{row.state}"),
        create_time=timestamp(row.create_us),
    )


def posting_to(row: Row[Any]) -> account_pb2.Posting:
    """A posting's row as its message."""
    return account_pb2.Posting(
        entry=row.entry,
        account=row.account,
        amount_micros=row.amount_micros,
        currency=row.currency,
        charge=row.charge,
        post_time=timestamp(row.post_us),
    )


def kind_of(account: account_pb2.Account) -> AccountKind:
    """The kind of an account to be opened, PROVIDER or CONSUMER."""
    known = account.kind in account_pb2.Account.Kind.values()
    kind = account_pb2.Account.Kind.Name(account.kind).removeprefix("KIND_") if known else str(account.kind)
    if kind not in (AccountKind.CONSUMER, AccountKind.PROVIDER):
        raise _field("account.kind", f"{kind} cannot be opened by a call")
    return AccountKind(kind)


def checked_currency(code: str, field: str) -> str:
    """An ISO 4217 code, or a refusal that names the field."""
    if not is_currency(code):
        raise _field(field, f"{code!r} is not an ISO 4217 code")
    return code


def book_from(message: price_book_pb2.PriceBook) -> Book:
    """A price book; refuses a negative amount and a second price for a meter."""
    prices = tuple(MeterPrice(p.meter, price_from(p, f"price_book.prices[{i}]")) for i, p in enumerate(message.prices))
    if len({p.meter for p in prices}) != len(prices):
        raise _field("price_book.prices", "two prices for one meter")
    return Book(message.name, message.version, message.party, message.currency, prices)


def price_from(message: money_pb2.Price, field: str) -> Price:
    """A price; refuses a negative amount or one per nothing."""
    if message.meter == money_pb2.METER_UNSPECIFIED:
        raise _field(f"{field}.meter", "a price is for a meter")
    if message.amount_micros < 0:
        raise _field(f"{field}.amount_micros", f"{message.amount_micros} is negative")
    if message.per_quantity < 1:
        raise _field(f"{field}.per_quantity", f"{message.per_quantity} is not at least 1")
    return Price(message.amount_micros, message.per_quantity)


def readings_from(messages: list[usage_pb2.MeterReading], field: str) -> list[Reading]:
    """Readings; refuses a negative quantity and a second reading of a meter."""
    if len({reading.meter for reading in messages}) != len(messages):
        raise _field(field, "two readings of one meter")
    for i, reading in enumerate(messages):
        if reading.quantity < 0:
            raise _field(f"{field}[{i}].quantity", f"{reading.quantity} is negative")
    return [Reading(reading.meter, reading.quantity) for reading in messages]


def tariffs_from(messages: list[accounting_service_pb2.LinkPrice]) -> list[LinkTariff]:
    """Link prices; a link without a price is free. Refuses more than a job's ways can cross."""
    if len(messages) > LINK_PRICES_MAX:
        raise _field("link_prices", f"{len(messages)} are more than {LINK_PRICES_MAX}")
    return [
        LinkTariff(m.link, m.party, price_from(m.price, f"link_prices[{i}].price"))
        for i, m in enumerate(messages)
        if m.HasField("price") and m.price.amount_micros
    ]


def quote_line_to(line: Line) -> price_book_pb2.QuoteLine:
    """A rated line as a line of a quote."""
    book, _, version = line.price_version.partition("@")
    return price_book_pb2.QuoteLine(
        meter=money_pb2.Meter.ValueType(line.meter),
        quantity=line.quantity,
        price=price_to(line),
        amount_micros=line.amount_micros,
        price_book=book,
        price_version=int(version) if version.isdecimal() else 0,
    )


def price_to(line: Line) -> money_pb2.Price:
    """The price a line was rated by."""
    return money_pb2.Price(
        meter=money_pb2.Meter.ValueType(line.meter),
        amount_micros=line.price.amount_micros,
        per_quantity=line.price.per_quantity,
    )


def _field(field: str, problem: str) -> InvalidArgument:
    return InvalidArgument("FIELD_INVALID", f"{field}: {problem}", field=field)
