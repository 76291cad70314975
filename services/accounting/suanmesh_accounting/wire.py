"""Between the rules' values and the contract's messages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp

from suanmesh.accounting.v1 import account_pb2, accounting_service_pb2, price_book_pb2, usage_pb2
from suanmesh.type.v1 import money_pb2, signed_pb2
from suanmesh_accounting.domain.commands import Measured
from suanmesh_accounting.domain.ledger import NO_BUDGET, Account, AccountKind, Hold, PartyBudget, Posted
from suanmesh_accounting.domain.prices import Book, LinkTariff, MeterPrice, RatedLine, Reading
from suanmesh_accounting.domain.queries import MeterUsage, ProvedUsage
from suanmesh_kernel.money import Price, is_currency
from suanmesh_kernel.months import month_of
from suanmesh_kernel.names import checked_name
from suanmesh_kernel.refusals import invalid_field

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
BUDGET_MICROS_MAX = 4 * 10**18
"""Of a month; with what is spent and held it stays within 64 bits."""
LINK_PRICES_MAX = 4_000
"""In one ask; lines of the largest amount for each of them still sum up within 64 bits."""


def require_count(items: Sequence[object], most: int, field: str = "items") -> None:
    """Refuse a call of no item, or of too many."""
    if not 1 <= len(items) <= most:
        raise invalid_field(field, f"{len(items)} are not 1 to {most}")


def timestamp(us: int) -> Timestamp:
    """Microseconds since 1970 as a Timestamp."""
    return Timestamp(seconds=us // 1_000_000, nanos=us % 1_000_000 * 1000)


def checked_us(stamp: Timestamp, field: str) -> int:
    """A caller's Timestamp as microseconds since 1970, or a refusal that names the field."""
    try:
        return microseconds(stamp.ToDatetime(UTC))
    except (ValueError, OverflowError) as error:
        raise invalid_field(field, "is not a moment between the years 1 and 9999") from error


def microseconds(moment: datetime) -> int:
    """A moment as microseconds since 1970."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def moment(us: int) -> datetime:
    """Microseconds since 1970 as a moment."""
    return _EPOCH + timedelta(microseconds=us)


def month_at(us: int) -> int:
    """The month of a moment in microseconds since 1970, as 202611."""
    return month_of(moment(us))


def budget_from(
    request: accounting_service_pb2.SetBudgetRequest | accounting_service_pb2.SetPartyBudgetRequest,
) -> tuple[int, bool]:
    """What is asked for as a budget, and whether it is hard. Raises InvalidArgument (`FIELD_INVALID`)."""
    if not request.HasField("budget"):
        return NO_BUDGET, False
    asked = request.budget
    if not 0 <= asked.amount_micros <= BUDGET_MICROS_MAX:
        raise invalid_field("budget.amount_micros", f"{asked.amount_micros} is not within 0 to {BUDGET_MICROS_MAX}")
    if asked.enforcement not in account_pb2.Budget.Enforcement.values():
        raise invalid_field("budget.enforcement", "is not known")
    return asked.amount_micros, asked.enforcement != account_pb2.Budget.ENFORCEMENT_SOFT


def budget_to(account: Account) -> account_pb2.Budget | None:
    """The budget of an account; None where it has none."""
    if account.budget_micros == NO_BUDGET:
        return None
    return account_pb2.Budget(
        amount_micros=account.budget_micros,
        enforcement=_enforcement(hard=account.budget_hard),
        month=account.month,
        spent_micros=account.month_spent_micros,
        held_micros=account.held_micros,
    )


def party_budget_to(budget: PartyBudget) -> account_pb2.PartyBudget:
    """The budget of a party as its message."""
    return account_pb2.PartyBudget(party=budget.party, currency=budget.currency, budget=_of_party(budget))


def _of_party(budget: PartyBudget | None) -> account_pb2.Budget | None:
    if budget is None or budget.amount_micros == NO_BUDGET:
        return None
    return account_pb2.Budget(
        amount_micros=budget.amount_micros,
        enforcement=_enforcement(hard=budget.hard),
        month=budget.month,
        spent_micros=budget.spent_micros,
        held_micros=budget.held_micros,
    )


def _enforcement(*, hard: bool) -> account_pb2.Budget.Enforcement.ValueType:
    return account_pb2.Budget.ENFORCEMENT_HARD if hard else account_pb2.Budget.ENFORCEMENT_SOFT


def account_to(account: Account, party_budget: PartyBudget | None = None) -> account_pb2.Account:
    """An account as its message, with the budget of its party."""
    return account_pb2.Account(
        name=account.name,
        party=account.party,
        currency=account.currency,
        kind=account_pb2.Account.Kind.Value(f"KIND_{account.kind}"),
        balance_micros=account.balance_micros,
        held_micros=account.held_micros,
        create_time=timestamp(account.create_us),
        close_time=timestamp(account.close_us) if account.close_us else None,
        budget=budget_to(account),
        party_budget=_of_party(party_budget),
    )


def hold_to(hold: Hold) -> usage_pb2.Hold:
    """A hold as its message."""
    return usage_pb2.Hold(
        name=hold.name,
        account=hold.account,
        placement=hold.placement,
        job=hold.job,
        amount_micros=hold.amount_micros,
        charged_micros=hold.charged_micros,
        state=usage_pb2.Hold.State.Value(f"STATE_{hold.state}"),
        create_time=timestamp(hold.create_us),
    )


def posting_to(posted: Posted) -> account_pb2.Posting:
    """A posting as its message."""
    return account_pb2.Posting(
        entry=posted.entry,
        account=posted.account,
        amount_micros=posted.amount_micros,
        currency=posted.currency,
        post_time=timestamp(posted.post_us),
    )


def usage_to(proved: ProvedUsage) -> usage_pb2.StoredUsage:
    """A stored record as its message."""
    return usage_pb2.StoredUsage(
        record=proved.record,
        batch=signed_pb2.Signed.FromString(proved.signed),
        leaf_index=proved.leaf_index,
        audit_path=proved.audit_path,
        record_time=timestamp(proved.record_us),
    )


def measured_from(raw: bytes, record: usage_pb2.UsageRecord, leaf_index: int) -> Measured:
    """What a usage record says that was parsed from `raw`."""
    return Measured(
        record.site,
        record.epoch,
        record.sequence,
        record.placement,
        record.transfer,
        record.task,
        record.final,
        tuple(readings_from(record.readings, "readings")),
        raw,
        leaf_index,
    )


def metering_state_to(found: MeterUsage) -> accounting_service_pb2.MeteringState:
    """What is stored of a site's meter, with the sums of what it metered of each work."""
    state = accounting_service_pb2.MeteringState(last_epoch=found.last_epoch, last_sequence=found.last_sequence)
    sums: dict[tuple[str, int], accounting_service_pb2.MeteredWork] = {}
    for raw in found.records:
        record = usage_pb2.UsageRecord.FromString(raw)
        key = (record.transfer or record.placement, record.task)
        if key not in sums:
            sums[key] = state.works.add(work=key[0], task=key[1])
        _add_to(sums[key], record)
    return state


def _add_to(work: accounting_service_pb2.MeteredWork, record: usage_pb2.UsageRecord) -> None:
    totals = {reading.meter: reading for reading in work.readings}
    for reading in record.readings:
        total = totals.get(reading.meter)
        if total is None:
            work.readings.add(meter=reading.meter, quantity=reading.quantity)
        else:
            total.quantity += reading.quantity
    work.final = work.final or record.final
    if record.end_time.ToNanoseconds() > work.end_time.ToNanoseconds():
        work.end_time.CopyFrom(record.end_time)


def kind_of(account: account_pb2.Account) -> AccountKind:
    """The kind of an account to be opened, PROVIDER or CONSUMER."""
    known = account.kind in account_pb2.Account.Kind.values()
    kind = account_pb2.Account.Kind.Name(account.kind).removeprefix("KIND_") if known else str(account.kind)
    if kind not in (AccountKind.CONSUMER, AccountKind.PROVIDER):
        raise invalid_field("account.kind", f"{kind} cannot be opened by a call")
    return AccountKind(kind)


def checked_currency(code: str, field: str) -> str:
    """An ISO 4217 code, or a refusal that names the field."""
    if not is_currency(code):
        raise invalid_field(field, f"{code!r} is not an ISO 4217 code")
    return code


def book_from(message: price_book_pb2.PriceBook) -> Book:
    """A price book; refuses a negative amount and a second price for a meter."""
    prices = tuple(MeterPrice(p.meter, price_from(p, f"price_book.prices[{i}]")) for i, p in enumerate(message.prices))
    if len({p.meter for p in prices}) != len(prices):
        raise invalid_field("price_book.prices", "two prices for one meter")
    return Book(message.name, message.version, message.party, message.currency, prices)


def stored_book(document: bytes, version: int) -> Book:
    """A version of a price book as the ledger keeps it."""
    return book_from(book_message(document, version))


def book_message(document: bytes, version: int) -> price_book_pb2.PriceBook:
    """The same as its message; only the ledger knows which version it is."""
    message = price_book_pb2.PriceBook.FromString(document)
    message.version = version
    return message


def require_book(book: price_book_pb2.PriceBook) -> None:
    """Refuse a book that cannot come into force, with the field that is wrong."""
    checked_name(book.party, "parties", field="price_book.party")
    checked_currency(book.currency, "price_book.currency")
    book_from(book)


def changed_book(before: bytes, change: bytes) -> bytes:
    """A book in which what a change says is other than before: an amount of 0 takes a price away, empty fields stay.

    Raises InvalidArgument (`FIELD_INVALID`) where that makes no book.
    """
    book, said = price_book_pb2.PriceBook.FromString(before), price_book_pb2.PriceBook.FromString(change)
    prices = {price.meter: price for price in [*book.prices, *said.prices]}
    kept = [price for _, price in sorted(prices.items()) if price.amount_micros]
    made = price_book_pb2.PriceBook(
        name=said.name,
        party=said.party or book.party,
        currency=said.currency or book.currency,
        prices=kept,
        effective_time=said.effective_time,
    )
    require_book(made)
    return made.SerializeToString()


def price_from(message: money_pb2.Price, field: str) -> Price:
    """A price; refuses a negative amount or one per nothing."""
    if message.meter == money_pb2.METER_UNSPECIFIED:
        raise invalid_field(f"{field}.meter", "a price is for a meter")
    if message.amount_micros < 0:
        raise invalid_field(f"{field}.amount_micros", f"{message.amount_micros} is negative")
    if message.per_quantity < 1:
        raise invalid_field(f"{field}.per_quantity", f"{message.per_quantity} is not at least 1")
    return Price(message.amount_micros, message.per_quantity)


def readings_from(messages: Iterable[usage_pb2.MeterReading], field: str) -> list[Reading]:
    """Readings; refuses a negative quantity and a second reading of a meter."""
    readings = [Reading(message.meter, message.quantity) for message in messages]
    if len({reading.meter for reading in readings}) != len(readings):
        raise invalid_field(field, "two readings of one meter")
    for i, reading in enumerate(readings):
        if reading.quantity < 0:
            raise invalid_field(f"{field}[{i}].quantity", f"{reading.quantity} is negative")
    return readings


def tariffs_from(messages: list[accounting_service_pb2.LinkPrice]) -> list[LinkTariff]:
    """Link prices; a link without a price is free. Refuses more than a job's ways can cross."""
    if len(messages) > LINK_PRICES_MAX:
        raise invalid_field("link_prices", f"{len(messages)} are more than {LINK_PRICES_MAX}")
    return [
        LinkTariff(m.link, m.party, price_from(m.price, f"link_prices[{i}].price"))
        for i, m in enumerate(messages)
        if m.HasField("price") and m.price.amount_micros
    ]


def quote_line_to(line: RatedLine) -> price_book_pb2.QuoteLine:
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


def price_to(line: RatedLine) -> money_pb2.Price:
    """The price a line was rated by."""
    return money_pb2.Price(
        meter=money_pb2.Meter.ValueType(line.meter),
        amount_micros=line.price.amount_micros,
        per_quantity=line.price.per_quantity,
    )
