"""`suan bill`: what an account owes, line by line or summed."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from suanmesh.accounting.v1.accounting_service_pb2 import (
    GetBillRequest,
    ListAccountsRequest,
    SummarizeChargesRequest,
    SummarizeChargesResponse,
)
from suanmesh.accounting.v1.usage_pb2 import Bill
from suanmesh.scheduler.v1.scheduler_service_pb2 import GetJobRequest
from suanmesh.transport.v1.transport_service_pb2 import GetDatasetRequest
from suanmesh_cli import output, periods, tables, values
from suanmesh_cli.lazy import Verbs
from suanmesh_cli.names import Name
from suanmesh_cli.render import bill as rendering
from suanmesh_cli.render import sums
from suanmesh_cli.session import Session, full_name, listed, listing
from suanmesh_cli.texts import refusal
from suanmesh_cli.usage import Misuse
from suanmesh_kernel.clock import SystemClock
from suanmesh_kernel.refusals import FailedPrecondition, NotFound
from suanmesh_kernel.texts import Text

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

    from suanmesh_sdk import Mesh

PAGE = 1000
CALLS_AT_A_TIME = 16
GROUPS = {
    "job": SummarizeChargesRequest.GROUP_BY_JOB,
    "day": SummarizeChargesRequest.GROUP_BY_DAY,
    "month": SummarizeChargesRequest.GROUP_BY_DAY,
    "site": SummarizeChargesRequest.GROUP_BY_SITE,
    "meter": SummarizeChargesRequest.GROUP_BY_METER,
    "dataset": SummarizeChargesRequest.GROUP_BY_DATASET,
}
TOTALS = ("charges", "total_micros", "waived_micros")
"""What an answer says of all sums together, the same on each of its pages."""
LABELS = {"label": "job", "dataset-label": "dataset"}
"""Of what the labels are that are summed by, as `label:KEY`."""


@click.group(cls=Verbs)
def bill() -> None:
    """Bills: what an account owes."""


@bill.command("show")
@click.option(
    "--account",
    "account_name",
    type=Name("accounts"),
    default="",
    help="The account; by default the context's, or your only one.",
)
@click.option("--job", "job_name", type=Name("jobs"), default="", help="Only what this job cost.")
@click.option(
    "--from", "start", default="", metavar="WHEN", help="Only what was charged from then on: a day, a month, or 7d."
)
@click.option(
    "--to",
    "end",
    default="",
    metavar="WHEN",
    help="Only what was charged until then; a day or month with all its hours.",
)
@click.option(
    "--by",
    default="",
    metavar="WHAT",
    help="Sum it by job, day, month, site, meter, dataset, label:KEY of jobs, or dataset-label:KEY.",
)
@listing
async def show_bill(session: Session, account_name: str, job_name: str, start: str, end: str, by: str) -> None:
    """Show every charge with its day, its unit price and its trace, and the sum; or sums."""
    job_name = full_name("jobs", job_name) if job_name else ""
    now, zone = SystemClock().now(), session.view.zone
    period = periods.period(start, end, now, zone)
    _require_group(by, job_name)
    async with session.mesh() as mesh:
        owing = await _account(session, mesh, account_name, job_name)
        if by:
            await _show_sums(session, mesh, owing, by, period)
            return
        request = GetBillRequest(account=owing, job=job_name, start_time=period[0], end_time=period[1])
        owed = await _all_charges(session, mesh, request)
    columns, footer = rendering.columns_of(owed), rendering.footer_of(session.view, owed)
    charges = tables.ordered(session.view, owed.charges, columns)
    del owed.charges[:]
    owed.charges.extend(charges)
    if session.view.for_people:
        output.print_lines(rendering.bill(session.view, owed))
    elif session.view.form in ("csv", "jsonl", "name"):
        data = partial(output.as_data, zeros=True)
        output.show_list(session.view, "charges", owed.charges, columns, footer=footer, data=data)
    else:
        output.show_one(session.view, owed, list, zeros=True)


async def _all_charges(session: Session, mesh: Mesh, request: GetBillRequest) -> Bill:
    """The bill with the charges of all its pages, up to the limit; where there are more, a note says so."""
    most = session.items_max
    request.page_size = min(PAGE, most)
    owed = await mesh.accounting.GetBill(request, timeout=session.timeout_s)
    while owed.next_page_token and len(owed.charges) < most:
        request.page_token, request.page_size = owed.next_page_token, min(PAGE, most - len(owed.charges))
        page = await mesh.accounting.GetBill(request, timeout=session.timeout_s)
        owed.charges.extend(page.charges)
        owed.next_page_token = page.next_page_token
    if owed.next_page_token:
        output.note_more(session.view, len(owed.charges))
    return owed


async def _show_sums(
    session: Session, mesh: Mesh, account: str, by: str, period: tuple[Timestamp | None, Timestamp | None]
) -> None:
    what, _, key = by.partition(":")
    group = LABELS.get(what, by)
    offset_min = periods.offset_min(SystemClock().now(), session.view.zone)
    request = SummarizeChargesRequest(
        account=account, group_by=GROUPS[group], start_time=period[0], end_time=period[1], utc_offset_min=offset_min
    )
    most = session.items_max
    by_day = by in ("day", "month")
    answer = await _all_sums(session, mesh, request, sys.maxsize if key or by_day else most)
    if by_day:
        days = await _days(session, mesh, request, answer)
        rows = days if by == "day" else sums.by_month(days)
    else:
        rows = [sums.row(group, each) for each in answer.sums]
    if key:
        labels = await _labels(session, mesh, group, [str(each["key"]) for each in rows if "of" not in each], key)
        rows = sums.by_label(rows, labels, f"{group}s")
    if answer.next_page_token or len(rows) > most:
        rows = rows[:most]
        output.note_more(session.view, len(rows))
    shown = sums.Shown(by, account, answer)
    columns, footer = sums.columns_of(shown, session.lang), sums.footer_of(session.view, shown)
    if session.view.for_people:
        output.print_lines([session.view.words(sums.head(session.view, shown))])
    totals: dict[str, Any] = {"account": account, "currency": answer.currency, "charges": str(answer.charges)}
    totals |= {"total_micros": str(answer.total_micros), "waived_micros": str(answer.waived_micros)}
    output.show_list(session.view, "sums", rows, columns, footer=footer, name=lambda row: str(row["key"]), **totals)


async def _days(
    session: Session, mesh: Mesh, request: SummarizeChargesRequest, whole: SummarizeChargesResponse
) -> list[sums.Row]:
    """The sums by day, each day as long as it was: where clocks were changed within the period, span by span.

    `whole` is the answer for one offset; it is made to say what the spans come to, since more may be charged between
    one and the next.
    """
    rows = [sums.row("day", each, request.utc_offset_min) for each in whole.sums]
    if not rows:
        return rows
    first, last = (values.stamp(each).ToDatetime(UTC) for each in (rows[0]["first_time"], rows[-1]["last_time"]))
    told = [*periods.spans(first, last, session.view.zone)]
    if [offset_min for _, offset_min in told] == [request.utc_offset_min]:
        return rows
    found: list[sums.Row] = []
    for field in TOTALS:
        setattr(whole, field, 0)
    for number, (_, offset_min) in enumerate(told):
        asked = SummarizeChargesRequest()
        asked.CopyFrom(request)
        asked.page_token, asked.utc_offset_min = "", offset_min
        if number:
            asked.start_time.FromDatetime(told[number][0])
        if number + 1 < len(told):
            asked.end_time.FromDatetime(told[number + 1][0])
        answer = await _all_sums(session, mesh, asked, sys.maxsize)
        found += [sums.row("day", each, offset_min) for each in answer.sums]
        for field in TOTALS:
            setattr(whole, field, getattr(whole, field) + getattr(answer, field))
    return sums.merged(found)


async def _all_sums(
    session: Session, mesh: Mesh, request: SummarizeChargesRequest, most: int
) -> SummarizeChargesResponse:
    """The sums of all pages, up to `most`."""
    request.page_size = min(PAGE, most)
    answer = await mesh.accounting.SummarizeCharges(request, timeout=session.timeout_s)
    while answer.next_page_token and len(answer.sums) < most:
        request.page_token, request.page_size = answer.next_page_token, min(PAGE, most - len(answer.sums))
        page = await mesh.accounting.SummarizeCharges(request, timeout=session.timeout_s)
        answer.sums.extend(page.sums)
        answer.next_page_token = page.next_page_token
    return answer


async def _labels(session: Session, mesh: Mesh, kind: str, names: Sequence[str], key: str) -> dict[str, str]:
    """The value of a label of each job or dataset; none of one that has none, or is not known any more."""
    turns = asyncio.Semaphore(CALLS_AT_A_TIME)

    async def label(name: str) -> tuple[str, str]:
        labels: Mapping[str, str] = {}
        async with turns:
            with suppress(NotFound):
                if kind == "job":
                    labels = (await mesh.scheduler.GetJob(GetJobRequest(name=name), timeout=session.timeout_s)).labels
                else:
                    asked = GetDatasetRequest(name=name)
                    labels = (await mesh.transport.GetDataset(asked, timeout=session.timeout_s)).labels
        return name, labels.get(key, "")

    return dict(await asyncio.gather(*map(label, names)))


def _require_group(by: str, job: str) -> None:
    """Raises Misuse for what cannot be summed by."""
    what, _, key = by.partition(":")
    if by and by not in GROUPS and not (what in LABELS and key):
        raise Misuse(
            Text(
                f"{by[:40]!r} is nothing to sum by: job, day, month, site, meter, dataset, label:KEY, such as "
                "label:team, or dataset-label:KEY.",
                f"不能按 {by[:40]!r} 汇总：可用 job、day、month、site、meter、dataset、label:键（例如 label:team）或 "
                "dataset-label:键。",
            ),
            click.get_current_context(),
        )
    if by and job:
        raise Misuse(Text("Give either --job or --by.", "--job 与 --by 只能给出其一。"), click.get_current_context())


async def _account(session: Session, mesh: Mesh, given: str, job: str) -> str:
    """The account meant: the one given, the job's, the context's, or the only one there is."""
    if given:
        return full_name("accounts", given)
    if job:
        return (await mesh.scheduler.GetJob(GetJobRequest(name=job), timeout=session.timeout_s)).account
    if session.context.account:
        return full_name("accounts", session.context.account)
    found = await listed(session, mesh.accounting.ListAccounts, ListAccountsRequest(), "accounts")
    if len(found) != 1:
        names = ", ".join(each.name for each in found)
        which = Text(
            f"say which account with --account; there are: {names or 'none'}",
            f"请用 --account 指明账户；现有：{names or '无'}",
        )
        raise refusal(FailedPrecondition, "ACCOUNT_AMBIGUOUS", which)
    return str(found[0].name)
