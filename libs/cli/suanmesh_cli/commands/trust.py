"""`suan trust`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from suanmesh.registry.v1.registry_service_pb2 import GetTrustBundleRequest, SetNodeTrustRequest
from suanmesh.type.v1.trust_pb2 import NodeTrust, TrustBundle
from suanmesh_cli import output
from suanmesh_cli.layout import Column
from suanmesh_cli.lazy import Verbs
from suanmesh_cli.session import Session, command, full_name, listing, reading
from suanmesh_cli.texts import refusal
from suanmesh_cli.values import Cell, Facts
from suanmesh_kernel.refusals import InvalidArgument, NotFound
from suanmesh_kernel.texts import Text

FILE = "trust.json"
"""What a process looks for beside its certificate."""


def _until(found: NodeTrust) -> Cell:
    """Until when the last of its authorities is believed."""
    return max((each.valid_until for each in found.authorities), key=lambda end: end.ToNanoseconds(), default="")


COLUMNS = (
    Column("NODE", lambda node: node.name),
    Column("AUTHORITIES", lambda node: len(node.authorities)),
    Column("KEYS", lambda node: len(node.signing_keys)),
    Column("UNTIL", _until),
)


@click.group(cls=Verbs)
def trust() -> None:
    """Nodes that this one believes: their services may call as peers (operator)."""


@trust.command("list")
@listing
async def list_nodes(session: Session) -> None:
    """List the nodes that are believed, this one first."""
    output.show_list(session.view, "nodes", list((await _bundle(session)).nodes), COLUMNS)


@trust.command("show")
@click.argument("name", default="")
@reading
async def show(session: Session, name: str) -> None:
    """Show what is believed of the node NAME; without it what other nodes are to believe of this one.

    With `-o json` it is what `suan trust set` takes at the other node.
    """
    bundle = await _bundle(session)
    wanted = full_name("nodes", name or bundle.node)
    found = next((node for node in bundle.nodes if node.name == wanted), None)
    if found is None:
        unknown = Text(f"{wanted} is none of the nodes that are believed", f"{wanted} 不在受信任的节点之列")
        raise refusal(NotFound, "NODE_UNKNOWN", unknown, name=wanted)
    _show(session, found)


@trust.command("set")
@click.argument("file", type=click.Path(path_type=Path))
@command
async def set_node(session: Session, file: Path) -> None:
    """Believe of a node what FILE says: its `suan trust show -o json`, from somebody you know.

    Afterwards `suan trust save` hands it to the processes.
    """
    said = _parsed(file)
    said.etag = ""
    async with session.mesh() as mesh:
        kept = await mesh.registry.SetNodeTrust(SetNodeTrustRequest(trust=said), timeout=session.timeout_s)
    _show(session, kept)


@trust.command("remove")
@click.argument("name")
@command
async def remove(session: Session, name: str) -> None:
    """Believe the node NAME no longer; `suan trust save` hands that to the processes."""
    gone = NodeTrust(name=full_name("nodes", name))
    async with session.mesh() as mesh:
        await mesh.registry.SetNodeTrust(SetNodeTrustRequest(trust=gone), timeout=session.timeout_s)


@trust.command("save")
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, file_okay=False))
@command
async def save(session: Session, folders: tuple[Path, ...]) -> None:
    """Write the bundle as trust.json into FOLDERS, beside the certificates of processes.

    They take it within a second, without a restart.
    """
    from google.protobuf import json_format

    text = json_format.MessageToJson(await _bundle(session), preserving_proto_field_name=True)
    for folder in folders:
        new = folder / f".{FILE}.{os.getpid()}"
        new.write_text(f"{text}\n", encoding="utf-8")
        new.replace(folder / FILE)


def _show(session: Session, found: NodeTrust) -> None:
    pairs: Facts = [
        ("node", found.name),
        ("authorities", len(found.authorities)),
        ("keys", len(found.signing_keys)),
        ("until", _until(found)),
    ]
    output.show_one(session.view, found, lambda: output.facts(session.view, pairs), COLUMNS)


async def _bundle(session: Session) -> TrustBundle:
    async with session.mesh() as mesh:
        return await mesh.registry.GetTrustBundle(GetTrustBundleRequest(), timeout=session.timeout_s)


def _parsed(file: Path) -> NodeTrust:
    """Raises InvalidArgument (`FIELD_INVALID`) where the file says nothing of a node."""
    from google.protobuf import json_format

    try:
        return json_format.Parse(file.read_text(encoding="utf-8"), NodeTrust())
    except (OSError, UnicodeDecodeError, json_format.ParseError) as fault:
        problem = Text(f"{file} does not say what a node is: {fault}", f"{file} 不是对节点的说明：{fault}")
        raise refusal(InvalidArgument, "FIELD_INVALID", problem, field="file") from None
