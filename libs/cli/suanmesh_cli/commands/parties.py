"""`suan party`."""

from __future__ import annotations

import click

from suanmesh.registry.v1.party_pb2 import Party
from suanmesh.registry.v1.registry_service_pb2 import (
    CreatePartyRequest,
    GetPartyRequest,
    ListPartiesRequest,
    SetDefaultSiteRequest,
    SetPartyStateRequest,
    SetPublishersRequest,
)
from suanmesh_cli import output, units
from suanmesh_cli.layout import Column
from suanmesh_cli.lazy import Verbs
from suanmesh_cli.names import Name
from suanmesh_cli.session import Session, command, each_of, full_name, listed, listing, reading
from suanmesh_cli.usage import Misuse
from suanmesh_cli.values import Facts
from suanmesh_kernel.texts import Text
from suanmesh_sdk.enums import enum_name

KINDS = [
    name.removeprefix("KIND_").lower().replace("_", "-")
    for name in Party.Kind.DESCRIPTOR.values_by_name
    if name not in ("KIND_UNSPECIFIED", "KIND_OPERATOR")
]
COLUMNS = (
    Column("PARTY", lambda party: party.name),
    Column("STATE", lambda party: enum_name(Party.State, party.state, "STATE_")),
    Column("KIND", lambda party: enum_name(Party.Kind, party.kind, "KIND_"), rank=1),
    Column("CURRENCY", lambda party: party.currency, rank=2),
    Column("REGISTERED", lambda party: party.create_time, rank=3),
    Column("NAME", lambda party: party.display_name, rank=1),
)


@click.group(cls=Verbs)
def party() -> None:
    """Parties: who takes part, who is let in, and who may publish for them."""


@party.command("list")
@listing
async def list_parties(session: Session) -> None:
    """List the parties by name (operator)."""
    async with session.mesh() as mesh:
        found = await listed(session, mesh.registry.ListParties, ListPartiesRequest(), "parties")
    output.show_list(session.view, "parties", found, COLUMNS)


@party.command("create")
@click.argument("name")
@click.option("--kind", type=click.Choice(KINDS), required=True, help="What it does in the mesh.")
@click.option("--currency", required=True, help="ISO 4217 code of the currency it keeps its accounts in.")
@click.option("--display-name", default="", help="Name shown to people.")
@click.option("--pending", is_flag=True, help="Let it wait for `suan party approve`.")
@click.option("--request-id", default="", help="Repeat with the same one to do it no more than once.")
@command
async def create_party(
    session: Session, name: str, kind: str, currency: str, display_name: str, pending: bool, request_id: str
) -> None:
    """Register the party NAME, approved at once unless it is to wait (operator)."""
    made = Party(
        kind=Party.Kind.Value(f"KIND_{kind.upper().replace('-', '_')}"), display_name=display_name, currency=currency
    )
    if pending:
        made.state = Party.STATE_PENDING
    request = CreatePartyRequest(party_id=units.short(name), party=made, request_id=request_id)
    async with session.mesh() as mesh:
        _show(session, await mesh.registry.CreateParty(request, timeout=session.timeout_s))


@party.command("approve")
@click.argument("names", type=Name("parties"), nargs=-1, required=True)
@command
async def approve(session: Session, names: tuple[str, ...]) -> int:
    """Let the parties NAMES in: they may enrol sites (operator)."""
    return await each_of(session, names, lambda name: _set_state(session, name, Party.STATE_APPROVED))


@party.command("suspend")
@click.argument("names", type=Name("parties"), nargs=-1, required=True)
@command
async def suspend(session: Session, names: tuple[str, ...]) -> int:
    """Refuse the users of the parties NAMES, and take no new sites of theirs; what they have goes on (operator)."""
    return await each_of(session, names, lambda name: _set_state(session, name, Party.STATE_SUSPENDED))


@party.command("show")
@click.argument("names", type=Name("parties"), nargs=-1, required=True)
@reading
async def show_party(session: Session, names: tuple[str, ...]) -> int:
    """Show the parties NAMES."""
    async with session.mesh() as mesh:

        async def show(name: str) -> None:
            request = GetPartyRequest(name=full_name("parties", name))
            found = await mesh.registry.GetParty(request, timeout=session.timeout_s)
            _show(session, found)

        return await each_of(session, names, show)


@party.command("publishers")
@click.argument("name", type=Name("parties"))
@click.option(
    "--add",
    type=Name("sites"),
    multiple=True,
    metavar="SITE",
    help="Site that may publish datasets for it from now on.",
)
@click.option("--remove", type=Name("sites"), multiple=True, metavar="SITE", help="Site that may not any more.")
@command
async def set_publishers(session: Session, name: str, add: tuple[str, ...], remove: tuple[str, ...]) -> None:
    """Say which sites of others may publish datasets for the party NAME (its users, the operator)."""
    name = full_name("parties", name)
    async with session.mesh() as mesh:
        found = await mesh.registry.GetParty(GetPartyRequest(name=name), timeout=session.timeout_s)
        sites = {*found.publishers, *(full_name("sites", site) for site in add)}
        sites -= {full_name("sites", site) for site in remove}
        request = SetPublishersRequest(name=name, publishers=sorted(sites), etag=found.etag)
        found = await mesh.registry.SetPublishers(request, timeout=session.timeout_s)
    _show(session, found)


@party.command("set")
@click.argument("name", type=Name("parties"))
@click.option(
    "--default-site",
    type=Name("sites"),
    metavar="SITE",
    help="Where `suan data put` brings data that names no site.",
)
@click.option("--no-default-site", is_flag=True, help="The mesh is to choose the site again.")
@command
async def set_party(session: Session, name: str, default_site: str | None, no_default_site: bool) -> None:
    """Set what holds for all users of the party NAME (its users, the operator)."""
    if no_default_site == bool(default_site):
        said = Text(
            "Give either --default-site or --no-default-site.", "--default-site 与 --no-default-site 须给出其一。"
        )
        raise Misuse(said, click.get_current_context())
    name = full_name("parties", name)
    site = full_name("sites", default_site) if default_site else ""
    async with session.mesh() as mesh:
        request = SetDefaultSiteRequest(name=name, default_site=site)
        found = await mesh.registry.SetDefaultSite(request, timeout=session.timeout_s)
    _show(session, found)


async def _set_state(session: Session, name: str, state: Party.State.ValueType) -> None:
    request = SetPartyStateRequest(name=full_name("parties", name), state=state)
    async with session.mesh() as mesh:
        _show(session, await mesh.registry.SetPartyState(request, timeout=session.timeout_s))


def _show(session: Session, found: Party) -> None:
    output.show_one(session.view, found, lambda: output.facts(session.view, party_facts(found)), COLUMNS)


def party_facts(found: Party) -> Facts:
    """What is known of a party."""
    return [
        ("party", found.name),
        ("name", found.display_name),
        ("kind", enum_name(Party.Kind, found.kind, "KIND_")),
        ("state", enum_name(Party.State, found.state, "STATE_")),
        ("currency", found.currency),
        ("publishers", ", ".join(found.publishers)),
        ("default site", found.default_site),
        ("registered", found.create_time),
    ]
