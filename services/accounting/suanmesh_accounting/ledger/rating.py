"""Usage into charges: stored once, rated by what the hold fixed, posted as entries that sum to zero."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import partial

from sqlalchemy import func, select

from suanmesh_accounting.domain.commands import ExpireUsage, Measured, Outcome, Recorded, RecordUsage
from suanmesh_accounting.domain.ledger import Hold, HoldState, chargeable
from suanmesh_accounting.domain.quarantine import require_room
from suanmesh_accounting.ledger import tables as t
from suanmesh_accounting.ledger.hold_charges import HoldCharges
from suanmesh_accounting.ledger.paying import book_of, existing, move_on
from suanmesh_accounting.ledger.session import Session
from suanmesh_kernel.refusals import AlreadyExists, FailedPrecondition, Refusal


def record_usage(session: Session, command: RecordUsage) -> tuple[Outcome, ...]:
    """Store the records of a batch and charge them; one that was charged before counts once and is answered as such.

    One that no hold pays for is kept in quarantine, and answered with a refusal that leaves it there.
    """
    outcomes: list[Outcome] = []
    for measured in command.measured:
        try:
            outcomes.append(_recorded(session, command, measured))
        except Refusal as refusal:
            outcomes.append(refusal)
    return tuple(outcomes)


def _recorded(session: Session, command: RecordUsage, measured: Measured) -> Outcome:
    """Raises Refusal before it has changed anything."""
    charging = session.charging.get(measured.placement)
    hold = charging.hold if charging is not None else _hold_of(session, command, measured)
    standing = session.usage.stored(measured)
    if standing is not None and standing.record != measured.record:
        message = f"another record {measured.reference} stands already"
        raise AlreadyExists("USAGE_CONFLICT", message, name=measured.reference)
    if hold is None or not hold.committed or not _entitled(command, measured, hold):
        if standing is None:
            _put_apart(session, command, measured)
        message = f"it is kept, but no hold of {measured.placement} lets it be charged"
        return FailedPrecondition("USAGE_NOT_RATABLE", message, name=measured.placement)
    if standing is not None and standing.ratable:
        return Recorded(standing.lines, again=True)
    charging = charging or _charging(session, hold, command.record_us)
    lines = charging.charge(measured, command.moves.get(measured.transfer))
    if standing is not None:
        session.usage.rate(standing, lines)
    else:
        assert command.batch is not None
        session.usage.keep(measured, command.batch, command.record_us, ratable=True, lines=lines)
    if hold.state is HoldState.RELEASED:
        session.settle()  # what it may still be charged depends on what all others have taken from the account
    return Recorded(lines, again=False)


def expire_usage(session: Session, command: ExpireUsage) -> Mapping[str, int]:
    """Drop records that came to quarantine before a moment, the oldest first; how many of each site."""
    u, batches = t.usage.c, t.usage_batches
    old = select(u.id, u.site, u.batch).where(t.in_quarantine, u.record_us < command.before_us)
    rows = session.connection.execute(old.order_by(u.record_us).limit(command.limit)).all()
    if rows:
        session.execute(t.usage.delete().where(u.id.in_([row.id for row in rows]), t.in_quarantine))
        for batch, gone in Counter(row.batch for row in rows).items():
            fewer = batches.update().where(batches.c.id == batch).values(kept=batches.c.kept - gone)
            session.execute(fewer)
        session.execute(batches.delete().where(batches.c.id.in_({row.batch for row in rows}), batches.c.kept <= 0))
    return Counter(row.site for row in rows)


def _hold_of(session: Session, command: RecordUsage, measured: Measured) -> Hold | None:
    """The hold that is to pay, bound where its placement was committed."""
    hold = session.hold_of(measured.placement)
    if hold is not None and hold.state is HoldState.HELD and measured.placement in command.committed:
        return move_on(session, hold, HoldState.COMMITTED)
    return hold


def _entitled(command: RecordUsage, measured: Measured, hold: Hold) -> bool:
    """Whether usage of the hold's placement may come from the site that measured."""
    if measured.transfer:
        move = command.moves.get(measured.transfer)
        return move is not None and (move.target, move.placement) == (measured.site, measured.placement)
    return hold.site == measured.site


def _put_apart(session: Session, command: RecordUsage, measured: Measured) -> None:
    """Keep a record that no hold pays for. Raises ResourceExhausted (`QUARANTINE_FULL`).

    What is kept of its batch counts for the first that is kept of it.
    """
    site, batch = command.site, command.batch
    assert batch is not None
    if site not in session.apart:
        session.apart[site] = _kept_apart(session, site)
    records, total = session.apart[site]
    size_bytes = len(measured.record)
    if batch is not session.apart_batch:
        size_bytes += len(batch.signed) + len(batch.leaves)
    require_room(site, records=records, size_bytes=total, more_bytes=size_bytes, room=command.room)
    session.apart[site], session.apart_batch = (records + 1, total + size_bytes), batch
    session.usage.keep(measured, batch, command.record_us, ratable=False, lines=0)


def _kept_apart(session: Session, site: str) -> tuple[int, int]:
    """How many records of a site are in quarantine, and the bytes of them and of their batches."""
    u, b = t.usage.c, t.usage_batches.c
    mine = [t.in_quarantine, u.site == site]
    query = select(func.count(), func.coalesce(func.sum(func.length(u.record)), 0)).where(*mine)
    records, total = session.connection.execute(query).one()
    size = func.coalesce(func.sum(func.length(b.signed) + func.length(b.leaves)), 0)
    batches = select(size).where(b.id.in_(select(u.batch).where(*mine)))
    return int(records), int(total) + int(session.connection.execute(batches).scalar_one())


def _charging(session: Session, hold: Hold, now_us: int) -> HoldCharges:
    account = existing(session, hold.account)
    left_micros = chargeable(hold, account.free_micros)
    charging = HoldCharges(session, hold, account, left_micros, partial(book_of, session), now_us)
    session.charging[hold.placement] = charging
    return charging
