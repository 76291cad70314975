"""`suan node init`: a node that owners on other machines join, founded in a folder of its own."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from suanmesh_kernel.private import private_folder
from suanmesh_local import founding
from suanmesh_local.control_plane import LOCK, PORTS, ControlPlane
from suanmesh_local.facts import FILE, NodeFacts, checked_facts, write_facts
from suanmesh_local.launcher import FAULTS, said_of, tell
from suanmesh_local.lock import Taken
from suanmesh_local.unit_files import UNITS, write_files

BEGUN = frozenset((FILE, LOCK, "format"))
"""What may lie in a folder in which founding a node was broken off before it had its authority."""


def main(name: str, host: str, port: int, folder: Path, currency: str) -> int:
    """Found the node `name` in `folder`, reached at `host:port`. Answers the exit status."""
    try:
        require_unused(folder)
        asyncio.run(found_node(folder, checked_facts(name, host, port, currency)))
    except FAULTS as fault:
        print(f"suan node init: {said_of(fault)}", file=sys.stderr)
        return 1
    return 0


def require_unused(folder: Path) -> None:
    """Raise Taken where the folder holds a node, or anything else."""
    if (folder / PORTS).exists():
        raise Taken(f"{folder} holds a node already; start it with `suan node run {folder}`")
    if folder.exists() and {each.name for each in folder.iterdir()} - BEGUN:
        raise Taken(f"{folder} is not empty: found a node in a folder of its own")


async def found_node(folder: Path, facts: NodeFacts) -> None:
    """Its authority, identities, etcd with its users, the operator's party and context, settings and units.

    Raises as the start of a control plane does.
    """
    private_folder(folder)
    write_facts(folder, facts)
    node = ControlPlane(folder, facts)
    try:
        await node.start_etcd()
        await _found_operator(node)
    finally:
        await node.stop()
    write_files(node)
    tell("node", f"{facts.name} is founded in {node.folder}")
    tell("gateway", f"{node.gateway} is the one address that users and sites need to reach")
    tell("operator", f"context `operator` in {node.folder / 'config.toml'}")
    tell(
        "start",
        f"suan node run {folder}, or systemctl link {node.folder / UNITS}/* and start suanmesh-{facts.name}.target",
    )


async def _found_operator(node: ControlPlane) -> None:
    """Register the operator's party, over the two services that this takes."""
    for area in ("registry", "gateway"):
        node.services[area].start()
    for area in ("registry", "gateway"):
        await node.ready(area)
    await founding.register_operator(node)
