"""Usage into charges: stored once, rated by what the hold fixed, posted as entries that sum to zero."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import Any

from sqlalchemy import func, select

from suanmesh.accounting.v1.accounting_service_pb2 import HoldAsk
from suanmesh.type.v1 import signed_pb2
from suanmesh_accounting.domain.commands import ExpireUsage, RecordUsage
from suanmesh_accounting.domain.ledger import Hold, HoldState, chargeable
from suanmesh_accounting.domain.prices import Book
from suanmesh_accounting.domain.quarantine import require_room
from suanmesh_accounting.ledger import tables as t
from suanmesh_accounting.ledger.hold_charges import HoldCharges
from suanmesh_accounting.ledger.paying import book_of, existing, move_on
from suanmesh_accounting.ledger.session import Number, Session
from suanmesh_kernel.refusals import AlreadyExists, FailedPrecondition


def record_usage(session: Session, command: RecordUsage) -> tuple[str, ...] | FailedPrecondition:
    """Store one record and charge it; a record that was charged before counts once and is answered the same way.

    One that no hold pays for is kept in quarantine, and answered with a refusal that leaves it there.
    """
    measured, number = command.measured, _number(command)
    charging = session.charging.get(measured.placement)
    hold = charging.hold if charging is not None else _hold_of(session, command)
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
    charging = charging or _charging(session, hold)
    names = charging.charge(command)
    session.keep_usage(number, _row(command, job=hold.job, party=charging.party, ratable=True), names)
    if hold.state is HoldState.RELEASED:
        session.settle()  # what it may still be charged depends on what all others have taken from the account
    return names


def expire_usage(session: Session, command: ExpireUsage) -> Mapping[str, int]:
    """Drop records that came to quarantine before a moment, the oldest first; how many of each site."""
    u = t.usage.c
    old = select(u.id, u.site).where(u.ratable.is_(False), u.record_us < command.before_us)
    rows = session.connection.execute(old.order_by(u.record_us).limit(command.limit)).all()
    if rows:
        session.execute(t.usage.delete().where(u.id.in_([row.id for row in rows]), u.ratable.is_(False)))
    return Counter(row.site for row in rows)


def _hold_of(session: Session, command: RecordUsage) -> Hold | None:
    """The hold that is to pay, bound where its placement was committed."""
    hold = session.hold_of(command.measured.placement)
    if hold is not None and command.committed and hold.state is HoldState.HELD:
        return move_on(session, hold, HoldState.COMMITTED)
    return hold


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


def _charging(session: Session, hold: Hold) -> HoldCharges:
    account = existing(session, hold.account)
    prices = partial(_prices_of, session, hold.price_version)
    charging = HoldCharges(session, hold, account, chargeable(hold, account.free_micros), prices)
    session.charging[hold.placement] = charging
    return charging


def _prices_of(session: Session, version: int, ask: HoldAsk) -> Book:
    return book_of(session, ask.price_book, version)
