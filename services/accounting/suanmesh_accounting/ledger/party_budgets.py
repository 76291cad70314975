"""Budgets of parties: what all accounts of a party have spent and hold, counted at once, and set and kept by turns.

Several processes may write: whoever lets a hold through for what a party has left reads the budget's turn first and its
accounts after it, and writes only if the turn is still the same. So no two accounts spend together what is left once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import BindParameter, Connection, bindparam, select, text, update

from suanmesh_accounting.domain.ledger import NO_BUDGET, Account, PartyBudget
from suanmesh_accounting.ledger import tables as t
from suanmesh_accounting.ledger.writing import Tracked, change_rows
from suanmesh_store.group_commit import Stale

Key = tuple[str, str]
"""A party and a currency."""
Spending = tuple[int, int, int]
"""What is held of an account, the month it was last charged in, and what in that."""


@dataclass(slots=True)
class _Stored:
    """A budget as it was read or is to be, and what is spent and held by account, as it was read after it."""

    amount_micros: int
    hard: bool
    turn: int | None
    """None where it is new."""
    accounts: Mapping[str, Spending] = field(default_factory=dict)
    depended_on: bool = False
    """Whether it was set, or has let a hold through."""


class PartyBudgets:
    """The budgets that one transaction looks at."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._read: set[str] = set()
        self._stored: dict[Key, _Stored] = {}

    def load(self, parties: Collection[str]) -> None:
        """Read the budgets of parties all at once."""
        missing = set(parties) - self._read
        self._read |= missing
        for row in self._connection.execute(_BUDGETS_OF, {"parties": sorted(missing)}) if missing else ():
            self._stored[row.party, row.currency] = _Stored(row.amount_micros, row.hard, row.turn)

    def bounds(self, party: str, currency: str) -> bool:
        """Whether a budget of the party refuses holds."""
        self.load((party,))
        found = self._stored.get((party, currency))
        return found is not None and found.hard and found.amount_micros != NO_BUDGET

    def set(self, party: str, currency: str, amount_micros: int, *, hard: bool) -> None:
        """Set one; written at the end."""
        self.load((party,))
        before = self._stored.get((party, currency))
        turn = before.turn if before else None
        self._stored[party, currency] = _Stored(amount_micros, hard, turn, depended_on=True)

    def counted(self, party: str, currency: str, seen: Mapping[str, Tracked[Account]]) -> PartyBudget:
        """One that there is, with what is spent and held by now: `seen` are accounts that this transaction reads."""
        stored = self._stored[party, currency]
        if not stored.accounts:
            rows = self._connection.execute(_SPENDING_OF, {"parties": [party]})
            stored.accounts = {row.name: _spending(row) for row in rows if row.currency == currency}
        spending = dict(stored.accounts)
        for name, account in seen.items():
            held, month, spent = spending.get(name, (0, 0, 0))
            before, now = account.before, account.now
            charged = now.month_spent_micros - (before.spent_in(now.month) if before else 0)
            spent = (spent if now.month <= month else 0) + charged
            held += now.held_micros - (before.held_micros if before else 0)
            spending[name] = (held, max(month, now.month), spent)
        return _budget(party, currency, stored.amount_micros, stored.hard, spending.values())

    def depend_on(self, party: str, currency: str) -> None:
        """Write only if nobody has let a hold through meanwhile, nor set it."""
        self._stored[party, currency].depended_on = True

    def forget_counts(self) -> None:
        """Count anew from now on: accounts were written in this transaction."""
        for stored in self._stored.values():
            stored.accounts = {}

    def flush(self) -> bool:
        """Write those that were set, and take the turn of those that let holds through. Raises Stale."""
        depended = [(key, stored) for key, stored in sorted(self._stored.items()) if stored.depended_on]
        fresh = [_row(key, stored) for key, stored in depended if stored.turn is None]
        for row in fresh:
            if self._connection.execute(_PUT, row).rowcount != 1:
                raise Stale
        turns = [_row(key, stored) for key, stored in depended if stored.turn is not None]
        taken = change_rows(self._connection, _TAKE_TURN, [{f"b_{k}": v for k, v in row.items()} for row in turns])
        return taken or bool(fresh)


def _row(key: Key, stored: _Stored) -> dict[str, Any]:
    named = {"party": key[0], "currency": key[1], "amount_micros": stored.amount_micros, "hard": stored.hard}
    return named | {"turn": stored.turn or 0}


def budgets_of(connection: Connection, parties: Collection[str]) -> dict[Key, PartyBudget]:
    """The budgets of parties, with what is spent and held."""
    stored = list(connection.execute(_BUDGETS_OF, {"parties": sorted(parties)})) if parties else []
    bounded = {(row.party, row.currency): row for row in stored if row.amount_micros != NO_BUDGET}
    spending: dict[Key, list[Spending]] = {key: [] for key in bounded}
    wanted = sorted({party for party, _ in bounded})
    for row in connection.execute(_SPENDING_OF, {"parties": wanted}) if wanted else ():
        if (key := (row.party, row.currency)) in spending:
            spending[key].append(_spending(row))
    return {key: _budget(*key, row.amount_micros, row.hard, spending[key]) for key, row in bounded.items()}


def _spending(row: Any) -> Spending:
    return row.held_micros, row.month, row.month_spent_micros


def _budget(party: str, currency: str, amount_micros: int, hard: bool, spending: Collection[Spending]) -> PartyBudget:
    month = max((month for _, month, _ in spending), default=0)
    spent = sum(spent for _, its_month, spent in spending if its_month == month)
    return PartyBudget(party, currency, amount_micros, hard, month, spent, sum(held for held, _, _ in spending))


_PARTIES: BindParameter[str] = bindparam("parties", expanding=True)
_BUDGETS_OF = select(t.party_budgets).where(t.party_budgets.c.party.in_(_PARTIES))
_SPENDING_OF = select(
    t.accounts.c.name,
    t.accounts.c.party,
    t.accounts.c.currency,
    t.accounts.c.held_micros,
    t.accounts.c.month,
    t.accounts.c.month_spent_micros,
).where(t.accounts.c.party.in_(_PARTIES))
_PUT = text(
    "INSERT INTO party_budgets (party, currency, amount_micros, hard, turn)"
    " VALUES (:party, :currency, :amount_micros, :hard, :turn) ON CONFLICT DO NOTHING"
)
_TAKE_TURN = (
    update(t.party_budgets)
    .where(
        t.party_budgets.c.party == bindparam("b_party"),
        t.party_budgets.c.currency == bindparam("b_currency"),
        t.party_budgets.c.turn == bindparam("b_turn"),
    )
    .values(amount_micros=bindparam("b_amount_micros"), hard=bindparam("b_hard"), turn=bindparam("b_turn") + 1)
)
