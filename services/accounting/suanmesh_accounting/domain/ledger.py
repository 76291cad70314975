"""Double entry: every entry sums to zero in its currency, and a hold cannot promise money that is not there."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from suanmesh_kernel.refusals import FailedPrecondition, ResourceExhausted


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
class Standing:
    """Where a placement stands, as far as money cares: whether it has ended, when, and how many tasks it had."""

    terminal: bool
    end_time: datetime | None
    tasks: int


@dataclass(frozen=True, slots=True)
class Move:
    """What money needs to know of a transfer."""

    source: str
    target: str
    placement: str


@dataclass(frozen=True, slots=True)
class Posting:
    """One side of an entry; positive credits the account."""

    account: str
    amount_micros: int
    currency: str


@dataclass(frozen=True, slots=True)
class Purse:
    """What an account has, and how much of it is promised."""

    account: str
    currency: str
    balance_micros: int
    held_micros: int

    @property
    def free_micros(self) -> int:
        """What a new hold may promise."""
        return self.balance_micros - self.held_micros


def entry(payer: str, payee: str, amount_micros: int, currency: str) -> tuple[Posting, Posting]:
    """Move an amount from one account to another: two postings that sum to zero."""
    return (Posting(payer, -amount_micros, currency), Posting(payee, amount_micros, currency))


def promised(purse: Purse, amount_micros: int) -> None:
    """Refuse a hold the purse does not cover.

    Raises ResourceExhausted (`BALANCE_INSUFFICIENT`) with `missing_micros`.
    """
    missing = amount_micros - purse.free_micros
    if missing > 0:
        raise ResourceExhausted(
            "BALANCE_INSUFFICIENT",
            f"{purse.account} has {purse.free_micros} micros {purse.currency} free, {missing} short of {amount_micros}",
            name=purse.account,
            missing_micros=missing,
            available_micros=purse.free_micros,
            needed_micros=amount_micros,
            currency=purse.currency,
        )


def payable(purse: Purse, currency: str) -> None:
    """Refuse prices in another currency than the purse's. Raises FailedPrecondition (`CURRENCY_MISMATCH`)."""
    if currency != purse.currency:
        problem = f"{purse.account} is kept in {purse.currency}, the price is in {currency}"
        raise FailedPrecondition("CURRENCY_MISMATCH", problem, name=purse.account, currency=currency)


def moved_on(state: HoldState, to: HoldState) -> HoldState:
    """The next state. Raises ValueError where the table does not lead there."""
    if to not in TRANSITIONS[state]:
        raise ValueError(f"a hold cannot go from {state} to {to}")
    return to


def open_part(amount_micros: int, charged_micros: int, state: HoldState) -> int:
    """What a hold still takes from the purse."""
    return max(0, amount_micros - charged_micros) if state is not HoldState.RELEASED else 0


def next_state(
    state: HoldState,
    standing: Standing | None,
    finals: AbstractSet[int],
    *,
    now: datetime,
    late: timedelta,
    orphaned: bool,
) -> HoldState:
    """Where a hold belongs.

    `standing` is its placement's, None when that was never committed; `finals` are the tasks whose final usage has
    arrived; `late` is how long missing usage is waited for; `orphaned` says that neither placement nor token is there.
    """
    if standing is None:
        gone = orphaned or state is HoldState.COMMITTED  # a committed placement that is no more has been archived
        return HoldState.RELEASED if gone else state
    if state is HoldState.HELD or not standing.terminal:
        return HoldState.COMMITTED
    complete = len(finals) >= standing.tasks
    overdue = standing.end_time is None or now - standing.end_time > late
    if complete or overdue:
        return HoldState.RELEASED
    return HoldState.COMMITTED
