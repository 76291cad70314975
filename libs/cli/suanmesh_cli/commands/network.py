"""`suan link` and `suan reservation`."""

from __future__ import annotations

import click

from suanmesh.network_orchestrator.v1.link_pb2 import Link
from suanmesh.network_orchestrator.v1.network_orchestrator_service_pb2 import (
    ListLinksRequest,
    ListReservationsRequest,
)
from suanmesh.network_orchestrator.v1.reservation_pb2 import Reservation
from suanmesh_cli import output, units, values
from suanmesh_cli.layout import Column
from suanmesh_cli.lazy import Verbs
from suanmesh_cli.session import Session, listed, listing
from suanmesh_cli.values import Cell


def probed(link: Link) -> Cell:
    """The round-trip time the agents measured, or nothing."""
    return values.duration_us(link.state.probed_rtt_us) if link.state.HasField("probed_rtt_us") else ""


def price(link: Link) -> str:
    """What moving data over the link costs."""
    if not link.HasField("price"):
        return "free"
    return units.price(link.price.meter, link.price.amount_micros, link.price.per_quantity)


LINK_COLUMNS = (
    Column("LINK", lambda link: link.name),
    Column("FROM", lambda link: link.source, rank=3),
    Column("TO", lambda link: link.target, rank=3),
    Column("CLASS", lambda link: Link.Class.Name(getattr(link, "class")).removeprefix("CLASS_"), rank=4),
    Column("CAPACITY", lambda link: values.rate(link.capacity_bps), rank=1),
    Column("RESERVED", lambda link: values.rate(link.state.reserved_bps), rank=1),
    Column("LATENCY", lambda link: values.duration_us(link.latency_us), rank=2),
    Column("PROBED RTT", probed, rank=2),
    Column("PRICE", price),
    Column("OWNER", lambda link: link.owner, rank=4),
)
RESERVATION_COLUMNS = (
    Column("RESERVATION", lambda held: held.name),
    Column("STATE", lambda held: Reservation.State.Name(held.state).removeprefix("STATE_")),
    Column("RATE", lambda held: values.rate(held.rate_bps), rank=1),
    Column("PATH", lambda held: " → ".join(units.short(link) for link in held.path.links), rank=2),
    Column("FOR", lambda held: held.placement, rank=3),
    Column("MADE", lambda held: held.create_time, rank=3),
    Column("RELEASED", lambda held: held.release_time, rank=4),
)


@click.group(cls=Verbs)
def link() -> None:
    """Links: directed connections between sites."""


@link.command("list")
@listing
async def list_links(session: Session) -> None:
    """List the links with what they carry."""
    async with session.mesh() as mesh:
        links = await listed(session, mesh.network_orchestrator.ListLinks, ListLinksRequest(), "links")
    output.show_list(session.view, "links", links, LINK_COLUMNS)


@click.group(cls=Verbs)
def reservation() -> None:
    """Reservations: bandwidth held on paths."""


@reservation.command("list")
@listing
async def list_reservations(session: Session) -> None:
    """List reservations, those that hold bandwidth first."""
    async with session.mesh() as mesh:
        call = mesh.network_orchestrator.ListReservations
        held = await listed(session, call, ListReservationsRequest(), "reservations")
    output.show_list(session.view, "reservations", held, RESERVATION_COLUMNS)
