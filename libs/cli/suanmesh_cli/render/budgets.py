"""What accounts and parties have left of their money and months, and how long it lasts, as rows of plain values."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from suanmesh.accounting.v1.account_pb2 import Account, Budget, PartyBudget
from suanmesh_cli import values
from suanmesh_cli.layout import Column
from suanmesh_cli.output import View, facts
from suanmesh_cli.render.sums import Row
from suanmesh_cli.values import Cell
from suanmesh_kernel.months import begin_of, month_of, next_month

YEARS_MAX = 100
"""What lasts longer lasts for ever."""


def of_account(account: Account, spent_micros: int, over_s: float, now: datetime) -> Row:
    """What an account has left, and until when it lasts at the rate at which it was spent."""
    left = account.balance_micros - account.held_micros
    a_day = spent_micros * 86_400 / over_s
    days = max(0, left) / a_day if a_day > 0 else None
    lasts = days is not None and days < YEARS_MAX * 365
    of_month = {"month_budget_micros": "", "month_left_micros": "", "month_enforcement": ""}
    if account.HasField("budget"):
        of_month = _month(account.budget, account.held_micros, now)
    return {
        "account": account.name,
        "currency": account.currency,
        "balance_micros": str(account.balance_micros),
        "held_micros": str(account.held_micros),
        "left_micros": str(left),
        "spent_micros": str(spent_micros),
        "spent_a_day_micros": str(round(a_day)),
        **of_month,
        "lasts_until": _text(now + timedelta(days=days)) if days is not None and lasts else "",
    }


def of_party(bound: PartyBudget, spent_micros: int, over_s: float, now: datetime) -> Row:
    """What a party has left of its month over all its accounts, and until when: no longer than the month."""
    budget, a_day = bound.budget, spent_micros * 86_400 / over_s
    month = max(month_of(now), budget.month)
    renews = begin_of(next_month(month))
    told = _month(budget, budget.held_micros, now)
    days = max(0, int(told["month_left_micros"])) / a_day if a_day > 0 else None
    within = days is not None and days < YEARS_MAX * 365
    lasts = min(renews, now + timedelta(days=days)) if days is not None and within else renews
    return {
        "party": bound.party,
        "currency": bound.currency,
        "held_micros": str(budget.held_micros),
        "month_spent_micros": str(_spent(budget, now)),
        **told,
        "spent_micros": str(spent_micros),
        "spent_a_day_micros": str(round(a_day)),
        "lasts_until": _text(lasts),
        "renew_time": _text(renews),
    }


def told(view: View, bound: PartyBudget, now: datetime) -> list[str]:
    """A party's budget as it was set; of one that was removed, whose it was."""
    pairs: list[tuple[str, Cell]] = [("party", bound.party), ("currency", bound.currency)]
    if bound.HasField("budget"):
        month, money = _month(bound.budget, bound.budget.held_micros, now), values.money
        pairs += [
            ("month budget", money(int(month["month_budget_micros"]), bound.currency)),
            ("month left", money(int(month["month_left_micros"]), bound.currency)),
            ("enforcement", month["month_enforcement"]),
        ]
    return facts(view, pairs)


def _month(budget: Budget, held_micros: int, now: datetime) -> Row:
    """A budget of the month, what is left of it, and how strict it is."""
    soft = budget.enforcement == Budget.ENFORCEMENT_SOFT
    return {
        "month_budget_micros": str(budget.amount_micros),
        "month_left_micros": str(budget.amount_micros - _spent(budget, now) - held_micros),
        "month_enforcement": "SOFT" if soft else "HARD",
    }


def _spent(budget: Budget, now: datetime) -> int:
    return budget.spent_micros if budget.month >= month_of(now) else 0


def _micros(field: str, *, named: bool = False) -> Any:
    def shown(each: Row) -> Cell:
        return values.money(int(each[field]), each["currency"] if named else "") if each[field] else ""

    return shown


COLUMNS = (
    Column("ACCOUNT", lambda each: each["account"]),
    Column("BALANCE", _micros("balance_micros"), rank=2),
    Column("HELD", _micros("held_micros"), rank=2),
    Column("LEFT", _micros("left_micros", named=True)),
    Column("SPENT", _micros("spent_micros"), rank=3),
    Column("MONTH LEFT", _micros("month_left_micros"), rank=3),
    Column("MONTH BUDGET", _micros("month_budget_micros"), rank=3),
    Column("A DAY", _micros("spent_a_day_micros"), rank=1),
    Column("CURRENCY", lambda each: each["currency"], for_programs=True),
    Column("LASTS UNTIL", lambda each: values.stamp(each["lasts_until"])),
)
PARTY_COLUMNS = (
    Column("PARTY", lambda each: each["party"]),
    Column("MONTH LEFT", _micros("month_left_micros", named=True)),
    Column("MONTH BUDGET", _micros("month_budget_micros"), rank=1),
    Column("SPENT", _micros("month_spent_micros"), rank=2),
    Column("HELD", _micros("held_micros"), rank=2),
    Column("A DAY", _micros("spent_a_day_micros"), rank=2),
    Column("LASTS UNTIL", lambda each: values.stamp(each["lasts_until"])),
    Column("CURRENCY", lambda each: each["currency"], for_programs=True),
    Column("RENEWS", lambda each: values.stamp(each["renew_time"]), rank=3),
    Column("ENFORCEMENT", lambda each: each["month_enforcement"], rank=3),
)


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
