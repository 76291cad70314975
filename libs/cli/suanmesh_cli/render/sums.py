"""Sums of charges as rows of plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from suanmesh.accounting.v1.accounting_service_pb2 import ChargeSum, SummarizeChargesResponse
from suanmesh_cli import units, values
from suanmesh_cli.layout import Column
from suanmesh_cli.output import View
from suanmesh_cli.values import Cell
from suanmesh_kernel.texts import Text

Row = dict[str, Any]
"""What is printed as data as it is; amounts are texts of 10^-6, as in JSON of the contracts."""


OF_NO_DATASET = {
    "NOT_RECORDED": Text("(not recorded)", "（未记录）"),
    "NO_DATASET": Text("(no transfer)", "（非搬运）"),
}
"""What stands in the place of a dataset's name: charges for moving data that name none, and all others."""


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
    of_no_dataset = {}
    if group == "dataset" and not found.dataset:
        of_no_dataset = {"of": "NOT_RECORDED" if found.HasField("dataset") else "NO_DATASET"}
    return {
        "key": keys[group],
        **of_no_dataset,
        "charges": found.charges,
        "amount_micros": str(found.amount_micros),
        "waived_micros": str(found.waived_micros),
        "first_time": found.first_time.ToJsonString(),
        "last_time": found.last_time.ToJsonString(),
    }


def by_label(rows: Sequence[Row], labels: Mapping[str, str], counted: str) -> list[Row]:
    """Sums by job or dataset as sums by a label of these, counted as `counted`; those without it come last."""
    of_datasets = [each for each in rows if "of" not in each]
    made = merged([each | {"key": labels.get(str(each["key"]), ""), counted: 1} for each in of_datasets])
    return [
        *sorted(made, key=lambda each: (not each["key"], each["key"])),
        *(each | {counted: 0} for each in rows if "of" in each),
    ]


def by_month(days: Sequence[Row]) -> list[Row]:
    """Sums by day as sums by the month that each day is of."""
    return merged([each | {"key": each["key"][:7]} for each in days])


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


def columns_of(shown: Shown, lang: str) -> list[Column]:
    """The columns of such rows."""
    title = _title(shown)

    def key(each: Row) -> str:
        if "of" in each:
            return OF_NO_DATASET[each["of"]].of(lang)
        return units.short(each["key"]) if title in ("JOB", "DATASET") else str(each["key"])

    currency = shown.answer.currency
    columns = [
        Column(title, key),
        Column("JOBS", lambda each: each["jobs"]),
        Column("DATASETS", lambda each: each["datasets"]),
        Column("CHARGES", lambda each: each["charges"], rank=2),
        Column("AMOUNT", lambda each: values.money(int(each["amount_micros"]), currency)),
        Column("WAIVED", lambda each: values.money(int(each["waived_micros"]), currency)),
        Column("CURRENCY", lambda _: currency, for_programs=True),
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
        "CURRENCY": answer.currency,
        "WAIVED": values.money(answer.waived_micros, answer.currency),
    }
    return [cells.get(column.title, "") for column in columns_of(shown, view.lang)]


def head(view: View, shown: Shown) -> str:
    """Whose sums these are."""
    return f"{shown.account}  {shown.answer.charges} " + ("charges" if view.lang == "en" else "行")


def _order(text: str) -> int:
    return values.stamp(text).ToNanoseconds()
