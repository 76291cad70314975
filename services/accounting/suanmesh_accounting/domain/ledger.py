"""Double entry: every entry sums to zero in its currency, and a hold cannot promise money that is not there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from suanmesh_kernel.months import begin_of, next_month
from suanmesh_kernel.refusals import FailedPrecondition, ResourceExhausted

NO_BUDGET = -1
"""The budget of an account or a party that has none."""


class AccountKind(StrEnum):
    """What an account is for."""

    CONSUMER = "CONSUMER"
    PROVIDER = "PROVIDER"
    FUNDING = "FUNDING"


class HoldState(StrEnum):
    """Where a hold stands."""

    HELD = "HELD"
    COMMITTED = "COMMITTED"
    RELEASED = "RELEASED"


TRANSITIONS: dict[HoldState, frozenset[HoldState]] = {
    HoldState.HELD: frozenset({HoldState.COMMITTED, HoldState.RELEASED}),
    HoldState.COMMITTED: frozenset({HoldState.RELEASED}),
    HoldState.RELEASED: frozenset(),
}
"""A hold is tentative, then bound to a committed placement, then given back; nothing leads back."""


@dataclass(frozen=True, slots=True)
class PlacementStatus:
    """Where a placement stands, as far as money cares: whether it has ended, when, and how many tasks it had."""

    terminal: bool
    end_time: datetime | None
    tasks: int
    deliveries: frozenset[str] = frozenset()
    """Transfers that have brought its results home at a price: the sites they went to report what was moved."""


@dataclass(frozen=True, slots=True)
class Finals:
    """Of what a placement's final usage has arrived: of which tasks, and of which transfers."""

    tasks: frozenset[int] = frozenset()
    transfers: frozenset[str] = frozenset()

    def complete(self, standing: PlacementStatus) -> bool:
        """Whether no more usage is to come of a placement that has ended."""
        return self.tasks >= set(range(standing.tasks)) and self.transfers >= standing.deliveries


@dataclass(frozen=True, slots=True)
class Move:
    """What money needs to know of a transfer."""

    source: str
    target: str
    placement: str
    dataset: str = ""
    """The version that is moved."""


class Posting(NamedTuple):
    """One side of an entry; positive credits the account."""

    account: str
    amount_micros: int
    currency: str


@dataclass(frozen=True, slots=True)
class Posted:
    """A posting in the books: of which entry, and when."""

    entry: str
    account: str
    amount_micros: int
    currency: str
    post_us: int


@dataclass(frozen=True, slots=True)
class Account:
    """An account: what it has, and how much of that its standing holds still promise; 10^-6 of the currency."""

    name: str
    party: str
    currency: str
    kind: AccountKind
    balance_micros: int
    held_micros: int
    create_us: int
    close_us: int = 0
    """When it was closed; 0 while it is open."""
    budget_micros: int = NO_BUDGET
    """What it may spend in a month."""
    budget_hard: bool = False
    """Whether a hold that would go beyond that is refused."""
    month: int = 0
    """The month that `month_spent_micros` is of, as 202611; 0 before the first charge."""
    month_spent_micros: int = 0
    """What was charged in it."""

    @property
    def free_micros(self) -> int:
        """What a new hold may promise."""
        return self.balance_micros - self.held_micros

    @property
    def bounded(self) -> bool:
        """Whether its budget refuses what would go beyond it."""
        return self.budget_micros != NO_BUDGET and self.budget_hard

    def spent_in(self, month: int) -> int:
        """What was charged in a month that is not over before the newest charge."""
        return self.month_spent_micros if month <= self.month else 0

    def charged(self, spent_micros: int, month: int) -> Account:
        """The same after a charge in a month; one that comes late counts in the month that goes on."""
        spent = self.spent_in(month) + spent_micros
        return replace(self, month=max(month, self.month), month_spent_micros=spent)


@dataclass(frozen=True, slots=True)
class PartyBudget:
    """What a party may spend in a month over all its accounts of a currency, and what of that is spent and held."""

    party: str
    currency: str
    amount_micros: int
    hard: bool
    """Whether a hold that would go beyond it is refused."""
    month: int = 0
    """The month that `spent_micros` is of, as 202611; 0 before the first charge."""
    spent_micros: int = 0
    """What all its accounts were charged in it, also those that are closed."""
    held_micros: int = 0
    """What the standing holds on all its accounts promise."""

    @property
    def bounded(self) -> bool:
        """Whether it refuses what would go beyond it."""
        return self.amount_micros != NO_BUDGET and self.hard

    def left_in(self, month: int) -> int:
        """What a new hold may promise in a month; charges that come late count in the month that goes on."""
        spent = self.spent_micros if month <= self.month else 0
        return self.amount_micros - spent - self.held_micros


@dataclass(frozen=True, slots=True)
class Hold:
    """Money promised to a placement, and how much of it has been charged; `ask` is the HoldAsk that it answers."""

    name: str
    account: str
    placement: str
    position: int
    job: str
    site: str
    amount_micros: int
    charged_micros: int
    state: HoldState
    committed: bool
    ask: bytes
    price_version: int
    trace_id: str
    create_us: int

    @property
    def left_micros(self) -> int:
        """What has not been charged."""
        return max(0, self.amount_micros - self.charged_micros)

    @property
    def promised_micros(self) -> int:
        """What it takes from what its account has free."""
        return 0 if self.state is HoldState.RELEASED else self.left_micros


class Share(NamedTuple):
    """A rated amount: what of it is charged, and what its payee bears."""

    charged_micros: int
    waived_micros: int


def entry(payer: str, payee: str, amount_micros: int, currency: str) -> tuple[Posting, Posting]:
    """Move an amount from one account to another: two postings that sum to zero."""
    return (Posting(payer, -amount_micros, currency), Posting(payee, amount_micros, currency))


def require_free(account: Account, amount_micros: int) -> None:
    """Refuse a hold that the account does not cover.

    Raises ResourceExhausted (`BALANCE_INSUFFICIENT`) with `missing_micros`.
    """
    free, currency = account.free_micros, account.currency
    missing = amount_micros - free
    if missing > 0:
        raise ResourceExhausted(
            "BALANCE_INSUFFICIENT",
            f"{account.name} has {free} micros {currency} free, {missing} short of {amount_micros}",
            name=account.name,
            missing_micros=missing,
            available_micros=free,
            needed_micros=amount_micros,
            currency=currency,
        )


def require_budget(account: Account, amount_micros: int, month: int) -> None:
    """Refuse a hold that would go beyond what the account may spend in a month.

    Raises ResourceExhausted (`BUDGET_EXHAUSTED`) with `missing_micros` and when another month begins.
    """
    if account.bounded:
        left = account.budget_micros - account.spent_in(month) - account.held_micros
        going_on = max(month, account.month)
        _require_left("BUDGET_EXHAUSTED", account.name, account.currency, left, amount_micros, going_on)


def require_party_budget(budget: PartyBudget, amount_micros: int, month: int) -> None:
    """Refuse a hold that would go beyond what the party may spend in a month over all its accounts.

    Raises ResourceExhausted (`PARTY_BUDGET_EXHAUSTED`) with `missing_micros` and when another month begins.
    """
    if budget.bounded:
        left, going_on = budget.left_in(month), max(month, budget.month)
        _require_left("PARTY_BUDGET_EXHAUSTED", budget.party, budget.currency, left, amount_micros, going_on)


def _require_left(reason: str, name: str, currency: str, left: int, amount_micros: int, month: int) -> None:
    missing = amount_micros - left
    if missing > 0:
        raise ResourceExhausted(
            reason,
            f"{name} may spend {left} micros {currency} more in this month, {missing} short",
            name=name,
            missing_micros=missing,
            available_micros=left,
            needed_micros=amount_micros,
            currency=currency,
            renew_time=begin_of(next_month(month)).isoformat().replace("+00:00", "Z"),
        )


def require_open(account: Account) -> None:
    """Refuse to move money of an account that is closed. Raises FailedPrecondition (`ACCOUNT_CLOSED`)."""
    if account.close_us:
        raise FailedPrecondition("ACCOUNT_CLOSED", f"{account.name} is closed", name=account.name)


def require_closable(account: Account) -> None:
    """Refuse to close an account that is still needed.

    Raises FailedPrecondition: `ACCOUNT_CLOSED`; `ACCOUNT_IN_USE` while holds promise money of it, or it owes any.
    """
    require_open(account)
    if account.held_micros or account.balance_micros < 0:
        raise FailedPrecondition(
            "ACCOUNT_IN_USE",
            f"{account.name} has {account.held_micros} micros held of {account.balance_micros}",
            name=account.name,
            held_micros=account.held_micros,
            balance_micros=account.balance_micros,
        )


def require_payable(account: Account, currency: str) -> None:
    """Refuse prices in another currency than the account's. Raises FailedPrecondition (`CURRENCY_MISMATCH`)."""
    if currency != account.currency:
        problem = f"{account.name} is kept in {account.currency}, the price is in {currency}"
        raise FailedPrecondition("CURRENCY_MISMATCH", problem, name=account.name, currency=currency)


def moved_on(state: HoldState, to: HoldState) -> HoldState:
    """The next state. Raises ValueError where the table does not lead there."""
    if to not in TRANSITIONS[state]:
        raise ValueError(f"a hold cannot go from {state} to {to}")
    return to


def chargeable(hold: Hold, free_micros: int) -> int:
    """What the placement of a hold may still be charged; `free_micros` is what its account has that nothing holds.

    A hold that was given back promises nothing any more: usage that comes late is charged as far as the hold would have
    covered it, and only from money that has not been promised to another placement since.
    """
    return hold.left_micros if hold.state is not HoldState.RELEASED else min(hold.left_micros, max(0, free_micros))


def within(rated_micros: Iterable[int], left_micros: int) -> list[Share]:
    """Charge amounts in their order as far as `left_micros` reaches, and waive the rest.

    What a job uses within its bounds is worth no more than its hold, give or take half a micro for each line of its
    quote. The lines of a task, meter and price are rounded together, so that their sum may lie half a micro above that
    worth. No more than these halves can be waived of such a job, and only once the whole hold is charged: its payees
    together then have what was used is worth, but for the halves of the quote.
    """
    shares = []
    for rated in rated_micros:
        charged = min(rated, left_micros)
        left_micros -= charged
        shares.append(Share(charged, rated - charged))
    return shares


def next_state(
    state: HoldState,
    standing: PlacementStatus | None,
    finals: Finals,
    *,
    now: datetime,
    late: timedelta,
    orphaned: bool,
) -> HoldState:
    """Where a hold belongs.

    `standing` is its placement's, None when that was never committed; `finals` says of what the final usage is there;
    `late` is how long missing usage is waited for; `orphaned` says that neither placement nor token is there.
    """
    if standing is None:
        gone = orphaned or state is HoldState.COMMITTED  # a committed placement that is no more has been archived
        return HoldState.RELEASED if gone else state
    if state is HoldState.HELD or not standing.terminal:
        return HoldState.COMMITTED
    overdue = standing.end_time is None or now - standing.end_time > late
    if finals.complete(standing) or overdue:
        return HoldState.RELEASED
    return HoldState.COMMITTED
