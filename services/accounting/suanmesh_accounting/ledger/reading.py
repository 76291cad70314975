"""Queries of the ledger, each on one moment of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, TypeVar

from sqlalchemy import (
    BindParameter,
    Connection,
    Row,
    Select,
    bindparam,
    exists,
    func,
    literal,
    or_,
    select,
    tuple_,
)

from suanmesh_accounting.domain import queries as q
from suanmesh_accounting.domain.commands import LedgerIdentity, Request
from suanmesh_accounting.domain.ledger import NO_BUDGET, Account, AccountKind, Finals, Hold, HoldState, PartyBudget
from suanmesh_accounting.ledger import tables as t
from suanmesh_accounting.ledger.bills import STANDING, account_named, bill, summed_charges
from suanmesh_accounting.ledger.paging import by_id, page_of, place_of_id
from suanmesh_accounting.ledger.party_budgets import budgets_of
from suanmesh_accounting.ledger.proving import proved_usage
from suanmesh_accounting.ledger.rows import account_of, book_of, hold_of, posted_of
from suanmesh_kernel import pages

R = TypeVar("R")
T = TypeVar("T")

STAND, GIVEN_BACK = "0", "1"
"""What the places of holds begin with."""


def answered(connection: Connection, query: q.Query[R]) -> R:
    """What a query asks for."""
    found: R = _READERS[type(query)](connection, query)
    return found


def _accounts(c: Connection, query: q.Accounts) -> q.Page[Account]:
    names = t.accounts.c.name
    found = select(t.accounts).where(names > query.cut.after).order_by(names)
    found = found.where(t.accounts.c.party == query.party) if query.party else found
    return page_of(c, found, query.cut, lambda row: str(row.name), account_of)


def _bounded_accounts(c: Connection, query: q.BoundedAccounts) -> q.Page[tuple[Account, PartyBudget | None]]:
    page = _accounts(c, q.Accounts(query.cut, query.party))
    budgets = budgets_of(c, {account.party for account in page.items})
    told = tuple((account, budgets.get((account.party, account.currency))) for account in page.items)
    return q.Page(told, page.next_page_token)


def _bounded_account(c: Connection, query: q.BoundedAccount) -> tuple[Account, PartyBudget | None]:
    account = account_named(c, query.name)
    return account, budgets_of(c, {account.party}).get((account.party, account.currency))


def _party_budgets(c: Connection, query: q.PartyBudgets) -> q.Page[PartyBudget]:
    columns = t.party_budgets.c
    party, _, currency = query.cut.after.partition(" ")
    found = select(t.party_budgets).where(columns.amount_micros != NO_BUDGET)
    found = found.where(tuple_(columns.party, columns.currency) > tuple_(literal(party), literal(currency)))
    found = found.where(columns.party == query.party) if query.party else found
    found = found.order_by(columns.party, columns.currency)
    page = page_of(
        c, found, query.cut, lambda row: f"{row.party} {row.currency}", lambda row: (row.party, row.currency)
    )
    budgets = budgets_of(c, {party for party, _ in page.items})
    return q.Page(tuple(budgets[key] for key in page.items), page.next_page_token)


def _books_in_force(c: Connection, query: q.BooksInForce) -> dict[str, q.StoredBook]:
    rows = c.execute(_BOOKS_IN_FORCE, {"names": list(query.names)}) if query.names else ()
    return {row.name: book_of(row) for row in rows}


def _books(c: Connection, query: q.Books) -> q.Page[q.StoredBook]:
    columns = t.price_books.c
    only = [columns.name == query.name] if query.name else []
    if not query.all_versions:
        found = _newest().where(columns.name > query.cut.after, *only).order_by(columns.name)
        return page_of(c, found, query.cut, lambda row: str(row.name), book_of)
    name, _, version = query.cut.after.rpartition("@")
    place = tuple_(columns.name, columns.version)
    found = select(t.price_books).where(place > tuple_(literal(name), literal(pages.as_number(version))), *only)
    return page_of(c, found.order_by(columns.name, columns.version), query.cut, _version_place, book_of)


def _version_place(row: Row[Any]) -> str:
    return f"{row.name}@{row.version:0{pages.NUMBER_DIGITS}d}"


def _newest() -> Select[Any]:
    """The versions in force."""
    columns = t.price_books.c
    newest = select(columns.name, func.max(columns.version).label("version")).group_by(columns.name).subquery()
    return select(t.price_books).join(newest, (newest.c.name == columns.name) & (newest.c.version == columns.version))


def _usage(c: Connection, query: q.Usage) -> q.Page[q.ProvedUsage]:
    found = by_id(t.usage, query.cut.after)
    if query.job or query.party:
        paid = select(t.holds.c.placement)
        paid = paid.where(t.holds.c.job == query.job) if query.job else paid
        if query.party:
            paid = paid.where(t.holds.c.account.in_(_names_of(query.party)))
        found = found.where(t.usage.c.ratable.is_(True), t.usage.c.placement.in_(paid))
    page = page_of(c, found, query.cut, place_of_id, lambda row: row)
    return q.Page(tuple(proved_usage(c, page.items)), page.next_page_token)


def _postings(c: Connection, query: q.Postings) -> q.Page[Any]:
    found = by_id(t.postings, query.cut.after)
    found = found.where(t.postings.c.account == query.account) if query.account else found
    if query.party:
        found = found.where(t.postings.c.account.in_(_names_of(query.party)))
    return page_of(c, found, query.cut, place_of_id, posted_of)


def _holds(c: Connection, query: q.Holds) -> q.Page[Hold]:
    """The few that stand are found by their state, the many that were given back by their names, a page at a time."""
    h, after, size = t.holds.c, query.cut.after, query.cut.size
    chosen = [h.account == query.account] if query.account else []
    if query.party:
        chosen.append(h.account.in_(_names_of(query.party)))
    found: dict[str, Hold] = {}
    for mark, part in ((STAND, h.state.in_(STANDING)), (GIVEN_BACK, h.state.not_in(STANDING))):
        if after[:1] <= mark and len(found) <= size:
            beyond = after[1:] if after[:1] == mark else ""
            rows = c.execute(
                select(t.holds).where(part, h.name > beyond, *chosen).order_by(h.name).limit(size + 1 - len(found))
            )
            found |= {f"{mark}{row.name}": hold_of(row) for row in rows}
    places, token = pages.cut(found, size, query.cut.scope)
    return q.Page(tuple(found[place] for place in places), token)


def _standing_holds(c: Connection, query: q.StandingHolds) -> tuple[Hold, ...]:
    if query.placements:
        return tuple(map(hold_of, c.execute(_STANDING_HOLDS_OF, {"placements": list(query.placements)})))
    return tuple(map(hold_of, c.execute(_STANDING_HOLDS)))


def _summed_books(c: Connection, _: q.SummedBooks) -> q.BookSums:
    return q.BookSums(
        postings_micros={row.currency: int(row.micros) for row in c.execute(_POSTINGS_SUMMED)},
        balances_micros={(row.currency, AccountKind(row.kind)): int(row.micros) for row in c.execute(_BALANCES_SUMMED)},
        held_micros={row.currency: int(row.micros) for row in c.execute(_HELD_SUMMED)},
        standing_holds={HoldState(row.state): int(row.holds) for row in c.execute(_HOLDS_COUNTED)},
    )


def _hold_states(c: Connection, query: q.HoldStates) -> dict[str, HoldState]:
    rows = c.execute(_HOLD_STATES, {"placements": list(query.placements)}) if query.placements else ()
    return {row.placement: HoldState(row.state) for row in rows}


def _final_usage(c: Connection, query: q.FinalUsage) -> dict[str, Finals]:
    tasks: dict[str, set[int]] = {}
    transfers: dict[str, set[str]] = {}
    for row in c.execute(_FINAL_USAGE, {"placements": list(query.placements)}) if query.placements else ():
        if row.transfer:
            transfers.setdefault(row.placement, set()).add(row.transfer)
        else:
            tasks.setdefault(row.placement, set()).add(row.task)
    return {
        name: Finals(frozenset(tasks.get(name, ())), frozenset(transfers.get(name, ())))
        for name in tasks.keys() | transfers.keys()
    }


def _payable_quarantine(c: Connection, query: q.PayableQuarantine) -> tuple[q.QuarantinedRecord, ...]:
    rows = c.execute(_PAYABLE_QUARANTINE, {"after": query.after, "most": query.limit})
    return tuple(q.QuarantinedRecord(row.id, row.record) for row in rows)


def _quarantine_size(c: Connection, _: q.QuarantineSize) -> int:
    return int(c.execute(select(func.count()).where(t.in_quarantine)).scalar_one())


def _usage_of_meter(c: Connection, query: q.UsageOfMeter) -> q.MeterUsage:
    u = t.usage.c
    mine = u.site == query.site
    last = c.execute(select(u.epoch).where(mine).order_by(u.id.desc()).limit(1)).scalar()
    sequence = c.execute(select(func.max(u.sequence)).where(mine, u.epoch == query.epoch)).scalar()
    about = or_(u.placement.in_(query.works), u.transfer.in_(query.works))
    records = c.execute(select(u.record).where(mine, about).order_by(u.id)).scalars() if query.works else ()
    return q.MeterUsage(last or "", sequence or 0, tuple(records))


def _own_identity(c: Connection, _: q.OwnIdentity) -> LedgerIdentity | None:
    row = c.execute(select(t.identity)).first()
    if row is None:
        return None
    postings = c.execute(select(func.max(t.postings.c.id))).scalar_one()
    return LedgerIdentity(row.node, row.ledger, row.node_id, row.generation, row.number, postings or 0)


def _answer_to(c: Connection, query: q.AnswerTo) -> bytes | None:
    return answer_to(c, query.request)


def answer_to(c: Connection, request: Request) -> bytes | None:
    """The record of the answer once given to a request."""
    record: bytes | None = c.execute(_ANSWER, asdict(request)).scalar_one_or_none()
    return record


def _names_of(party: str) -> Select[Any]:
    """The accounts of a party."""
    return select(t.accounts.c.name).where(t.accounts.c.party == party)


_PLACEMENTS: BindParameter[str] = bindparam("placements", expanding=True)
_BOOKS_IN_FORCE = _newest().where(t.price_books.c.name.in_(bindparam("names", expanding=True)))
_STANDING_HOLDS = select(t.holds).where(t.holds.c.state.in_(STANDING)).order_by(t.holds.c.create_us, t.holds.c.name)
_STANDING_HOLDS_OF = _STANDING_HOLDS.where(t.holds.c.placement.in_(_PLACEMENTS))
_HOLD_STATES = (
    select(t.holds.c.placement, t.holds.c.state)
    .where(t.holds.c.placement.in_(_PLACEMENTS))
    .order_by(t.holds.c.position.desc())
)
_FINAL_USAGE = select(t.usage.c.placement, t.usage.c.task, t.usage.c.transfer).where(
    t.usage.c.placement.in_(_PLACEMENTS), t.usage.c.final.is_(True), t.usage.c.ratable.is_(True)
)
_PAYABLE_QUARANTINE = (
    select(t.usage.c.id, t.usage.c.record)
    .where(
        t.in_quarantine,
        t.usage.c.id > bindparam("after"),
        exists().where(t.holds.c.placement == t.usage.c.placement, t.holds.c.committed.is_(True)),
    )
    .order_by(t.usage.c.id)
    .limit(bindparam("most"))
)
_ANSWER = select(t.requests.c.record).where(
    t.requests.c.principal == bindparam("principal"),
    t.requests.c.method == bindparam("method"),
    t.requests.c.request_id == bindparam("request_id"),
)
_POSTINGS_SUMMED = select(t.postings.c.currency, func.sum(t.postings.c.amount_micros).label("micros")).group_by(
    t.postings.c.currency
)
_BALANCES_SUMMED = select(
    t.accounts.c.currency, t.accounts.c.kind, func.sum(t.accounts.c.balance_micros).label("micros")
).group_by(t.accounts.c.currency, t.accounts.c.kind)
_HELD_SUMMED = select(t.accounts.c.currency, func.sum(t.accounts.c.held_micros).label("micros")).group_by(
    t.accounts.c.currency
)
_HOLDS_COUNTED = (
    select(t.holds.c.state, func.count().label("holds")).where(t.holds.c.state.in_(STANDING)).group_by(t.holds.c.state)
)
_READERS: dict[type, Callable[[Connection, Any], Any]] = {
    q.AccountNamed: lambda c, query: account_named(c, query.name),
    q.Accounts: _accounts,
    q.BoundedAccounts: _bounded_accounts,
    q.BoundedAccount: _bounded_account,
    q.PartyBudgets: _party_budgets,
    q.BooksInForce: _books_in_force,
    q.Books: _books,
    q.Usage: _usage,
    q.Bill: bill,
    q.SummedCharges: summed_charges,
    q.Postings: _postings,
    q.Holds: _holds,
    q.StandingHolds: _standing_holds,
    q.SummedBooks: _summed_books,
    q.HoldStates: _hold_states,
    q.FinalUsage: _final_usage,
    q.PayableQuarantine: _payable_quarantine,
    q.QuarantineSize: _quarantine_size,
    q.UsageOfMeter: _usage_of_meter,
    q.OwnIdentity: _own_identity,
    q.AnswerTo: _answer_to,
}
