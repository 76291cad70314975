"""`suan usage`, `suan posting` and `suan hold`: what the books are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from suanmesh.accounting.v1.accounting_service_pb2 import (
    GetAccountRequest,
    ListHoldsRequest,
    ListPostingsRequest,
    ListUsageRequest,
)
from suanmesh.accounting.v1.usage_pb2 import Hold, StoredUsage, UsageRecord
from suanmesh.scheduler.v1.scheduler_service_pb2 import GetJobRequest
from suanmesh_cli import output, units, values
from suanmesh_cli.layout import Column
from suanmesh_cli.lazy import Verbs
from suanmesh_cli.names import Name
from suanmesh_cli.session import Session, full_name, listed, listing
from suanmesh_cli.values import Cell
from suanmesh_sdk.enums import enum_name

if TYPE_CHECKING:
    from suanmesh_sdk import Mesh

Told = tuple[UsageRecord, StoredUsage]


def _readings(told: Told) -> str:
    return ", ".join(
        f"{units.METERS.get(each.meter, each.meter)} {each.quantity} {units.METER_UNITS.get(each.meter, '')}".strip()
        for each in told[0].readings
    )


def _work(told: Told) -> str:
    record = told[0]
    return record.transfer or f"{record.placement} {record.task}"


USAGE_COLUMNS = (
    Column("SITE", lambda told: units.short(told[0].site)),
    Column("EPOCH", lambda told: told[0].epoch, rank=4),
    Column("SEQUENCE", lambda told: told[0].sequence, rank=2),
    Column("WORK", _work, rank=1),
    Column("FROM", lambda told: told[0].start_time, rank=3),
    Column("TO", lambda told: told[0].end_time, rank=1),
    Column("READINGS", _readings, fold=True),
    Column("FINAL", lambda told: "yes" if told[0].final else "", rank=3),
    Column("STORED", lambda told: told[1].record_time, rank=4),
)
POSTING_COLUMNS = (
    Column("WHEN", lambda posting: posting.post_time, rank=1),
    Column("ENTRY", lambda posting: posting.entry, rank=2),
    Column("ACCOUNT", lambda posting: posting.account),
    Column("AMOUNT", lambda posting: values.money(posting.amount_micros, posting.currency)),
    Column("CURRENCY", lambda posting: posting.currency, for_programs=True),
)


def _left(hold: Hold) -> Cell:
    left = 0 if hold.state == Hold.STATE_RELEASED else max(0, hold.amount_micros - hold.charged_micros)
    return values.money(left)


HOLD_COLUMNS = (
    Column("HOLD", lambda hold: hold.name),
    Column("STATE", lambda hold: enum_name(Hold.State, hold.state, "STATE_")),
    Column("AMOUNT", lambda hold: values.money(hold.amount_micros)),
    Column("CHARGED", lambda hold: values.money(hold.charged_micros)),
    Column("LEFT", _left),
    Column("JOB", lambda hold: units.short(hold.job), rank=1),
    Column("ACCOUNT", lambda hold: units.short(hold.account), rank=2),
    Column("MADE", lambda hold: hold.create_time, rank=3),
)


@click.group(cls=Verbs)
def usage() -> None:
    """Usage: what sites have measured and signed."""


@usage.command("list")
@click.option("--job", type=Name("jobs"), default="", help="Only what was measured of this job.")
@listing
async def list_usage(session: Session, job: str) -> None:
    """List usage records in the order they came, with what proves them where they are printed as data."""
    request = ListUsageRequest(job=full_name("jobs", job) if job else "")
    async with session.mesh() as mesh:
        found = await listed(session, mesh.accounting.ListUsage, request, "usage")
        if job and not found:
            await mesh.scheduler.GetJob(GetJobRequest(name=request.job), timeout=session.timeout_s)
    told = [(UsageRecord.FromString(stored.record), stored) for stored in found]
    output.show_list(session.view, "usage", told, USAGE_COLUMNS, name=_reference, data=_data)


@click.group(cls=Verbs)
def posting() -> None:
    """Postings: every side of every entry of the ledger."""


@posting.command("list")
@click.option("--account", "account_name", type=Name("accounts"), default="", help="Only those of this account.")
@listing
async def list_postings(session: Session, account_name: str) -> None:
    """List postings in the order they were made: what your accounts have paid and earned."""
    request = ListPostingsRequest(account=full_name("accounts", account_name) if account_name else "")
    async with session.mesh() as mesh:
        found = await listed(session, mesh.accounting.ListPostings, request, "postings")
        await _require_known(session, mesh, request.account, found)
    output.show_list(session.view, "postings", found, POSTING_COLUMNS, name=lambda each: str(each.entry))


@click.group(cls=Verbs)
def hold() -> None:
    """Holds: money promised to placements."""


@hold.command("list")
@click.option("--account", "account_name", type=Name("accounts"), default="", help="Only those on this account.")
@listing
async def list_holds(session: Session, account_name: str) -> None:
    """List holds, those that stand first."""
    request = ListHoldsRequest(account=full_name("accounts", account_name) if account_name else "")
    async with session.mesh() as mesh:
        found = await listed(session, mesh.accounting.ListHolds, request, "holds")
        await _require_known(session, mesh, request.account, found)
    output.show_list(session.view, "holds", found, HOLD_COLUMNS)


async def _require_known(session: Session, mesh: Mesh, account: str, found: Sequence[object]) -> None:
    """Raises NotFound where there are none because there is no such account."""
    if account and not found:
        await mesh.accounting.GetAccount(GetAccountRequest(name=account), timeout=session.timeout_s)


def _data(told: Told) -> dict[str, Any]:
    return {**output.as_data(told[1]), "record": output.as_data(told[0])}


def _reference(told: Told) -> str:
    return f"{told[0].site}/{told[0].epoch}/{told[0].sequence}"
