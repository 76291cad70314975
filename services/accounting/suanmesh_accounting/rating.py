"""Usage into charges: stored once, rated by what the hold fixed, posted as entries that sum to zero."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, exists, func, insert, select, update

from suanmesh.accounting.v1 import accounting_service_pb2, usage_pb2
from suanmesh.type.v1 import money_pb2, signed_pb2
from suanmesh_accounting import ledger
from suanmesh_accounting import tables as t
from suanmesh_accounting.domain.ledger import AccountKind, Finals, Move, Share, entry, within
from suanmesh_accounting.domain.prices import Line, compute_lines, transfer_lines
from suanmesh_accounting.domain.quarantine import Room, require_room
from suanmesh_accounting.wire import book_from, microseconds, price_to, readings_from, tariffs_from, timestamp
from suanmesh_kernel.refusals import AlreadyExists

_APART = select(
    func.count().label("records"), func.coalesce(func.sum(func.length(t.usage.c.signed)), 0).label("size_bytes")
).where(t.usage.c.ratable.is_(False))


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


def record_usage(c: Connection, claim: Claim, hold: Row[Any], move: Move | None, now: datetime) -> tuple[str, ...]:
    """Store one record and rate it by `hold`; a record rated before counts once and is answered the same way.

    `move` is what is known of the transfer the record is for. One that lay in quarantine leaves it.

    Raises InvalidArgument (`FIELD_INVALID`) for what no book can hold.
    """
    standing = _stored(c, claim)
    if standing is not None and standing.ratable:
        return _charges_of(c, claim.reference)
    row = _row(claim, now) | _paid_by(c, hold)
    if standing is None:
        c.execute(insert(t.usage).values(row))
    else:
        c.execute(update(t.usage).where(t.usage.c.id == standing.id).values(_paid_by(c, hold)))
    lines = rated_lines(c, claim.record, hold, move)
    return _charged(c, claim, hold, lines, now)


def paying_hold(c: Connection, record: usage_pb2.UsageRecord, move: Move | None) -> Row[Any] | None:
    """The hold that pays for a record; None where its placement has none, or it is not the site's to be paid for."""
    hold = ledger.hold_of(c, record.placement)
    entitled = hold is not None and hold.committed and _entitled(record, hold, move)
    return hold if entitled else None


class Apart:
    """What sites have in quarantine, counted once in a transaction."""

    def __init__(self, c: Connection, room: Room) -> None:
        self._c = c
        self._room = room
        self._sites: dict[str, tuple[int, int]] = {}

    def add(self, site: str, size_bytes: int) -> None:
        """Count one more record. Raises ResourceExhausted (`QUARANTINE_FULL`) where there is no room for it."""
        if site not in self._sites:
            kept = self._c.execute(_APART.where(t.usage.c.site == site)).one()
            self._sites[site] = (kept.records, kept.size_bytes)
        records, total = self._sites[site]
        require_room(site, records=records, size_bytes=total, more_bytes=size_bytes, room=self._room)
        self._sites[site] = (records + 1, total + size_bytes)


def put_apart(c: Connection, claim: Claim, apart: Apart, now: datetime) -> None:
    """Keep a record that no hold pays for, once.

    Raises ResourceExhausted (`QUARANTINE_FULL`) where its site has too many of them, and AlreadyExists
    (`USAGE_CONFLICT`).
    """
    if _stored(c, claim) is not None:
        return
    row = _row(claim, now)
    apart.add(claim.record.site, len(row["signed"]))
    c.execute(insert(t.usage).values(row))


def payable_apart(c: Connection, after: int, limit: int) -> list[tuple[int, Claim]]:
    """Records in quarantine whose placement has a hold by now, by id beyond `after`."""
    ids = select(t.usage.c.id, t.usage.c.signed).where(
        t.usage.c.ratable.is_(False),
        t.usage.c.id > after,
        exists().where(t.holds.c.placement == t.usage.c.placement, t.holds.c.committed.is_(True)),
    )
    rows = c.execute(ids.order_by(t.usage.c.id).limit(limit)).all()
    return [(row.id, _claim_in(row.signed)) for row in rows]


def count_apart(c: Connection) -> int:
    """How many records are in quarantine, of all sites."""
    return int(c.execute(_APART).one().records)


def expire_apart(c: Connection, before: datetime, limit: int) -> dict[str, int]:
    """Drop records that came to quarantine before a moment, the oldest first; how many of each site."""
    old = select(t.usage.c.id, t.usage.c.site).where(
        t.usage.c.ratable.is_(False), t.usage.c.record_us < microseconds(before)
    )
    rows = c.execute(old.order_by(t.usage.c.record_us).limit(limit)).all()
    c.execute(t.usage.delete().where(t.usage.c.id.in_([row.id for row in rows])))
    return Counter(row.site for row in rows)


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


def _stored(c: Connection, claim: Claim) -> Row[Any] | None:
    """The row of the record, if it was stored before; raises AlreadyExists (`USAGE_CONFLICT`) for other content."""
    record = claim.record
    query = select(t.usage).where(
        t.usage.c.site == record.site, t.usage.c.epoch == record.epoch, t.usage.c.sequence == record.sequence
    )
    standing = c.execute(query).first()
    if standing is not None and signed_pb2.Signed.FromString(standing.signed).payload != claim.signed.payload:
        message = f"another record {claim.reference} stands already"
        raise AlreadyExists("USAGE_CONFLICT", message, name=claim.reference)
    return standing


def _claim_in(signed: bytes) -> Claim:
    """A stored record as a claim; its signature was checked when it came."""
    message = signed_pb2.Signed.FromString(signed)
    return Claim(usage_pb2.UsageRecord.FromString(message.payload), message, "")


def _entitled(record: usage_pb2.UsageRecord, hold: Row[Any], move: Move | None) -> bool:
    """Whether usage of the hold's placement may come from the site that measured."""
    if record.transfer:
        return move is not None and (move.target, move.placement) == (record.site, record.placement)
    return bool(hold.site == record.site)


def _paid_by(c: Connection, hold: Row[Any]) -> dict[str, object]:
    return {"job": hold.job, "party": ledger.account(c, hold.account).party, "ratable": True}


def _row(claim: Claim, now: datetime) -> dict[str, Any]:
    """A record as it is kept; of no job and no party until a hold pays for it."""
    record = claim.record
    return {
        "site": record.site,
        "epoch": record.epoch,
        "sequence": record.sequence,
        "placement": record.placement,
        "job": "",
        "party": "",
        "task": record.task,
        "transfer": record.transfer,
        "final": record.final,
        "ratable": False,
        "signed": claim.signed.SerializeToString(),
        "record_us": microseconds(now),
    }


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
