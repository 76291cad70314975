"""`suan link` and `suan reservation`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from suanmesh.network_orchestrator.v1.link_pb2 import Link
from suanmesh.network_orchestrator.v1.network_orchestrator_service_pb2 import (
    DeclareLinksRequest,
    GetLinkRequest,
    GetReservationRequest,
    ListLinksRequest,
    ListReservationsRequest,
    RemoveLinkRequest,
)
from suanmesh.network_orchestrator.v1.reservation_pb2 import Reservation
from suanmesh.registry.v1.registry_service_pb2 import GetPartyRequest, ListSitesRequest
from suanmesh.registry.v1.site_pb2 import Site
from suanmesh_cli import output, units, values
from suanmesh_cli.commands.money import price_given
from suanmesh_cli.declared import FILE, declared
from suanmesh_cli.layout import Column
from suanmesh_cli.lazy import Verbs
from suanmesh_cli.names import Name
from suanmesh_cli.session import Session, command, drawn_as, each_of, full_name, listed, listing, reading
from suanmesh_cli.texts import refusal
from suanmesh_cli.usage import Amount, Misuse
from suanmesh_cli.values import Cell, Facts
from suanmesh_kernel.refusals import NotFound
from suanmesh_kernel.texts import Text
from suanmesh_sdk.enums import enum_name

if TYPE_CHECKING:
    from suanmesh_sdk import Mesh

CLASSES = ("access", "inter", "intra")
LINKS_MAX = 1000
"""Declared by one call."""


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
    Column("CLASS", lambda link: enum_name(Link.Class, getattr(link, "class"), "CLASS_"), rank=4),
    Column("CAPACITY", lambda link: values.rate(link.capacity_bps), rank=1),
    Column("RESERVED", lambda link: values.rate(link.state.reserved_bps), rank=1),
    Column("LATENCY", lambda link: values.duration_us(link.latency_us), rank=2),
    Column("PROBED RTT", probed, rank=2),
    Column("PRICE", price),
    Column("OWNER", lambda link: link.owner, rank=4),
)
RESERVATION_COLUMNS = (
    Column("RESERVATION", lambda held: held.name),
    Column("STATE", lambda held: enum_name(Reservation.State, held.state, "STATE_")),
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


@link.command("show")
@click.argument("names", type=Name("links"), nargs=-1, required=True)
@reading
async def show_link(session: Session, names: tuple[str, ...]) -> int:
    """Show the links NAMES with what they carry."""
    async with session.mesh() as mesh:

        async def show(name: str) -> None:
            request = GetLinkRequest(name=full_name("links", name))
            _show(session, await mesh.network_orchestrator.GetLink(request, timeout=session.timeout_s))

        return await each_of(session, names, show)


@link.command("declare")
@click.argument("name", type=Name("links"), required=False, default="")
@click.option("--from", "source", type=Name("sites"), default="", help="Where it begins: a site, or exchanges/NAME.")
@click.option("--to", "target", type=Name("sites"), default="", help="Where it ends.")
@click.option("--class", "kind", type=click.Choice(CLASSES), default=None, help="What it joins.")
@click.option("--capacity", type=Amount(units.RATES), default=None, metavar="RATE", help="Such as 10Gbit/s.")
@click.option("--latency", type=Amount(units.MICROSECONDS), default=None, metavar="TIME", help="One way, such as 5ms.")
@click.option("--loss-ppm", type=click.IntRange(0, 1_000_000), default=None, help="Loss in parts per million.")
@click.option("--price", "cost", default="", metavar="AMOUNT/UNIT", help="Of moved data, such as 0.02/GB, or free.")
@click.option("--owner", type=Name("parties"), default="", help="Party that earns.")
@click.option("--risk-group", "groups", multiple=True, help="What it fails together with; repeatable, takes the place.")
@FILE
@command
async def declare_links(session: Session, file: Path | None, **given: Any) -> None:
    """Declare the link NAME, or change what is given of one that is declared; or many of -f FILE (operator).

    For example: links: [{name: a-b, from: a, to: b, capacity: 1Gbit/s, latency: 8ms, price: 0.02/GB, owner: c}]
    """
    wanted = declared(click.get_current_context(), file, "links", given)
    names = [full_name("links", each["name"]) for each in wanted]
    async with session.mesh() as mesh:
        found = await _declared(session, mesh, names)
        for name, each in zip(names, wanted, strict=True):
            if name not in found:
                found[name] = _new(name, each)
            _change(found[name], each)
        for owner in sorted({each["owner"] for each in wanted} - {""}):  # it would earn on an account that is nobody's
            party = GetPartyRequest(name=full_name("parties", owner))
            await mesh.registry.GetParty(party, timeout=session.timeout_s)
        links: list[Link] = []
        for first in range(0, len(names), LINKS_MAX):
            request = DeclareLinksRequest(links=[found[name] for name in names[first : first + LINKS_MAX]])
            answer = await mesh.network_orchestrator.DeclareLinks(request, timeout=session.timeout_s)
            links += answer.links
        if file is None:
            _show(session, links[0])
        else:
            output.show_list(session.view, "links", links, LINK_COLUMNS)
        if any(each["source"] or each["target"] for each in wanted):
            await _note_absent(
                session, mesh, {end for name in names for end in (found[name].source, found[name].target)}
            )


async def _note_absent(session: Session, mesh: Mesh, ends: set[str]) -> None:
    """Links may be declared before a site joins; names that are mistyped are told all the same."""
    sites = await listed(replace(session, limit=None), mesh.registry.ListSites, ListSitesRequest(), "sites")
    for end in sorted(ends - {site.name for site in sites}):
        if end.startswith("sites/"):
            said = Text(
                f"{end} has not joined: until it does, the link is of no use", f"{end} 尚未加入：在此之前链路无用"
            )
            output.note(said.of(session.lang))


@link.command("rm")
@click.argument("names", type=Name("links"), nargs=-1, required=True)
@command
async def remove_link(session: Session, names: tuple[str, ...]) -> int:
    """Forget the links NAMES, which must carry no reservation (operator)."""
    async with session.mesh() as mesh:

        async def remove(name: str) -> None:
            request = RemoveLinkRequest(name=full_name("links", name))
            await mesh.network_orchestrator.GetLink(GetLinkRequest(name=request.name), timeout=session.timeout_s)
            await mesh.network_orchestrator.RemoveLink(request, timeout=session.timeout_s)
            output.note(Text(f"{request.name} removed", f"{request.name} 已移除").of(session.lang))

        return await each_of(session, names, remove)


@link.command("topology")
@click.option("--around", type=Name("sites"), default="", help="The site in the middle; else the one with most links.")
@listing
@drawn_as("svg", "dot")
async def topology(session: Session, around: str) -> None:
    """Draw sites and links with their use, on circles of latency around a site: -o svg for a browser, -o dot."""
    from suanmesh_cli.render import topology as drawing

    async with session.mesh() as mesh:
        links = await listed(session, mesh.network_orchestrator.ListLinks, ListLinksRequest(), "links")
        sites = await listed(replace(session, limit=None), mesh.registry.ListSites, ListSitesRequest(), "sites")
    sites = [site for site in sites if site.admission != Site.ADMISSION_REMOVED]
    if session.view.form == "dot":
        output.print_lines([drawing.dot(links, sites)])
    elif session.view.form == "svg":
        ends = drawing.ends_of(links, sites)
        centre = full_name("sites", around) if around else drawing.centre_of(links, ends) if ends else ""
        if centre not in ends:
            none = Text(f"there is nothing called {centre or around}", f"没有 {centre or around}")
            raise refusal(NotFound, "SITE_UNKNOWN", none, name=centre)
        output.print_lines([drawing.svg(links, sites, centre)])
    else:
        output.show_list(session.view, "links", links, LINK_COLUMNS)


@click.group(cls=Verbs)
def reservation() -> None:
    """Reservations: bandwidth held on paths."""


@reservation.command("show")
@click.argument("names", type=Name("reservations"), nargs=-1, required=True)
@reading
async def show_reservation(session: Session, names: tuple[str, ...]) -> int:
    """Show the reservations NAMES."""
    async with session.mesh() as mesh:

        async def show(name: str) -> None:
            request = GetReservationRequest(name=full_name("reservations", name))
            found = await mesh.network_orchestrator.GetReservation(request, timeout=session.timeout_s)
            output.show_one(
                session.view, found, lambda: output.facts(session.view, reservation_facts(found)), RESERVATION_COLUMNS
            )

        return await each_of(session, names, show)


@reservation.command("list")
@listing
async def list_reservations(session: Session) -> None:
    """List reservations, those that hold bandwidth first."""
    async with session.mesh() as mesh:
        call = mesh.network_orchestrator.ListReservations
        held = await listed(session, call, ListReservationsRequest(), "reservations")
    output.show_list(session.view, "reservations", held, RESERVATION_COLUMNS)


def reservation_facts(held: Reservation) -> Facts:
    """What is known of a reservation."""
    return [
        ("reservation", held.name),
        ("state", enum_name(Reservation.State, held.state, "STATE_")),
        ("from", held.source),
        ("to", held.target),
        ("path", " → ".join(units.short(link) for link in held.path.links)),
        ("rate", values.rate(held.rate_bps)),
        ("latency", values.duration_us(held.path.latency_us)),
        ("for", held.placement),
        ("party", held.party),
        ("made", held.create_time),
        ("released", held.release_time),
    ]


def link_facts(link: Link) -> Facts:
    """What is known of a link."""
    part = link.state.reserved_bps / link.capacity_bps if link.capacity_bps else 0
    reserved = f"{units.rate(link.state.reserved_bps)} ({100 * part:.1f} %)"
    return [
        ("link", link.name),
        ("from", link.source),
        ("to", link.target),
        ("class", enum_name(Link.Class, getattr(link, "class"), "CLASS_")),
        ("capacity", values.rate(link.capacity_bps)),
        ("reserved", reserved),
        ("latency", values.duration_us(link.latency_us)),
        ("probed RTT", probed(link)),
        ("probed", link.state.probe_time),
        ("loss", f"{link.loss_ppm} ppm" if link.loss_ppm else ""),
        ("price", price(link)),
        ("owner", link.owner),
        ("risk groups", ", ".join(link.risk_groups)),
    ]


async def _declared(session: Session, mesh: Mesh, names: list[str]) -> dict[str, Link]:
    """Those of the names that are declared."""
    if len(names) > 1:
        whole = replace(session, limit=0)
        links = await listed(whole, mesh.network_orchestrator.ListLinks, ListLinksRequest(), "links")
        return {link.name: link for link in links}
    try:
        request = GetLinkRequest(name=names[0])
        return {names[0]: await mesh.network_orchestrator.GetLink(request, timeout=session.timeout_s)}
    except NotFound:
        return {}


def _new(name: str, given: dict[str, Any]) -> Link:
    """Raises Misuse where it has no ends."""
    if not (given["source"] and given["target"]):
        said = f"{name} is not there, and a new link needs --from and --to."
        raise Misuse(Text(said, f"{name} 不存在；新链路须给出 --from 和 --to。"))
    link = Link(name=name)
    setattr(link, "class", Link.CLASS_INTER)
    return link


def _show(session: Session, link: Link) -> None:
    output.show_one(session.view, link, lambda: output.facts(session.view, link_facts(link)), LINK_COLUMNS)


def _change(found: Link, given: dict[str, Any]) -> None:
    """Put what was given in the place of what is declared."""
    found.ClearField("state")
    for field in ("source", "target"):
        if given[field]:
            end = given[field]
            setattr(found, field, end if end.startswith("exchanges/") else full_name("sites", end))
    numbers = {"capacity_bps": "capacity", "latency_us": "latency", "loss_ppm": "loss_ppm"}
    for field, option in numbers.items():
        if given[option] is not None:
            setattr(found, field, given[option])
    if given["kind"]:
        setattr(found, "class", Link.Class.Value(f"CLASS_{given['kind'].upper()}"))
    if given["owner"]:
        found.owner = full_name("parties", given["owner"])
    if given["groups"]:
        del found.risk_groups[:]
        found.risk_groups.extend(given["groups"])
    if given["cost"]:
        found.ClearField("price")
        paid = price_given(f"transfer={given['cost']}")
        if paid.amount_micros:
            found.price.CopyFrom(paid)
