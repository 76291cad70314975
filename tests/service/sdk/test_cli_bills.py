"""Bills as people read them and as CSV that adds up: lines, sums, periods, feet."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from typing import Any

import pytest
from click.testing import Result

from suanmesh.accounting.v1.accounting_service_pb2 import (
    ChargeSum,
    GetBillRequest,
    SummarizeChargesRequest,
    SummarizeChargesResponse,
)
from suanmesh.accounting.v1.usage_pb2 import Bill, Charge
from suanmesh.scheduler.v1.job_pb2 import Job
from suanmesh.scheduler.v1.scheduler_service_pb2 import GetJobRequest
from suanmesh.transport.v1.dataset_pb2 import Dataset
from suanmesh.transport.v1.transport_service_pb2 import GetDatasetRequest
from suanmesh.type.v1.money_pb2 import METER_CPU_US, Price

Run = Callable[..., Awaitable[Result]]
CHARGES = [
    Charge(name=f"charges/a-e-{number}-0", job=f"jobs/{number}", usage=f"sites/a/e/{number}", meter=1, currency="CNY",
           quantity=7, amount_micros=10**number + 1, price=Price(meter=1, amount_micros=1, per_quantity=1))
    for number in range(1, 8)
]  # fmt: skip
TOTAL = sum(charge.amount_micros for charge in CHARGES)


def rows_of(done: Result) -> list[dict[str, str]]:
    assert done.exit_code == 0, done.output
    return list(csv.DictReader(io.StringIO(done.stdout)))


async def test_a_bill_as_csv_adds_up_to_its_foot(oracle: Any, run: Run) -> None:
    """A spreadsheet that comes to another total than the bill ends in a dispute over a micro."""
    for number, charge in enumerate(CHARGES):
        charge.create_time.FromDatetime(datetime(2026, 11, 1 + number, tzinfo=UTC))
    oracle.answers["GetBill"] = Bill(account="accounts/a", currency="CNY", charges=CHARGES, total_micros=TOTAL)
    *lines, foot = rows_of(await run("bill", "show", "--account", "a", "--from", "2026-11-01", "-o", "csv", "--utc"))
    assert sum(Decimal(line["amount"]) for line in lines) == Decimal(foot["amount"]) == Decimal(TOTAL).scaleb(-6)
    assert [line["when"] for line in lines] == [f"2026-11-0{day}T00:00:00Z" for day in range(1, 8)]
    assert {line["site"] for line in lines} == {"a"}
    assert foot["meter"] == "total"


async def test_a_line_of_csv_is_its_quantity_at_its_price(oracle: Any, run: Run) -> None:
    """Who checks a bill with a spreadsheet has the CSV alone: quantities and prices are numbers there."""
    cpu = Price(meter=METER_CPU_US, amount_micros=165_000, per_quantity=3_600_000_000)
    owed, left = Bill(account="accounts/a", currency="CNY"), 0
    for quantity, waived in ((5_000_000_000, 0), (30_000, 0), (30_000, 0), (30_000, 1)):
        exact = quantity * cpu.amount_micros + left
        amount = round(Fraction(exact, cpu.per_quantity))
        owed.charges.add(
            meter=METER_CPU_US, quantity=quantity, amount_micros=amount - waived, waived_micros=waived, currency="CNY",
            price=cpu, remainder_in=left,
        )  # fmt: skip
        left = exact - amount * cpu.per_quantity
    assert [charge.amount_micros for charge in owed.charges] == [229_167, 1, 1, 1]
    owed.total_micros, owed.waived_micros = sum(charge.amount_micros for charge in owed.charges), 1
    oracle.answers["GetBill"] = owed
    *lines, foot = rows_of(await run("bill", "show", "--account", "a", "-o", "csv"))
    for line in lines:
        exact = Decimal(line["quantity"]) * Decimal(line["price"]) + Decimal(line["carried"])
        amount = (exact / Decimal(line["price_per"])).quantize(Decimal("0.000001"), ROUND_HALF_EVEN)
        assert amount == Decimal(line["amount"]) + Decimal(line["waived"])
        assert (line["unit"], line["currency"], foot["currency"]) == ("cpu·µs", "CNY", "CNY")


@pytest.mark.parametrize("form", ["table", "csv", "json", "yaml", "jsonl", "name"])
async def test_a_bill_comes_in_the_order_asked_for_in_every_form(oracle: Any, run: Run, form: str) -> None:
    """Whoever looks for the dearest line would else take the oldest for it."""
    owed = Bill(account="accounts/a", currency="CNY", charges=CHARGES, total_micros=TOTAL)
    for number, charge in enumerate(owed.charges):
        charge.create_time.FromDatetime(datetime(2026, 11, 1 + number, tzinfo=UTC))
        charge.name = f"charges/{number}"
    oracle.answers["GetBill"] = owed
    shown = (await run("bill", "show", "--account", "a", "--sort=-when", "-o", form, "--utc")).stdout
    newest_first = [f"charges/{number}" if form == "name" else f"2026-11-0{1 + number}" for number in range(6, -1, -1)]
    assert sorted(newest_first, key=shown.index) == newest_first


async def test_a_bill_that_is_cut_says_of_how_many_lines_its_total_is(oracle: Any, run: Run) -> None:
    """Two lines above the total of seven look like a sum that is wrong."""
    oracle.answers["GetBill"] = Bill(
        account="accounts/a", currency="CNY", charges=CHARGES[:2], charge_count=7, total_micros=TOTAL, waived_micros=5,
        next_page_token="2",
    )  # fmt: skip
    cut = await run("bill", "show", "--account", "a", "--limit", "2")
    assert cut.stdout.startswith("accounts/a  2 of 7 charges\n")
    assert "0.000005 CNY" in cut.stdout.splitlines()[-1]
    assert "there are more" in cut.stderr
    assert "7 行中的 2 行" in (await run("bill", "show", "--account", "a", "--limit", "2", "--lang", "zh")).stdout


async def test_days_are_as_long_as_clocks_make_them(oracle: Any, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where clocks were put back the sums of the summer's days would be those of other hours than their lines.

    What is charged between the answers is in lines and foot, or in neither.
    """
    asked = []

    async def answer(body: bytes, context: Any) -> bytes:
        if oracle.asked[-1][0] != "SummarizeCharges":
            return b""
        request = SummarizeChargesRequest.FromString(body)
        asked.append((request.start_time.ToJsonString(), request.end_time.ToJsonString(), request.utc_offset_min))
        made = SummarizeChargesResponse(account="accounts/a", currency="EUR")
        moments = {120: ("2026-10-24T08:00:00Z", "2026-10-24T23:30:00Z"), 60: ("2026-10-25T22:30:00Z",)}
        every = [at for told in moments.values() for at in told]
        for at in moments[request.utc_offset_min] if len(asked) > 1 else every[1:]:
            made.charges, made.total_micros = made.charges + 1, made.total_micros + 10
            each = made.sums.add(charges=1, amount_micros=10)
            for field in (each.first_time, each.last_time):
                field.FromJsonString(at)
            day = each.first_time.ToDatetime() + timedelta(minutes=request.utc_offset_min)
            each.day.FromDatetime(datetime(day.year, day.month, day.day) - timedelta(minutes=request.utc_offset_min))
        return made.SerializeToString()

    oracle.answer = answer
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        done = await run("bill", "show", "--account", "a", "--by", "day", "--from", "2026-10", "--to", "2026-10",
                         "-o", "csv")  # fmt: skip
    finally:
        monkeypatch.undo()
        time.tzset()
    *lines, foot = rows_of(done)
    assert [(line["day"], line["charges"]) for line in lines] == [("2026-10-24", "1"), ("2026-10-25", "2")]
    assert asked[1:] == [
        ("2026-09-30T22:00:00Z", "2026-10-25T01:00:00Z", 120),
        ("2026-10-25T01:00:00Z", "2026-10-31T23:00:00Z", 60),
    ]
    assert (foot["charges"], foot["amount"]) == ("3", "0.000030")


@pytest.mark.parametrize(
    ("zone", "months"),
    [("UTC", ["2025-12", "2026-02", "2026-03", "2028-02"]),
     ("Asia/Shanghai", ["2026-01", "2026-03", "2028-03"]),
     ("America/New_York", ["2025-12", "2026-02", "2028-02"])],
)  # fmt: skip
async def test_a_month_is_that_of_the_readers_days(
    oracle: Any, run: Run, monkeypatch: pytest.MonkeyPatch, zone: str, months: list[str]
) -> None:
    """What was used on the last evening of a month or a year belongs to the month that its payer's calendar has."""
    moments = ("2025-12-31T16:00:00Z", "2026-02-28T17:00:00Z", "2026-03-01T03:59:59Z", "2028-02-29T20:00:00Z")

    async def answer(body: bytes, context: Any) -> bytes:
        if oracle.asked[-1][0] != "SummarizeCharges":
            return b""
        request = SummarizeChargesRequest.FromString(body)
        made = SummarizeChargesResponse(account="accounts/a", currency="CNY")
        for at in moments:
            each = ChargeSum(charges=1, amount_micros=10)
            for field in (each.first_time, each.last_time):
                field.FromJsonString(at)
            since, until = request.start_time.ToNanoseconds(), request.end_time.ToNanoseconds() or 2**63
            if since <= each.first_time.ToNanoseconds() < until:
                day = each.first_time.ToDatetime() + timedelta(minutes=request.utc_offset_min)
                midnight = datetime(day.year, day.month, day.day)
                each.day.FromDatetime(midnight - timedelta(minutes=request.utc_offset_min))
                made.sums.append(each)
        made.charges, made.total_micros = len(made.sums), 10 * len(made.sums)
        return made.SerializeToString()

    oracle.answer = answer
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        done = await run("bill", "show", "--account", "a", "--by", "month", "-o", "csv")
    finally:
        monkeypatch.undo()
        time.tzset()
    *lines, foot = rows_of(done)
    assert [line["month"] for line in lines] == months
    assert (foot["month"], foot["amount"]) == ("total", "0.000040")
    assert sum(Decimal(line["amount"]) for line in lines) == Decimal(foot["amount"])


async def test_the_foot_of_a_bill_says_that_it_is_whatever_is_shown(oracle: Any, run: Run) -> None:
    """A total that looks like a line is added to the lines by whoever sums up the column."""
    oracle.answers["GetBill"] = Bill(account="accounts/a", currency="CNY", charges=CHARGES, total_micros=TOTAL)
    *_, foot = rows_of(await run("bill", "show", "--account", "a", "--columns", "amount,job", "-o", "csv"))
    assert (foot["amount"], foot["job"]) == (str(Decimal(TOTAL).scaleb(-6)), "total")
    told = await run("bill", "show", "--account", "a", "--columns", "job,amount")
    assert told.stdout.splitlines()[-1].startswith("total ")


async def test_a_period_is_what_people_mean_by_it(oracle: Any, run: Run) -> None:
    """A month whose last day is missing, or begins at another country's midnight, is paid for twice or never."""
    oracle.answers["GetBill"] = Bill(account="accounts/a", currency="CNY")
    await run("bill", "show", "--account", "a", "--from", "2026-11-01", "--to", "2026-11-30", "--utc")
    await run("bill", "show", "--account", "a", "--from", "2026-11-01T08:00+08:00", "--to", "2026-11-30T12:00Z")
    await run("bill", "show", "--account", "a", "--from", "7d")
    month, moments, week = [GetBillRequest.FromString(body) for method, body in oracle.asked if method == "GetBill"]
    assert (month.start_time.ToJsonString(), month.end_time.ToJsonString()) == (
        "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z",
    )  # fmt: skip
    assert (moments.start_time.ToJsonString(), moments.end_time.ToJsonString()) == (
        "2026-11-01T00:00:00Z", "2026-11-30T12:00:00Z",
    )  # fmt: skip
    assert not week.HasField("end_time")
    refused = await run("bill", "show", "--account", "a", "--from", "november")
    assert (refused.exit_code, "november" in refused.stderr) == (2, True)


async def test_sums_come_with_the_total_of_all_of_them(oracle: Any, run: Run) -> None:
    """A report that shows the first hundred jobs and their total hides the rest of the money."""
    answers = [
        SummarizeChargesResponse(account="accounts/a", currency="CNY", charges=3, total_micros=TOTAL, waived_micros=2,
                                 sums=[ChargeSum(site=f"sites/{name}", charges=1, amount_micros=amount)],
                                 next_page_token=token)
        for name, amount, token in (("a", 5, "1"), ("b", 7, "2"), ("c", TOTAL - 12, ""))
    ]  # fmt: skip

    async def paged(body: bytes, context: Any) -> bytes:
        request = SummarizeChargesRequest.FromString(body)
        assert request.group_by == SummarizeChargesRequest.GROUP_BY_SITE
        return answers[int(request.page_token or 0)].SerializeToString()

    oracle.answer = paged
    *lines, foot = rows_of(await run("bill", "show", "--account", "a", "--by", "site", "-o", "csv"))
    assert [line["site"] for line in lines] == ["sites/a", "sites/b", "sites/c"]
    assert sum(Decimal(line["amount"]) for line in lines) == Decimal(foot["amount"])
    some = await run("bill", "show", "--account", "a", "--by", "site", "--limit", "1", "-o", "json")
    told = json.loads(some.stdout)
    assert (len(told["sums"]), told["total_micros"], told["waived_micros"]) == (1, str(TOTAL), "2")
    assert "there are more" in some.stderr


async def test_sums_by_label_are_those_of_its_jobs(oracle: Any, run: Run) -> None:
    """Who shares a bill among teams must not lose what no team has labelled."""
    teams = {"jobs/1": "vision", "jobs/2": "", "jobs/3": "vision"}
    sums = [ChargeSum(job=job, charges=2, amount_micros=10 * number) for number, job in enumerate(teams, start=1)]
    summed = SummarizeChargesResponse(account="accounts/a", currency="CNY", charges=6, total_micros=60, sums=sums)

    async def answer(body: bytes, context: Any) -> bytes:
        if oracle.asked[-1][0] == "SummarizeCharges":
            return summed.SerializeToString()
        job = Job(name=GetJobRequest.FromString(body).name)
        job.labels.update({"team": teams[job.name]} if teams[job.name] else {})
        return job.SerializeToString()

    oracle.answer = answer
    *lines, foot = rows_of(await run("bill", "show", "--account", "a", "--by", "label:team", "-o", "csv"))
    assert [(line["label"], line["jobs"], line["charges"], line["amount"]) for line in lines] == [
        ("vision", "2", "4", "0.000040"), ("", "1", "2", "0.000020"),
    ]  # fmt: skip
    assert foot["amount"] == "0.000060"
    some = await run("bill", "show", "--account", "a", "--by", "label:team", "--limit", "1", "-o", "json")
    assert [row["key"] for row in json.loads(some.stdout)["sums"]] == ["vision"]
    assert "there are more" in some.stderr


async def test_what_moved_cost_by_a_label_of_the_data(oracle: Any, run: Run) -> None:
    """A project pays for the data it brings, whoever's job reads it."""
    projects = {"datasets/in": "sky", "datasets/out": "sea", "datasets/gone": ""}
    sums = [ChargeSum(dataset=name, charges=1, amount_micros=5) for name in projects]
    sums += [ChargeSum(dataset="", charges=2, amount_micros=4), ChargeSum(charges=9, amount_micros=81)]
    summed = SummarizeChargesResponse(account="accounts/a", currency="CNY", charges=14, total_micros=100, sums=sums)

    async def answer(body: bytes, context: Any) -> bytes:
        if oracle.asked[-1][0] == "SummarizeCharges":
            assert SummarizeChargesRequest.FromString(body).group_by == SummarizeChargesRequest.GROUP_BY_DATASET
            return summed.SerializeToString()
        made = Dataset(name=GetDatasetRequest.FromString(body).name)
        made.labels.update({"project": projects[made.name]} if projects[made.name] else {})
        return made.SerializeToString()

    oracle.answer = answer
    *lines, foot = rows_of(await run("bill", "show", "--account", "a", "--by", "dataset-label:project", "-o", "csv"))
    assert [(line["label"], line["datasets"], line["amount"]) for line in lines] == [
        ("sea", "1", "0.000005"), ("sky", "1", "0.000005"), ("", "1", "0.000005"),
        ("(not recorded)", "0", "0.000004"), ("(no transfer)", "0", "0.000081"),
    ]  # fmt: skip
    assert Decimal(foot["amount"]) == sum(Decimal(line["amount"]) for line in lines)
    *lines, foot = rows_of(await run("bill", "show", "--account", "a", "--by", "dataset", "-o", "csv"))
    assert [line["dataset"] for line in lines] == ["in", "out", "gone", "(not recorded)", "(no transfer)"]
    assert Decimal(foot["amount"]) == sum(Decimal(line["amount"]) for line in lines)
    told = json.loads((await run("bill", "show", "--account", "a", "--by", "dataset", "-o", "json")).stdout)["sums"]
    assert [(row["key"], row["of"]) for row in told[3:]] == [("", "NOT_RECORDED"), ("", "NO_DATASET")]
    assert "（未记录）" in (await run("bill", "show", "--account", "a", "--by", "dataset", "--lang", "zh")).stdout


async def test_what_cannot_be_summed_by_is_not_asked(oracle: Any, run: Run) -> None:
    """A mistyped word must not come back as a sum of something else."""
    for arguments in (["--by", "week"], ["--by", "label:"], ["--by", "day:x"], ["--by", "day", "--job", "j"]):
        done = await run("bill", "show", "--account", "a", *arguments, "--lang", "zh")
        assert (done.exit_code, oracle.asked) == (2, [])
