"""`suan link` and `suan reservation`."""

from __future__ import annotations

import click

from suanmesh.network_orchestrator.v1.link_pb2 import Link
from suanmesh.network_orchestrator.v1.network_orchestrator_service_pb2 import (
    ListLinksRequest,
    ListReservationsRequest,
)
from suanmesh.network_orchestrator.v1.reservation_pb2 import Reservation
from suanmesh_cli import output, units
from suanmesh_cli.lazy import Verbs
from suanmesh_cli.session import Session, command, listed

LINK_COLUMNS: output.Columns = (
    ("LINK", lambda link: link.name),
    ("FROM", lambda link: link.source),
    ("TO", lambda link: link.target),
    ("CLASS", lambda link: Link.Class.Name(getattr(link, "class")).removeprefix("CLASS_")),
    ("CAPACITY", lambda link: units.rate(link.capacity_bps)),
    ("RESERVED", lambda link: units.rate(link.state.reserved_bps)),
    ("LATENCY", lambda link: units.duration_us(link.latency_us)),
    ("PROBED RTT", lambda link: probed(link)),  # noqa: PLW0108 - defined below
    ("PRICE", lambda link: price(link)),  # noqa: PLW0108 - defined below
    ("OWNER", lambda link: link.owner),
)
RESERVATION_COLUMNS: output.Columns = (
    ("RESERVATION", lambda held: held.name),
    ("STATE", lambda held: Reservation.State.Name(held.state).removeprefix("STATE_")),
    ("RATE", lambda held: units.rate(held.rate_bps)),
    ("PATH", lambda held: " → ".join(units.short(link) for link in held.path.links)),
    ("FOR", lambda held: held.placement),
    ("MADE", lambda held: units.moment(held.create_time)),
    ("RELEASED", lambda held: units.moment(held.release_time)),
)


@click.group(cls=Verbs)
def link() -> None:
    """Links: directed connections between sites."""


@link.command("list")
@command
async def list_links(session: Session) -> None:
    """List the links with what they carry."""
    async with session.mesh() as mesh:
        links = await listed(mesh.network_orchestrator.ListLinks, ListLinksRequest(), "links", session.timeout_s)
    output.show_list(session.output, "links", links, LINK_COLUMNS)


@click.group(cls=Verbs)
def reservation() -> None:
    """Reservations: bandwidth held on paths."""


@reservation.command("list")
@command
async def list_reservations(session: Session) -> None:
    """List reservations, those that hold bandwidth first."""
    async with session.mesh() as mesh:
        call = mesh.network_orchestrator.ListReservations
        held = await listed(call, ListReservationsRequest(), "reservations", session.timeout_s)
    output.show_list(session.output, "reservations", held, RESERVATION_COLUMNS)


def probed(link: Link) -> str:
    """The round-trip time the agents measured, or nothing."""
    return units.duration_us(link.state.probed_rtt_us) if link.state.HasField("probed_rtt_us") else ""


def price(link: Link) -> str:
    """What moving data over the link costs."""
    if not link.HasField("price"):
        return "free"
    return units.price(link.price.meter, link.price.amount_micros, link.price.per_quantity)
