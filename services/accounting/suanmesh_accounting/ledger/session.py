"""What the commands of one transaction have read and changed: read in bulk, written at the end, all of it or nothing.

Others may write meanwhile. So no row is written as it was computed here: balances and what is held move by differences,
where money is spent only if it is still there; holds and usage change only if they are still as they were read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import asdict, replace
from itertools import chain, count
from typing import Any

from sqlalchemy import BindParameter, Connection, Select, Table, and_, bindparam, case, or_, select, update

from suanmesh_accounting.domain.commands import Request, SignedBatch
from suanmesh_accounting.domain.ledger import Account, AccountKind, Hold, Posting
from suanmesh_accounting.domain.prices import Book
from suanmesh_accounting.ledger import tables as t
from suanmesh_accounting.ledger.hold_charges import HoldCharges
from suanmesh_accounting.ledger.party_budgets import PartyBudgets
from suanmesh_accounting.ledger.reading import answer_to
from suanmesh_accounting.ledger.remainders import Remainders
from suanmesh_accounting.ledger.rows import account_of, hold_of
from suanmesh_accounting.ledger.usage_rows import UsageRows
from suanmesh_accounting.ledger.writing import Tracked, change_rows, insert_rows
from suanmesh_kernel.money import INT64_MAX
from suanmesh_kernel.names import last
from suanmesh_store import bulk_rows

CHARGE_COLUMNS = (
    "account", "job", "site", "meter", "amount_micros", "waived_micros", "create_us", "dataset", "document",
)  # fmt: skip


class Session:
    """The books as one transaction sees and changes them."""

    def __init__(self, connection: Connection, books: dict[tuple[str, int], Book]) -> None:
        """`books` are versions that were read before; they never change."""
        self.connection = connection
        self.books = books
        self.published: dict[tuple[str, int], Book] = {}
        self.documents: dict[tuple[str, int], bytes] = {}
        """Messages of the versions that came into force in this transaction."""
        self._accounts: dict[str, Tracked[Account] | None] = {}
        self._moved: dict[str, list[int]] = {}
        """By account, what was added to its balance and to what is held of it since its `now`."""
        self.within_budget: set[str] = set()
        """Accounts whose budget has let a hold through in this transaction."""
        self.party_budgets = PartyBudgets(connection)
        self._holds: dict[str, Tracked[Hold] | None] = {}
        self._holds_of: dict[str, list[str]] = {}
        self.usage = UsageRows(connection)
        self.charges: list[tuple[Any, ...]] = []
        """Rows of charges that are new, as CHARGE_COLUMNS."""
        self.remainders = Remainders(connection)
        self.charging: dict[str, HoldCharges] = {}
        """By placement, the holds whose usage is being charged: what was spent of them is not in the books yet."""
        self._new: dict[Table, list[dict[str, Any]]] = {}
        self._found: dict[tuple[str, str, str], str] = {}
        self._answers: dict[Request, bytes | None] = {}
        self.in_force: dict[str, int] = {}
        self.apart: dict[str, tuple[int, int]] = {}
        """By site, the records in its quarantine and their bytes."""
        self.apart_batch: SignedBatch | None = None
        """The batch that was last counted there."""
        self.changed = False

    # Accounts

    def load_accounts(self, names: Iterable[str]) -> None:
        """Read accounts all at once."""
        missing = {name for name in names if name not in self._accounts}
        for account in map(account_of, _among(self.connection, _ACCOUNTS, missing)):
            self._accounts[account.name] = Tracked(account, account)
        for name in missing:
            self._accounts.setdefault(name, None)

    def account(self, name: str) -> Account | None:
        """One account; None where there is none."""
        if name not in self._accounts:
            self.load_accounts((name,))
        found = self._accounts[name]
        if found is not None and name in self._moved:
            balance, held = self._moved.pop(name)
            now = found.now
            found.now = replace(now, balance_micros=now.balance_micros + balance, held_micros=now.held_micros + held)
        return None if found is None else found.now

    def open_account(self, account: Account) -> None:
        """Make a new one, whose name is known to be free."""
        self._accounts[account.name] = Tracked(None, account)
        self._found.setdefault((account.party, account.kind, account.currency), account.name)

    def opened_of(self, party: str) -> int:
        """How many accounts of a party were opened in this transaction."""
        return sum(f is not None and f.before is None and f.now.party == party for f in self._accounts.values())

    def lock_accounts(self, names: Collection[str]) -> None:
        """Read accounts again and let nobody else change them before this transaction is over."""
        for row in _among(self.connection, _LOCK_ACCOUNTS, names):
            self.account(row.name)
            found, fresh = self._accounts[row.name], account_of(row)
            assert found is not None
            assert found.before is not None
            balance = found.now.balance_micros - found.before.balance_micros
            held = found.now.held_micros - found.before.held_micros
            spent = found.now.month_spent_micros - found.before.spent_in(found.now.month)
            found.before, found.now = fresh, fresh.charged(spent, found.now.month) if spent else fresh
            self.move_money(row.name, balance_micros=balance, held_micros=held)

    def close_account(self, name: str, now_us: int) -> Account:
        """Let nothing more come to an account or go from it; it is locked."""
        account = self.rewrite(name, close_us=now_us)
        self._found.pop((account.party, account.kind, account.currency), None)
        return account

    def rewrite(self, name: str, **columns: Any) -> Account:
        """Change an account, which is locked, at once; what was charged and is not written yet is added to it."""
        account, found = self.account(name), self._accounts[name]
        assert account is not None
        assert found is not None
        self.execute(update(t.accounts).where(t.accounts.c.name == name).values(**columns))
        found.now = replace(account, **columns)
        if found.before is not None:
            if "month_spent_micros" in columns:
                unwritten = account.month_spent_micros - found.before.spent_in(account.month)
                found.now = replace(found.now, month_spent_micros=found.now.month_spent_micros + unwritten)
            found.before = replace(found.before, **columns)
        return found.now

    def accounts_of(self, party: str, currency: str) -> dict[str, Tracked[Account]]:
        """Those of a party's accounts in a currency that this transaction has looked at, as they are by now."""
        for name in [*self._moved]:
            self.account(name)
        return {
            name: found
            for name, found in self._accounts.items()
            if found and found.now.party == party and found.now.currency == currency
        }

    def move_money(self, account: str, *, balance_micros: int = 0, held_micros: int = 0) -> None:
        """Add to what an account has, and to what its holds promise."""
        moved = self._moved.get(account)
        if moved is None:
            moved = self._moved[account] = [0, 0]
        moved[0] += balance_micros
        moved[1] += held_micros

    def account_for(self, party: str, kind: AccountKind, currency: str, now_us: int) -> str:
        """The account of a kind that a party keeps in a currency; opened when it is first needed."""
        key = (party, kind, currency)
        if key not in self._found:
            row = self.connection.execute(_FIRST_ACCOUNT, {"party": party, "kind": kind, "currency": currency}).first()
            if row is None:
                self.open_account(Account(self._free_name(party, kind, currency), party, currency, kind, 0, 0, now_us))
            else:
                account = account_of(row)
                if self._accounts.get(account.name) is None:
                    self._accounts[account.name] = Tracked(account, account)
                self._found[key] = account.name
        return self._found[key]

    def _free_name(self, party: str, kind: AccountKind, currency: str) -> str:
        """A name, with a number where an account for something else has it: money must find its way all the same."""
        purpose = "income" if kind is AccountKind.PROVIDER else "funding"
        wanted = f"accounts/{last(party)}-{purpose}-{currency.lower()}"
        names = chain([wanted], (f"{wanted}-{number}" for number in count(2)))
        return next(name for name in names if self.account(name) is None)

    def post(self, sides: Iterable[Posting], entry: str, now_us: int) -> None:
        """Write the postings of one entry; whoever moves the money posts it."""
        rows = self._new.setdefault(t.postings, [])
        for account, amount_micros, currency in sides:
            rows.append(
                {
                    "account": account,
                    "amount_micros": amount_micros,
                    "currency": currency,
                    "entry": entry,
                    "post_us": now_us,
                }
            )

    # Holds

    def load_holds(self, names: Collection[str], placements: Collection[str]) -> None:
        """Read holds all at once, by their names and by their placements, and the accounts that they are on."""
        unknown = {name for name in names if name not in self._holds}
        unseen = {placement for placement in placements if placement not in self._holds_of}
        rows = _among(self.connection, _HOLDS, unknown) + _among(self.connection, _HOLDS_OF, unseen)
        for hold in sorted(map(hold_of, rows), key=lambda hold: hold.position):
            if self._holds.get(hold.name) is None:
                self._holds[hold.name] = Tracked(hold, hold)
            if hold.placement in unseen and hold.name not in self._holds_of.setdefault(hold.placement, []):
                self._holds_of[hold.placement].append(hold.name)
        for name in unknown:
            self._holds.setdefault(name, None)
        for placement in unseen:
            self._holds_of.setdefault(placement, [])
        self.load_accounts({found.now.account for found in self._holds.values() if found is not None})

    def hold(self, name: str) -> Hold | None:
        """One hold; None where there is none."""
        if name not in self._holds:
            self.load_holds((name,), ())
        found = self._holds[name]
        return None if found is None else found.now

    def hold_of(self, placement: str) -> Hold | None:
        """The hold that a placement's usage is charged to: that of the lowest position."""
        if placement not in self._holds_of:
            self.load_holds((), (placement,))
        names = self._holds_of[placement]
        return self.hold(names[0]) if names else None

    def spend(self, hold: Hold, spent_micros: int, month: int) -> None:
        """Take what was charged in a month out of a hold and out of its account."""
        found = self._holds[hold.name]
        assert found is not None
        found.now = replace(hold, charged_micros=hold.charged_micros + spent_micros)
        held = found.now.promised_micros - hold.promised_micros
        self.move_money(hold.account, balance_micros=-spent_micros, held_micros=held)
        account = self.account(hold.account)
        paying = self._accounts[hold.account]
        if account is not None and paying is not None:
            paying.now = account.charged(spent_micros, month)

    def settle(self) -> None:
        """Bring into the books what was spent of all holds; before anything but usage looks at them."""
        for charging in self.charging.values():
            charging.settle()
        self.charging.clear()

    def set_hold(self, hold: Hold) -> None:
        """Make or change a hold; what it promises moves with it."""
        self.load_holds((hold.name,), (hold.placement,))
        found = self._holds[hold.name]
        promised = 0 if found is None else found.now.promised_micros
        self.move_money(hold.account, held_micros=hold.promised_micros - promised)
        if found is None:
            self._holds[hold.name] = Tracked(None, hold)
            self._order(hold)
        else:
            found.now = hold

    def _order(self, hold: Hold) -> None:
        names = self._holds_of[hold.placement]
        names.append(hold.name)
        names.sort(key=lambda name: found.now.position if (found := self._holds[name]) else 0)

    # Answers

    def answer_to(self, request: Request) -> bytes | None:
        """The record of the answer once given to a request."""
        if request not in self._answers:
            self._answers[request] = answer_to(self.connection, request)
        return self._answers[request]

    def keep_answer(self, request: Request, record: bytes, now_us: int) -> None:
        """Keep the answer to a request beside its effect."""
        self._answers[request] = record
        self.add(t.requests, asdict(request) | {"record": record, "create_us": now_us})

    # Writing

    def add(self, table: Table, row: dict[str, Any]) -> None:
        """Write one more row, in the order of the calls."""
        self._new.setdefault(table, []).append(row)

    def execute(self, statement: Any) -> None:
        """Change rows at once that no command here has read."""
        self.changed = bool(self.connection.execute(statement).rowcount) or self.changed

    def flush(self) -> None:
        """Write all that has changed, rows of one table in the order of their keys. Raises Stale."""
        self.settle()
        for name in list(self._moved):
            self.account(name)
        accounts = [found for _, found in sorted(self._accounts.items()) if found and found.now != found.before]
        holds = [found for _, found in sorted(self._holds.items()) if found and found.now != found.before]
        self._new[t.accounts] = [asdict(found.now) for found in accounts if found.before is None]
        self._new[t.holds] = [asdict(found.now) for found in holds if found.before is None]
        wrote = [insert_rows(self.connection, table, self._new.get(table, ())) for table in t.metadata.sorted_tables]
        wrote.append(bulk_rows.insert_rows(self.connection, t.charges, CHARGE_COLUMNS, self.charges))
        wrote.append(self.usage.flush())
        self.remainders.flush()
        changes = [_change_of(found.before, found.now) for found in holds if found.before is not None]
        wrote.append(change_rows(self.connection, _CHANGE_HOLD, changes))
        moves = [
            _difference(found.before, found.now, exact=found.now.name in self.within_budget)
            for found in accounts
            if found.before is not None
        ]
        wrote.append(change_rows(self.connection, _MOVE_MONEY, moves))
        wrote.append(self.party_budgets.flush())
        self.changed = self.changed or any(wrote)


def _among(connection: Connection, statement: Select[Any], values: Collection[str]) -> list[Any]:
    return list(connection.execute(statement, {"values": list(values)})) if values else []


def _difference(before: Account, now: Account, *, exact: bool) -> dict[str, object]:
    spends = now.kind is not AccountKind.FUNDING and now.free_micros < before.free_micros
    return {
        "b_name": now.name,
        "b_close": now.close_us,
        "b_balance": now.balance_micros - before.balance_micros,
        "b_held": now.held_micros - before.held_micros,
        "b_spent": before.free_micros - now.free_micros,
        "b_least": 0 if spends else -INT64_MAX,
        "b_month": now.month,
        "b_charged": now.month_spent_micros - before.spent_in(now.month),
        "b_seen": before.held_micros if exact else -1,
        "b_seen_month": before.month,
        "b_seen_spent": before.month_spent_micros,
        "b_budget": before.budget_micros,
        "b_hard": before.budget_hard,
    }


_HOLD_CHANGES: tuple[str, ...] = tuple(column.name for column in t.holds.c if column.name != "name")


def _change_of(before: Hold, now: Hold) -> dict[str, object]:
    was: dict[str, object] = {
        "b_name": before.name,
        "b_state": before.state,
        "b_charged": before.charged_micros,
        "b_create": before.create_us,
    }
    return was | {name: getattr(now, name) for name in _HOLD_CHANGES}


_VALUES: BindParameter[str] = bindparam("values", expanding=True)
_ACCOUNTS = select(t.accounts).where(t.accounts.c.name.in_(_VALUES))
_LOCK_ACCOUNTS = _ACCOUNTS.order_by(t.accounts.c.name).with_for_update()
_FIRST_ACCOUNT = (
    select(t.accounts)
    .where(
        t.accounts.c.party == bindparam("party"),
        t.accounts.c.kind == bindparam("kind"),
        t.accounts.c.currency == bindparam("currency"),
        t.accounts.c.close_us == 0,
    )
    .order_by(t.accounts.c.name)
    .limit(1)
)
_HOLDS = select(t.holds).where(t.holds.c.name.in_(_VALUES))
_HOLDS_OF = select(t.holds).where(t.holds.c.placement.in_(_VALUES))
_IN_MONTH = case((t.accounts.c.month >= bindparam("b_month"), t.accounts.c.month_spent_micros), else_=0)
_AS_SEEN = (
    t.accounts.c.held_micros == bindparam("b_seen"),
    t.accounts.c.month == bindparam("b_seen_month"),
    t.accounts.c.month_spent_micros == bindparam("b_seen_spent"),
    t.accounts.c.budget_micros == bindparam("b_budget"),
    t.accounts.c.budget_hard == bindparam("b_hard"),
)
_MOVE_MONEY = (
    update(t.accounts)
    .where(
        t.accounts.c.name == bindparam("b_name"),
        t.accounts.c.close_us == bindparam("b_close"),
        t.accounts.c.balance_micros - t.accounts.c.held_micros - bindparam("b_spent") >= bindparam("b_least"),
        or_(bindparam("b_seen") == -1, and_(*_AS_SEEN)),
    )
    .values(
        balance_micros=t.accounts.c.balance_micros + bindparam("b_balance"),
        held_micros=t.accounts.c.held_micros + bindparam("b_held"),
        month=case((t.accounts.c.month > bindparam("b_month"), t.accounts.c.month), else_=bindparam("b_month")),
        month_spent_micros=_IN_MONTH + bindparam("b_charged"),
    )
)
"""Money is spent only if it is still there: another writer may have promised it or paid it out since it was read. Where
a budget has let a hold through, nothing that it was reckoned from may have changed."""
_CHANGE_HOLD = (
    update(t.holds)
    .where(
        t.holds.c.name == bindparam("b_name"),
        t.holds.c.state == bindparam("b_state"),
        t.holds.c.charged_micros == bindparam("b_charged"),
        t.holds.c.create_us == bindparam("b_create"),
    )
    .values({name: bindparam(name) for name in _HOLD_CHANGES})
)
