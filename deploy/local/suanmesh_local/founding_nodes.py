"""`suan node init`: a node that owners on other machines join, founded in a folder of its own."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from suanmesh_kernel.private import private_folder
from suanmesh_local import founding, machines
from suanmesh_local.control_plane import ControlPlane
from suanmesh_local.facts import NodeFacts, checked_facts, write_facts
from suanmesh_local.format import require_unused
from suanmesh_local.identities import write_sealing_key
from suanmesh_local.launcher import FAULTS, said_of, tell
from suanmesh_local.unit_files import UNITS, write_files


def main(
    folder: Path, *, name: str, hosts: Sequence[str], port: int, currency: str, etcd: Sequence[str], sql: str
) -> int:
    """Found the node `name` in `folder`, on this machine, which is the first of `hosts`. Answers the exit status."""
    try:
        require_unused(folder)
        several = hosts if etcd or len(hosts) > 1 else ()
        facts = checked_facts(name, hosts[0], port, currency, machines=several, etcd=etcd, sql=sql)
        if facts.is_spread:
            found_first_machine(folder, facts)
        else:
            asyncio.run(found_node(folder, facts))
    except FAULTS as fault:
        print(f"suan node init: {said_of(fault)}", file=sys.stderr)
        return 1
    return 0


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


def found_first_machine(folder: Path, facts: NodeFacts) -> None:
    """Of a node on several machines: its authority, identities and settings, and a bundle for each other machine.

    etcd has its users, and the operator's party is there, once the machines run. Raises as the start of one.
    """
    private_folder(folder)
    write_facts(folder, facts)
    node = ControlPlane(folder, facts)
    write_sealing_key(node.identities.sealing_keys)
    write_files(node)
    tell("node", f"{facts.name} is founded in {node.folder}")
    for bundle in machines.write_bundles(node):
        tell("machine", f"bring {bundle} to its machine, as you would a password: suan node join-machine {bundle.name}")
    tell("start", f"on each machine: suan node run {folder}")


async def _found_operator(node: ControlPlane) -> None:
    """Register the operator's party, over the two services that this takes."""
    for area in ("registry", "gateway"):
        node.services[area].start()
    for area in ("registry", "gateway"):
        await node.ready(area)
    await founding.register_operator(node)
