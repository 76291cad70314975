"""Rows of the ledger's tables as values."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row

from suanmesh_accounting.domain.ledger import Account, AccountKind, Hold, HoldState, Posted
from suanmesh_accounting.domain.queries import StoredBook


def account_of(row: Row[Any]) -> Account:
    """A row of `accounts`."""
    return Account(
        name=row.name,
        party=row.party,
        currency=row.currency,
        kind=AccountKind(row.kind),
        balance_micros=row.balance_micros,
        held_micros=row.held_micros,
        create_us=row.create_us,
        close_us=row.close_us,
        budget_micros=row.budget_micros,
        budget_hard=row.budget_hard,
        month=row.month,
        month_spent_micros=row.month_spent_micros,
    )


def hold_of(row: Row[Any]) -> Hold:
    """A row of `holds`."""
    return Hold(
        name=row.name,
        account=row.account,
        placement=row.placement,
        position=row.position,
        job=row.job,
        site=row.site,
        amount_micros=row.amount_micros,
        charged_micros=row.charged_micros,
        state=HoldState(row.state),
        committed=row.committed,
        ask=row.ask,
        price_version=row.price_version,
        trace_id=row.trace_id,
        create_us=row.create_us,
    )


def posted_of(row: Row[Any]) -> Posted:
    """A row of `postings`."""
    return Posted(row.entry, row.account, row.amount_micros, row.currency, row.post_us)


def book_of(row: Row[Any]) -> StoredBook:
    """A row of `price_books`."""
    return StoredBook(row.name, row.version, row.document)
