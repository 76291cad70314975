"""Budgets of accounts and of parties: what the commands that set them, and the holds within them, do to a session."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import BindParameter, bindparam, func, select

from suanmesh_accounting.domain.commands import SetBudget, SetPartyBudget
from suanmesh_accounting.domain.ledger import (
    Account,
    AccountKind,
    PartyBudget,
    require_budget,
    require_open,
    require_party_budget,
)
from suanmesh_accounting.ledger import tables as t
from suanmesh_accounting.ledger.session import Session
from suanmesh_accounting.wire import month_at
from suanmesh_kernel.months import begin_of
from suanmesh_kernel.refusals import InvalidArgument, NotFound


def set_budget(session: Session, command: SetBudget) -> Account:
    """Set what an account may spend in a month; what was charged in this one is counted from its charges."""
    account = session.account(command.name)
    if account is None or command.party not in ("", account.party):
        raise NotFound("ACCOUNT_UNKNOWN", f"no account {command.name}", name=command.name)
    if account.kind is not AccountKind.CONSUMER:
        raise InvalidArgument("FIELD_INVALID", f"name: {command.name} pays for no jobs", field="name")
    session.lock_accounts({command.name})
    locked = session.account(command.name)
    assert locked is not None
    require_open(locked)
    _count_month(session, {command.name}, month_at(command.now_us))
    return session.rewrite(command.name, budget_micros=command.amount_micros, budget_hard=command.hard)


def set_party_budget(session: Session, command: SetPartyBudget) -> PartyBudget:
    """Set what a party may spend in a month; what its accounts were charged in this one is counted from the charges."""
    party, currency = command.party, command.currency
    columns = t.accounts.c
    query = select(columns.name).where(columns.party == party, columns.currency == currency)
    names = {*session.connection.execute(query).scalars(), *session.accounts_of(party, currency)}
    if not names:
        message = f"{party} has no account in {currency}"
        raise NotFound("ACCOUNT_UNKNOWN", message, name=party, currency=currency)
    session.load_accounts(names)
    session.lock_accounts(names)
    _count_month(session, names, month_at(command.now_us))
    budgets = session.party_budgets
    budgets.set(party, currency, command.amount_micros, hard=command.hard)
    return budgets.counted(party, currency, session.accounts_of(party, currency))


def require_within_budgets(session: Session, account: Account, amount_micros: int, create_us: int) -> None:
    """Refuse a hold beyond the budget of its account or its party; what lets it through may not have changed meanwhile.

    Raises ResourceExhausted (`BUDGET_EXHAUSTED`, `PARTY_BUDGET_EXHAUSTED`).
    """
    month, party = month_at(create_us), (account.party, account.currency)
    require_budget(account, amount_micros, month)
    if session.party_budgets.bounds(*party):
        budget = session.party_budgets.counted(*party, session.accounts_of(*party))
        require_party_budget(budget, amount_micros, month)
        session.party_budgets.depend_on(*party)
    if account.bounded:
        session.within_budget.add(account.name)


def _count_month(session: Session, names: Collection[str], month: int) -> None:
    """Count what accounts, which are locked, were charged in a month from their charges."""
    begin_us = int(begin_of(month).timestamp()) * 1_000_000
    rows = session.connection.execute(_CHARGED_SINCE, {"accounts": sorted(names), "since": begin_us})
    counted = {row.account: int(row.micros) for row in rows}
    for name in sorted(names):
        session.rewrite(name, month=month, month_spent_micros=counted.get(name, 0))
    session.party_budgets.forget_counts()


_ACCOUNTS: BindParameter[str] = bindparam("accounts", expanding=True)
_CHARGED_SINCE = (
    select(t.charges.c.account, func.sum(t.charges.c.amount_micros).label("micros"))
    .where(t.charges.c.account.in_(_ACCOUNTS), t.charges.c.create_us >= bindparam("since"))
    .group_by(t.charges.c.account)
)
