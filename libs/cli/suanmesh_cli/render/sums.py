"""Sums of charges, and how long money lasts, as rows of plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from suanmesh.accounting.v1.account_pb2 import Account, Budget
from suanmesh.accounting.v1.accounting_service_pb2 import ChargeSum, SummarizeChargesResponse
from suanmesh_cli import units, values
from suanmesh_cli.layout import Column
from suanmesh_cli.output import View
from suanmesh_cli.values import Cell
from suanmesh_kernel.months import month_of

Row = dict[str, Any]
"""What is printed as data as it is; amounts are texts of 10^-6, as in JSON of the contracts."""
YEARS_MAX = 100
"""What lasts longer lasts for ever."""


class Shown(NamedTuple):
    """What was summed by, and what came of it."""

    by: str
    account: str
    answer: SummarizeChargesResponse


def row(group: str, found: ChargeSum, offset_min: int = 0) -> Row:
    """A sum; days are told by their date so many minutes before UTC."""
    day = found.day.ToDatetime() + timedelta(minutes=offset_min)
    keys = {
        "job": found.job,
        "site": found.site,
        "dataset": found.dataset,
        "meter": units.METERS.get(found.meter, str(found.meter)),
        "day": day.date().isoformat(),
    }
    return {
        "key": keys[group],
        "charges": found.charges,
        "amount_micros": str(found.amount_micros),
        "waived_micros": str(found.waived_micros),
        "first_time": found.first_time.ToJsonString(),
        "last_time": found.last_time.ToJsonString(),
    }


def by_label(rows: Sequence[Row], labels: Mapping[str, str], counted: str) -> list[Row]:
    """Sums by job or dataset as sums by a label of these, counted as `counted`; those without it come last."""
    made = merged([each | {"key": labels.get(str(each["key"]), ""), counted: 1} for each in rows])
    return sorted(made, key=lambda each: (not each["key"], each["key"]))


def merged(rows: Sequence[Row]) -> list[Row]:
    """Those of one key together, in the order in which keys come first."""
    made: dict[str, Row] = {}
    for each in rows:
        into = made.get(each["key"])
        if into is None:
            made[each["key"]] = dict(each)
            continue
        for field in ("jobs", "datasets", "charges"):
            into |= {field: into[field] + each[field]} if field in into else {}
        for field in ("amount_micros", "waived_micros"):
            into[field] = str(int(into[field]) + int(each[field]))
        into["first_time"] = min(into["first_time"], each["first_time"], key=_order)
        into["last_time"] = max(into["last_time"], each["last_time"], key=_order)
    return list(made.values())


def columns_of(shown: Shown) -> list[Column]:
    """The columns of such rows."""
    title = _title(shown)
    currency = shown.answer.currency
    columns = [
        Column(title, lambda each: units.short(each["key"]) if title in ("JOB", "DATASET") else each["key"]),
        Column("JOBS", lambda each: each["jobs"]),
        Column("DATASETS", lambda each: each["datasets"]),
        Column("CHARGES", lambda each: each["charges"], rank=2),
        Column("AMOUNT", lambda each: values.money(int(each["amount_micros"]), currency)),
        Column("WAIVED", lambda each: values.money(int(each["waived_micros"]), currency)),
        Column("FIRST", lambda each: values.stamp(each["first_time"]), rank=1),
        Column("LAST", lambda each: values.stamp(each["last_time"]), rank=1),
    ]
    absent = {"JOBS", "DATASETS"} - {{"label": "JOBS", "dataset-label": "DATASETS"}.get(shown.by.partition(":")[0])}
    absent |= set() if shown.answer.waived_micros else {"WAIVED"}
    return [column for column in columns if column.title not in absent]


def _title(shown: Shown) -> str:
    return shown.by.partition(":")[0].removeprefix("dataset-").upper()


def footer_of(view: View, shown: Shown) -> list[Cell]:
    """What all of it comes to, also what is not shown."""
    answer = shown.answer
    cells: dict[str, Cell] = {
        _title(shown): "total" if view.lang == "en" else "合计",
        "CHARGES": int(answer.charges),
        "AMOUNT": values.money(answer.total_micros, answer.currency),
        "WAIVED": values.money(answer.waived_micros, answer.currency),
    }
    return [cells.get(column.title, "") for column in columns_of(shown)]


def head(view: View, shown: Shown) -> str:
    """Whose sums these are."""
    return f"{shown.account}  {shown.answer.charges} " + ("charges" if view.lang == "en" else "行")


def budget(account: Account, spent_micros: int, over_s: float, now: datetime) -> Row:
    """What an account has left, and until when it lasts at the rate at which it was spent."""
    left = account.balance_micros - account.held_micros
    a_day = spent_micros * 86_400 / over_s
    days = max(0, left) / a_day if a_day > 0 else None
    lasts = days is not None and days < YEARS_MAX * 365
    return {
        "account": account.name,
        "currency": account.currency,
        "balance_micros": str(account.balance_micros),
        "held_micros": str(account.held_micros),
        "left_micros": str(left),
        "spent_micros": str(spent_micros),
        "spent_a_day_micros": str(round(a_day)),
        **_month(account, now),
        "lasts_until": _text(now + timedelta(days=days)) if days is not None and lasts else "",
    }


def _month(account: Account, now: datetime) -> Row:
    """Its budget of the month, what is left of that, and how strict it is; empty where it has none."""
    if not account.HasField("budget"):
        return {"month_budget_micros": "", "month_left_micros": "", "month_enforcement": ""}
    spent = account.budget.spent_micros if account.budget.month >= month_of(now) else 0
    soft = account.budget.enforcement == Budget.ENFORCEMENT_SOFT
    return {
        "month_budget_micros": str(account.budget.amount_micros),
        "month_left_micros": str(account.budget.amount_micros - spent - account.held_micros),
        "month_enforcement": "SOFT" if soft else "HARD",
    }


def _micros(field: str) -> Any:
    def shown(each: Row) -> Cell:
        currency = each["currency"] if field == "left_micros" else ""
        return values.money(int(each[field]), currency) if each[field] else ""

    return shown


BUDGET_COLUMNS = (
    Column("ACCOUNT", lambda each: each["account"]),
    Column("BALANCE", _micros("balance_micros"), rank=2),
    Column("HELD", _micros("held_micros"), rank=2),
    Column("LEFT", _micros("left_micros")),
    Column("SPENT", _micros("spent_micros"), rank=3),
    Column("MONTH LEFT", _micros("month_left_micros"), rank=3),
    Column("MONTH BUDGET", _micros("month_budget_micros"), rank=3),
    Column("A DAY", _micros("spent_a_day_micros"), rank=1),
    Column("LASTS UNTIL", lambda each: values.stamp(each["lasts_until"])),
)


def _order(text: str) -> int:
    return values.stamp(text).ToNanoseconds()


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
