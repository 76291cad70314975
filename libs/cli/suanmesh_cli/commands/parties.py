"""`suan party`."""

from __future__ import annotations

import click

from suanmesh.registry.v1.party_pb2 import Party
from suanmesh.registry.v1.registry_service_pb2 import GetPartyRequest, SetPublishersRequest
from suanmesh_cli import output
from suanmesh_cli.lazy import Verbs
from suanmesh_cli.names import Name
from suanmesh_cli.session import Session, command, each_of, full_name, reading
from suanmesh_cli.values import Facts


@click.group(cls=Verbs)
def party() -> None:
    """Parties: who takes part, and who may publish for them."""


@party.command("show")
@click.argument("names", type=Name("parties"), nargs=-1, required=True)
@reading
async def show_party(session: Session, names: tuple[str, ...]) -> int:
    """Show the parties NAMES."""
    async with session.mesh() as mesh:

        async def show(name: str) -> None:
            request = GetPartyRequest(name=full_name("parties", name))
            found = await mesh.registry.GetParty(request, timeout=session.timeout_s)
            output.show_one(session.view, found, lambda: output.facts(session.view, party_facts(found)))

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
    output.show_one(session.view, found, lambda: output.facts(session.view, party_facts(found)))


def party_facts(found: Party) -> Facts:
    """What is known of a party."""
    return [
        ("party", found.name),
        ("name", found.display_name),
        ("kind", Party.Kind.Name(found.kind).removeprefix("KIND_")),
        ("state", Party.State.Name(found.state).removeprefix("STATE_")),
        ("currency", found.currency),
        ("publishers", ", ".join(found.publishers)),
        ("registered", found.create_time),
    ]
