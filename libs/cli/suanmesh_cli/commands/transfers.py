"""`suan transfer create`, `show`, `watch` and `cancel`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from suanmesh.transport.v1.transfer_pb2 import Transfer
from suanmesh.transport.v1.transport_service_pb2 import (
    CancelTransferRequest,
    CreateTransfersRequest,
    GetTransferRequest,
    TransferAsk,
)
from suanmesh_cli import output, units, values
from suanmesh_cli.following import Outage, goes_on, telling_who_leaves
from suanmesh_cli.layout import Column
from suanmesh_cli.names import Name
from suanmesh_cli.session import Session, command, each_of, full_name, reading
from suanmesh_cli.usage import Amount
from suanmesh_cli.values import Facts
from suanmesh_kernel.refusals import DeadlineExceeded, Unavailable
from suanmesh_sdk.enums import enum_name

if TYPE_CHECKING:
    from suanmesh_sdk import Mesh

ENDED = frozenset((Transfer.STATE_DONE, Transfer.STATE_FAILED, Transfer.STATE_CANCELLED))
LOOK_S = 0.5
"""How often a transfer that is watched is looked at."""


def verified(transfer: Transfer) -> str:
    """Whether the digest recomputed at the target is the dataset's."""
    if transfer.state != Transfer.STATE_DONE:
        return ""
    return "yes" if transfer.receipt.digest == transfer.digest else "NO"


TRANSFER_COLUMNS = (
    Column("TRANSFER", lambda transfer: transfer.name),
    Column("DATASET", lambda transfer: transfer.dataset, rank=2),
    Column("FROM", lambda transfer: units.short(transfer.source), rank=1),
    Column("TO", lambda transfer: units.short(transfer.target), rank=1),
    Column("STATE", lambda transfer: enum_name(Transfer.State, transfer.state, "STATE_")),
    Column("DONE", lambda transfer: values.size(transfer.progress.bytes_done), rank=3),
    Column("BYTES", lambda transfer: values.size(transfer.bytes), rank=1),
    Column("CHUNKS", lambda transfer: f"{transfer.progress.chunks_done}/{transfer.progress.chunks}", rank=5),
    Column("AGAIN", lambda transfer: transfer.progress.chunks_again, rank=5),
    Column("RATE", lambda transfer: values.rate(transfer.rate_bps) if transfer.rate_bps else "unpaced", rank=4),
    Column("VERIFIED", verified, rank=2),
    Column("PURPOSE", lambda transfer: enum_name(Transfer.Purpose, transfer.purpose, "PURPOSE_"), rank=4),
    Column("FOR", lambda transfer: transfer.placement, rank=5),
    Column("BECAUSE", lambda transfer: transfer.state_reason, rank=2, fold=True),
)


@click.command("create")
@click.argument("dataset", type=Name("datasets"))
@click.option("--to", "target", type=Name("sites"), required=True, help="Site that is to have a copy.")
@click.option("--from", "source", type=Name("sites"), default="", help="Site it comes from; any that has it without.")
@click.option(
    "--rate", type=Amount(units.RATES), default="0bit/s", metavar="RATE", help="Such as 100Mbit/s; unpaced without."
)
@click.option("--id", "transfer_id", default="", help="Last part of its name; chosen by the service without.")
@click.option("--wait", is_flag=True, help="Follow it until it has ended; the exit status says how.")
@command
async def create(
    session: Session, dataset: str, target: str, source: str, rate: int, transfer_id: str, wait: bool
) -> int:
    """Copy DATASET to a site."""
    ask = TransferAsk(
        transfer_id=transfer_id,
        dataset=full_name("datasets", dataset),
        source=full_name("sites", source) if source else "",
        target=full_name("sites", target),
        rate_bps=rate,
        purpose=Transfer.PURPOSE_COPY,
    )
    async with session.mesh() as mesh:
        answer = await mesh.transport.CreateTransfers(CreateTransfersRequest(items=[ask]), timeout=session.timeout_s)
        result = answer.results[0]
        if result.HasField("error"):
            from suanmesh_sdk.status import refusal_of

            raise refusal_of(result.error)
        made = await _followed(session, mesh, result.transfer.name) if wait else result.transfer
    _show(session, made)
    return 1 if wait and made.state != Transfer.STATE_DONE else 0


@click.command("show")
@click.argument("names", type=Name("transfers"), nargs=-1, required=True)
@reading
async def show(session: Session, names: tuple[str, ...]) -> int:
    """Show the transfers NAMES."""
    async with session.mesh() as mesh:

        async def one(name: str) -> None:
            request = GetTransferRequest(name=full_name("transfers", name))
            _show(session, await mesh.transport.GetTransfer(request, timeout=session.timeout_s))

        return await each_of(session, names, one)


@click.command("watch")
@click.argument("name", type=Name("transfers"))
@command
async def watch(session: Session, name: str) -> int:
    """Follow the transfer NAME until it has ended; the exit status says how."""
    async with session.mesh() as mesh:
        ended = await _followed(session, mesh, full_name("transfers", name))
    _show(session, ended)
    return 0 if ended.state == Transfer.STATE_DONE else 1


@click.command("cancel")
@click.argument("names", type=Name("transfers"), nargs=-1, required=True)
@command
async def cancel(session: Session, names: tuple[str, ...]) -> int:
    """End the transfers NAMES; what has ended stays as it is."""
    async with session.mesh() as mesh:

        async def one(name: str) -> None:
            request = CancelTransferRequest(name=full_name("transfers", name))
            _show(session, await mesh.transport.CancelTransfer(request, timeout=session.timeout_s))

        return await each_of(session, names, one)


def transfer_facts(transfer: Transfer) -> Facts:
    """What is known of a transfer."""
    done = transfer.progress.bytes_done
    part = f" ({100 * done / transfer.bytes:.1f} %)" if transfer.bytes else ""
    return [
        ("transfer", transfer.name),
        ("state", enum_name(Transfer.State, transfer.state, "STATE_")),
        ("because", transfer.state_reason),
        ("dataset", transfer.dataset),
        ("from", transfer.source),
        ("to", transfer.target),
        ("done", f"{units.size(done)} / {units.size(transfer.bytes)}{part}"),
        ("again", transfer.progress.chunks_again),
        ("rate", values.rate(transfer.rate_bps) if transfer.rate_bps else "unpaced"),
        ("purpose", enum_name(Transfer.Purpose, transfer.purpose, "PURPOSE_")),
        ("for", transfer.placement),
        ("made", transfer.create_time),
        ("ended", transfer.end_time),
    ]


async def _followed(session: Session, mesh: Mesh, name: str) -> Transfer:
    """The transfer as it ended; how far it is is told whenever that changes."""
    with telling_who_leaves(session, goes_on(name, f"suan transfer watch {name.removeprefix('transfers/')}")):
        return await _until_ended(session, mesh, name)


async def _until_ended(session: Session, mesh: Mesh, name: str) -> Transfer:
    last, outage = "", Outage(session)
    session.reach.ask = lambda mesh: mesh.transport.GetTransfer(GetTransferRequest(name=name))
    while True:
        try:
            found = await mesh.transport.GetTransfer(GetTransferRequest(name=name))
            outage.told(None)
        except (Unavailable, DeadlineExceeded) as refusal:
            outage.told(refusal)
        else:
            state = enum_name(Transfer.State, found.state, "STATE_")
            told = f"{name} {state} {units.size(found.progress.bytes_done)} / {units.size(found.bytes)}"
            if told != last:
                last = told
                output.note(told)
            if found.state in ENDED:
                return found
        await asyncio.sleep(LOOK_S)


def _show(session: Session, transfer: Transfer) -> None:
    output.show_one(
        session.view, transfer, lambda: output.facts(session.view, transfer_facts(transfer)), TRANSFER_COLUMNS
    )


VERBS = (create, show, watch, cancel)
