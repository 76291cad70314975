"""Usage into charges: stored once, rated by what the hold fixed, posted as entries that sum to zero."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from suanmesh.accounting.v1 import accounting_service_pb2, usage_pb2
from suanmesh.type.v1 import money_pb2, signed_pb2
from suanmesh_accounting import ledger
from suanmesh_accounting import tables as t
from suanmesh_accounting.domain.ledger import AccountKind, Finals, Move, Share, entry, within
from suanmesh_accounting.domain.prices import Line, compute_lines, transfer_lines
from suanmesh_accounting.wire import book_from, microseconds, price_to, readings_from, tariffs_from, timestamp
from suanmesh_kernel.refusals import AlreadyExists


@dataclass(frozen=True, slots=True)
class Claim:
    """A record whose signature is right: what it says, as it was signed, and the trace of what it measured."""

    record: usage_pb2.UsageRecord
    signed: signed_pb2.Signed
    traceparent: str

    @property
    def reference(self) -> str:
        """`{site}/{epoch}/{sequence}`."""
        return f"{self.record.site}/{self.record.epoch}/{self.record.sequence}"


@dataclass(frozen=True, slots=True)
class Rated:
    """What became of one record."""

    charges: tuple[str, ...]
    ratable: bool


def record_usage(c: Connection, claim: Claim, move: Move | None, now: datetime) -> Rated:
    """Store one record and rate it; a record stored before counts once and is answered the same way.

    `move` is what is known of the transfer the record is for. What cannot be rated is kept all the same.

    Raises AlreadyExists (`USAGE_CONFLICT`) for other content under the same number, and InvalidArgument
    (`FIELD_INVALID`) for what no book can hold.
    """
    standing = _stored(c, claim.record)
    if standing is not None:
        return _again(c, claim, standing)
    hold = ledger.hold_of(c, claim.record.placement)
    if hold is None or not hold.committed or not _entitled(claim.record, hold, move):
        _store(c, claim, hold, False, now)
        return Rated((), ratable=False)
    _store(c, claim, hold, True, now)
    lines = rated_lines(c, claim.record, hold, move)
    return Rated(_charged(c, claim, hold, lines, now), ratable=True)


def rated_lines(c: Connection, record: usage_pb2.UsageRecord, hold: Row[Any], move: Move | None) -> list[Line]:
    """Rate a record by the book version and the link prices its hold fixed.

    What was moved pays for the links of its own way alone; a way the hold fixed no price for is free.
    """
    ask = accounting_service_pb2.HoldAsk.FromString(hold.ask)
    readings = readings_from(list(record.readings), "readings")
    if record.transfer:
        moved = sum(r.quantity for r in readings if r.meter == money_pb2.METER_TRANSFER_BYTES)
        ends = (move.source, move.target) if move else None
        crossed = [priced for priced in ask.link_prices if (priced.source, priced.target) == ends]
        return transfer_lines(money_pb2.METER_TRANSFER_BYTES, moved, tariffs_from(crossed))
    book = book_from(ledger.price_book(c, ask.price_book, hold.price_version))
    return compute_lines(readings, book)


def finals_of(c: Connection, placement: str) -> Finals:
    """Of what the final record has arrived: from the site that runs the placement, and from those it moves data to."""
    query = select(t.usage.c.task, t.usage.c.transfer).where(
        t.usage.c.placement == placement, t.usage.c.final.is_(True), t.usage.c.ratable.is_(True)
    )
    rows = c.execute(query).all()
    return Finals(
        frozenset(row.task for row in rows if not row.transfer),
        frozenset(row.transfer for row in rows if row.transfer),
    )


def _stored(c: Connection, record: usage_pb2.UsageRecord) -> Row[Any] | None:
    query = select(t.usage).where(
        t.usage.c.site == record.site, t.usage.c.epoch == record.epoch, t.usage.c.sequence == record.sequence
    )
    return c.execute(query).first()


def _again(c: Connection, claim: Claim, standing: Row[Any]) -> Rated:
    if signed_pb2.Signed.FromString(standing.signed).payload != claim.signed.payload:
        message = f"another record {claim.reference} stands already"
        raise AlreadyExists("USAGE_CONFLICT", message, name=claim.reference)
    return Rated(_charges_of(c, claim.reference), standing.ratable)


def _entitled(record: usage_pb2.UsageRecord, hold: Row[Any], move: Move | None) -> bool:
    """Whether usage of the hold's placement may come from the site that measured."""
    if record.transfer:
        return move is not None and (move.target, move.placement) == (record.site, record.placement)
    return bool(hold.site == record.site)


def _store(c: Connection, claim: Claim, hold: Row[Any] | None, ratable: bool, now: datetime) -> None:
    record = claim.record
    row = {
        "site": record.site,
        "epoch": record.epoch,
        "sequence": record.sequence,
        "placement": record.placement,
        "job": hold.job if hold is not None else "",
        "party": ledger.account(c, hold.account).party if hold is not None else "",
        "task": record.task,
        "transfer": record.transfer,
        "final": record.final,
        "ratable": ratable,
        "signed": claim.signed.SerializeToString(),
        "record_us": microseconds(now),
    }
    c.execute(insert(t.usage).values(row))


def _charges_of(c: Connection, reference: str) -> tuple[str, ...]:
    query = select(t.charges.c.name).where(t.charges.c.usage == reference).order_by(t.charges.c.id)
    return tuple(c.execute(query).scalars())


def _charged(c: Connection, claim: Claim, hold: Row[Any], lines: list[Line], now: datetime) -> tuple[str, ...]:
    """Write down every line, as far as the hold covers them."""
    shares = within((line.amount_micros for line in lines), ledger.chargeable_of(c, hold))
    names = tuple(
        _charge(c, hold, line, share, f"{claim.reference}/{position}", now)
        for position, (line, share) in enumerate(zip(lines, shares, strict=True))
    )
    spent = hold.charged_micros + sum(share.charged_micros for share in shares)
    c.execute(update(t.holds).where(t.holds.c.name == hold.name).values(charged_micros=spent))
    return names


def _charge(c: Connection, hold: Row[Any], line: Line, share: Share, reference: str, now: datetime) -> str:
    """Write down one line; `reference` is the record's, and the position of the line in it."""
    currency = ledger.account(c, hold.account).currency
    payee = ledger.account_for(c, line.payee_party, AccountKind.PROVIDER, currency, now)
    name = "charges/" + reference.removeprefix("sites/").replace("/", "-")
    usage = reference.rpartition("/")[0]
    charge = usage_pb2.Charge(
        name=name,
        account=hold.account,
        payee=payee,
        job=hold.job,
        placement=hold.placement,
        decision=accounting_service_pb2.HoldAsk.FromString(hold.ask).decision,
        usage=usage,
        meter=money_pb2.Meter.ValueType(line.meter),
        quantity=line.quantity,
        price=price_to(line),
        price_version=line.price_version,
        amount_micros=share.charged_micros,
        waived_micros=share.waived_micros,
        currency=currency,
        trace_id=hold.trace_id,
        create_time=timestamp(microseconds(now)),
    )
    what = {"usage": usage, "amount_micros": share.charged_micros}
    row = {"name": name, "account": hold.account, "job": hold.job, **what}
    document = {"create_us": microseconds(now), "document": charge.SerializeToString()}
    c.execute(insert(t.charges).values(row | document))
    if share.charged_micros:
        ledger.post(c, entry(hold.account, payee, share.charged_micros, currency), name, name, now)
    return name
