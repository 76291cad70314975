"""Carries out commands in one transaction: what they need is read at once, what they change is written at the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, select, tuple_

from suanmesh_accounting.domain import commands as c
from suanmesh_accounting.domain.prices import Book
from suanmesh_accounting.domain.queries import OwnIdentity
from suanmesh_accounting.ledger import tables as t
from suanmesh_accounting.ledger.budgets import set_budget, set_party_budget
from suanmesh_accounting.ledger.paying import (
    close_account,
    credit_account,
    move_hold,
    open_account,
    place_hold,
    publish_book,
)
from suanmesh_accounting.ledger.rating import expire_usage, record_usage
from suanmesh_accounting.ledger.reading import answered
from suanmesh_accounting.ledger.session import Session
from suanmesh_kernel.refusals import Refusal


def carry_out(
    connection: Connection, commands: Sequence[c.Command[Any]], books: dict[tuple[str, int], Book]
) -> tuple[list[Any], bool]:
    """What each command resulted in, or its refusal, and whether anything was written.

    `books` are versions of price books that were read before; what is read here is added. Raises Stale where others
    have changed meanwhile what was read; the transaction is then to be rolled back.
    """
    session = Session(connection, books)
    _load(session, commands)
    results = [_result(session, command) for command in commands]
    session.flush()
    return results, session.changed


def _result(session: Session, command: c.Command[Any]) -> Any:
    try:
        return _done(session, command)
    except Refusal as refusal:
        return refusal


def _done(session: Session, command: c.Command[Any]) -> Any:
    """Raises Refusal before it has changed anything."""
    if isinstance(command, c.Once):
        return _once(session, command)
    if not isinstance(command, c.RecordUsage):
        session.settle()
    return _ACTS[type(command)](session, command)


def _once(session: Session, once: c.Once[Any]) -> Any:
    if (record := session.answer_to(once.request)) is not None:
        return c.Replayed(record)
    result = _done(session, once.command)
    session.keep_answer(once.request, once.answer(result), once.create_us)
    return result


def _forget(session: Session, command: c.ForgetAnswers) -> None:
    columns = t.requests.c
    key = (columns.principal, columns.method, columns.request_id)
    old = select(*key).where(columns.create_us < command.before_us).order_by(columns.create_us).limit(command.limit)
    session.execute(t.requests.delete().where(tuple_(*key).in_(old)))


def _claim(session: Session, command: c.ClaimLedger) -> c.LedgerIdentity:
    if (own := answered(session.connection, OwnIdentity())) is not None:
        return own
    fresh = {"node_id": "", "generation": "", "number": 0}
    session.add(t.identity, {"id": 1, "node": command.node, "ledger": command.name, **fresh})
    return c.LedgerIdentity(command.node, command.name)


def _mark(session: Session, command: c.MarkLedger) -> None:
    session.execute(t.identity.update().where(t.identity.c.number < command.number).values(**asdict(command)))


_ACTS: dict[type, Callable[[Session, Any], Any]] = {
    c.OpenAccount: open_account,
    c.CreditAccount: credit_account,
    c.CloseAccount: close_account,
    c.SetBudget: set_budget,
    c.SetPartyBudget: set_party_budget,
    c.PublishBook: publish_book,
    c.PlaceHold: place_hold,
    c.MoveHold: move_hold,
    c.RecordUsage: record_usage,
    c.ExpireUsage: expire_usage,
    c.ForgetAnswers: _forget,
    c.ClaimLedger: _claim,
    c.MarkLedger: _mark,
}


def _load(session: Session, commands: Sequence[c.Command[Any]]) -> None:
    """Read in a few queries what the commands will look at."""
    names = {command.name for command in commands if isinstance(command, c.PlaceHold | c.MoveHold)}
    asks = [command for command in commands if isinstance(command, c.PlaceHold)]
    used = [measured for command in commands if isinstance(command, c.RecordUsage) for measured in command.measured]
    session.load_accounts({ask.account for ask in asks})
    accounts = (session.account(ask.account) for ask in asks)
    session.party_budgets.load({account.party for account in accounts if account is not None})
    session.load_holds(names, {measured.placement for measured in used} | {ask.placement for ask in asks})
    session.usage.load(used)
    holds = map(session.hold_of, {measured.placement for measured in used})
    session.remainders.load({hold.name for hold in holds if hold is not None})
