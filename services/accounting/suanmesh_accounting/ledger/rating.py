"""Usage into charges: stored once, rated by what the hold fixed, posted as entries that sum to zero."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from sqlalchemy import func, select

from suanmesh.accounting.v1 import usage_pb2
from suanmesh.accounting.v1.accounting_service_pb2 import HoldAsk
from suanmesh.type.v1 import money_pb2, signed_pb2
from suanmesh_accounting.domain.commands import ExpireUsage, Measured, RecordUsage
from suanmesh_accounting.domain.ledger import AccountKind, Hold, HoldState, Share, chargeable, entry, within
from suanmesh_accounting.domain.prices import RatedLine, compute_lines, transfer_lines
from suanmesh_accounting.domain.quarantine import require_room
from suanmesh_accounting.ledger import tables as t
from suanmesh_accounting.ledger.paying import book_of, existing, move_on
from suanmesh_accounting.ledger.session import Number, Session
from suanmesh_accounting.wire import price_to, tariffs_from, timestamp
from suanmesh_kernel.refusals import AlreadyExists, FailedPrecondition


def record_usage(session: Session, command: RecordUsage) -> tuple[str, ...] | FailedPrecondition:
    """Store one record and charge it; a record that was charged before counts once and is answered the same way.

    One that no hold pays for is kept in quarantine, and answered with a refusal that leaves it there.
    """
    measured, number = command.measured, _number(command)
    hold = session.hold_of(measured.placement)
    if command.committed and hold is not None and hold.state is HoldState.HELD:
        hold = move_on(session, hold, HoldState.COMMITTED)
    standing = session.stored(number)
    if standing is not None and signed_pb2.Signed.FromString(standing.signed).payload != command.payload:
        message = f"another record {measured.reference} stands already"
        raise AlreadyExists("USAGE_CONFLICT", message, name=measured.reference)
    if hold is None or not hold.committed or not _entitled(command, hold):
        if standing is None:
            _put_apart(session, command)
        message = f"{measured.reference} is kept, but no hold of {measured.placement} lets it be charged"
        return FailedPrecondition("USAGE_NOT_RATABLE", message, name=measured.reference)
    if standing is not None and standing.ratable:
        return standing.charges
    ask = _ask_of(session, hold)
    names = _charge(session, command, hold, ask, _lines(session, command, hold, ask))
    party = existing(session, hold.account).party
    session.keep_usage(number, _row(command, job=hold.job, party=party, ratable=True), names)
    return names


def expire_usage(session: Session, command: ExpireUsage) -> Mapping[str, int]:
    """Drop records that came to quarantine before a moment, the oldest first; how many of each site."""
    u = t.usage.c
    old = select(u.id, u.site).where(u.ratable.is_(False), u.record_us < command.before_us)
    rows = session.connection.execute(old.order_by(u.record_us).limit(command.limit)).all()
    if rows:
        session.execute(t.usage.delete().where(u.id.in_([row.id for row in rows]), u.ratable.is_(False)))
    return Counter(row.site for row in rows)


def work_of(hold: Hold, measured: Measured) -> str:
    """The task or transfer of a hold whose lines are rounded together."""
    return f"{hold.name}/{measured.transfer or measured.task}"


def _number(command: RecordUsage) -> Number:
    return command.measured.site, command.measured.epoch, command.measured.sequence


def _entitled(command: RecordUsage, hold: Hold) -> bool:
    """Whether usage of the hold's placement may come from the site that measured."""
    measured, move = command.measured, command.move
    if measured.transfer:
        return move is not None and (move.target, move.placement) == (measured.site, measured.placement)
    return hold.site == measured.site


def _put_apart(session: Session, command: RecordUsage) -> None:
    """Keep a record that no hold pays for. Raises ResourceExhausted (`QUARANTINE_FULL`)."""
    site, size_bytes = command.measured.site, len(command.signed)
    if site not in session.apart:
        size = func.coalesce(func.sum(func.length(t.usage.c.signed)), 0)
        query = select(func.count(), size).where(t.usage.c.ratable.is_(False), t.usage.c.site == site)
        records, total = session.connection.execute(query).one()
        session.apart[site] = (int(records), int(total))
    records, total = session.apart[site]
    require_room(site, records=records, size_bytes=total, more_bytes=size_bytes, room=command.room)
    session.apart[site] = (records + 1, total + size_bytes)
    session.keep_usage(_number(command), _row(command, job="", party="", ratable=False), ())


def _row(command: RecordUsage, *, job: str, party: str, ratable: bool) -> dict[str, Any]:
    """A record as it is kept; of no job and no party until a hold pays for it."""
    measured = command.measured
    return {
        "site": measured.site,
        "epoch": measured.epoch,
        "sequence": measured.sequence,
        "placement": measured.placement,
        "job": job,
        "party": party,
        "task": measured.task,
        "transfer": measured.transfer,
        "final": measured.final,
        "ratable": ratable,
        "signed": command.signed,
        "record_us": command.record_us,
    }


def _ask_of(session: Session, hold: Hold) -> HoldAsk:
    if hold.name not in session.asks:
        session.asks[hold.name] = HoldAsk.FromString(hold.ask)
    return session.asks[hold.name]


def _lines(session: Session, command: RecordUsage, hold: Hold, ask: HoldAsk) -> list[RatedLine]:
    """Rate a record by the book version and the link prices its hold fixed.

    What was moved pays for the links of its own way alone; a way the hold fixed no price for is free.
    """
    measured, move = command.measured, command.move
    carried = session.remainders.of(work_of(hold, measured))
    if measured.transfer:
        moved = sum(r.quantity for r in measured.readings if r.meter == money_pb2.METER_TRANSFER_BYTES)
        ends = (move.source, move.target) if move else None
        crossed = [priced for priced in ask.link_prices if (priced.source, priced.target) == ends]
        return transfer_lines(money_pb2.METER_TRANSFER_BYTES, moved, tariffs_from(crossed), carried)
    return compute_lines(measured.readings, book_of(session, ask.price_book, hold.price_version), carried)


def _charge(
    session: Session, command: RecordUsage, hold: Hold, ask: HoldAsk, lines: list[RatedLine]
) -> tuple[str, ...]:
    """Write down every line, as far as the hold covers them."""
    account = existing(session, hold.account)
    shares = within((line.amount_micros for line in lines), chargeable(hold, account.free_micros))
    names = tuple(
        _write_line(session, command, hold, ask.decision, line, share, position)
        for position, (line, share) in enumerate(zip(lines, shares, strict=True))
    )
    for line in lines:
        session.remainders.carry(work_of(hold, command.measured), line.rate, line.remainder_out)
    if spent := sum(share.charged_micros for share in shares):
        session.spend(hold, spent)
    return names


def _write_line(
    session: Session, command: RecordUsage, hold: Hold, decision: str, line: RatedLine, share: Share, position: int
) -> str:
    measured, now_us = command.measured, command.record_us
    currency = existing(session, hold.account).currency
    payee = session.account_for(line.payee_party, AccountKind.PROVIDER, currency, now_us)
    name = f"charges/{measured.site.removeprefix('sites/')}-{measured.epoch}-{measured.sequence}-{position}"
    charge = usage_pb2.Charge(
        name=name,
        account=hold.account,
        payee=payee,
        job=hold.job,
        placement=hold.placement,
        decision=decision,
        usage=measured.reference,
        meter=money_pb2.Meter.ValueType(line.meter),
        quantity=line.quantity,
        price=price_to(line),
        price_version=line.price_version,
        amount_micros=share.charged_micros,
        waived_micros=share.waived_micros,
        remainder_in=line.remainder_in,
        remainder_out=line.remainder_out,
        currency=currency,
        trace_id=hold.trace_id,
        create_time=timestamp(now_us),
    )
    row = {"name": name, "account": hold.account, "job": hold.job, "usage": measured.reference}
    document = {"amount_micros": share.charged_micros, "create_us": now_us, "document": charge.SerializeToString()}
    session.add(t.charges, row | document)
    if share.charged_micros:
        session.move_money(payee, balance_micros=share.charged_micros)
        session.post(entry(hold.account, payee, share.charged_micros, currency), name, name, now_us)
    return name
