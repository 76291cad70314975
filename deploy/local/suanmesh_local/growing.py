"""A node that was founded for one machine takes in others: its etcd and its services listen for them from then on."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import psutil

from suanmesh_etcd3 import EtcdError, announce_peer, members_of
from suanmesh_local.control_plane import KEEPS_IN_SQL, ControlPlane, NotReady
from suanmesh_local.etcd import peer_url
from suanmesh_local.facts import NodeFacts
from suanmesh_local.identities import SEALING_KEYS, Lives, issue_etcd, write_sealing_key
from suanmesh_local.machine_rules import CannotChange, facts_to_grow
from suanmesh_local.ports import gateway_ports, is_free, spread_ports
from suanmesh_local.rolling import Progress, write_progress
from suanmesh_local.store_copies import Place, places
from suanmesh_local.store_moves import MoveFailed, move_stores, require_room, set_aside, take_back
from suanmesh_local.tools import ToolMissing
from suanmesh_local.unit_files import write_files

REQUEST = "grow.request"
FIRST = ("registry", "gateway")
"""Begun before the others: until they answer no site is heard, and what runs there is stopped after a while."""


class Hands(Protocol):
    """What stops and starts the processes of a node, whosever children they are."""

    async def stop(self, names: Sequence[str]) -> None:
        """Stop processes, by their names; each has ended then. Raises NotReady."""

    async def reread(self) -> None:
        """Take up their files as they are now. Raises NotReady."""

    async def start(self, names: Sequence[str]) -> None:
        """Start processes; each answers then. Raises NotReady."""


class OwnHands:
    """The launcher's, whose children they are."""

    def __init__(self, node: ControlPlane) -> None:
        self._node = node

    async def stop(self, names: Sequence[str]) -> None:
        """Stop processes."""
        node = self._node
        node.renewing.update(names)
        await asyncio.gather(*(service.stop() for name, service in node.services.items() if name in names))
        for member in node.etcd:
            if member.name in names:
                await asyncio.to_thread(member.stop)

    async def reread(self) -> None:
        """They read theirs when they start."""

    async def start(self, names: Sequence[str]) -> None:
        """Start processes. Raises NotReady, ToolMissing, OSError."""
        node = self._node
        if any(member.name in names for member in node.etcd):
            await node.start_etcd()
        services = [name for name in node.services if name in names]
        for name in services:
            node.services[name].start()
        for name in services:
            await node.ready(name)
        node.renewing.difference_update(names)


def require_can_grow(folder: Path, facts: NodeFacts, wanted: NodeFacts) -> None:
    """Raise CannotChange unless other machines will reach this one, and MoveFailed unless its stores have a place."""
    try:
        reached = {str(each[4][0]) for each in socket.getaddrinfo(wanted.host.strip("[]"), None)}
    except OSError as fault:
        raise CannotChange(f"{wanted.host} has no address: {fault.strerror}") from fault
    if not reached & {each.address for link in psutil.net_if_addrs().values() for each in link}:
        problem = f"{wanted.host} is no address of this machine, and the others must reach its services and etcd there"
        raise CannotChange(f"{problem}: bring a backup back with --advertise and an address that is")
    if not facts.is_spread and (port := taken_port(wanted)):
        problem = f"port {port} of this machine is taken, and a node on several machines has its own there"
        raise CannotChange(f"{problem}: free it, or bring a backup back on a machine where it is free")
    if wanted.sql != facts.sql:
        require_room(_movable(folder), wanted.sql)


async def grow(node: ControlPlane, hands: Hands, wanted: NodeFacts) -> None:
    """Have a node that runs be the first of several machines; what runs at its sites goes on meanwhile.

    Raises MoveFailed where its stores stay and it goes on as it was; NotReady, ToolMissing, OSError.
    """
    writing = [name for name in node.services if name in KEEPS_IN_SQL]
    members = [member.name for member in node.etcd]
    moved: list[Place] = []
    await hands.stop(writing)
    try:
        if wanted.sql != node.facts.sql:
            lying = _movable(node.folder)
            await asyncio.to_thread(move_stores, lying, wanted.sql)
            moved = lying
        await _announce(node, wanted)
    except (MoveFailed, EtcdError) as fault:
        await asyncio.to_thread(take_back, moved, wanted.sql)
        await hands.start(writing)
        raise MoveFailed(str(fault)) from fault
    issue_etcd(node.identities, wanted, Lives())
    if not node.identities.sealing_keys.exists():
        write_sealing_key(node.identities.sealing_keys, node.folder / "services" / "scheduler" / SEALING_KEYS)
    await hands.stop([*node.services, *members])
    node.move(wanted)
    write_files(node)
    await hands.reread()
    set_aside(moved)
    await hands.start([*members, *FIRST])
    await hands.start(writing)


async def grow_as_told(node: ControlPlane, request: str) -> None:
    """What somebody asks of the launcher that runs a node: its number, and on the next line where the stores go.

    Raises as `grow` where the node does not serve any more.
    """
    number, _, sql = request.partition("\n")
    progress = Progress(number)
    write_progress(node.folder, progress)
    try:
        await grow(node, OwnHands(node), facts_to_grow(node.facts, services=bool(sql), sql=sql))
    except (MoveFailed, CannotChange) as fault:
        progress.problem = str(fault)
    except (NotReady, ToolMissing, OSError) as fault:
        progress.problem = str(fault)
        raise
    finally:
        progress.ended = True
        write_progress(node.folder, progress)


async def _announce(node: ControlPlane, wanted: NodeFacts) -> None:
    """Have etcd tell members that come where this one will be reached. Raises EtcdError."""
    if node.facts.is_spread:
        return
    port = spread_ports(wanted.gateway_port, [*wanted.members])[f"{node.etcd[0].name}-peer"]
    async with node.etcd_client() as client:
        [member] = await members_of(client)
        await announce_peer(client, member.member_id, peer_url(port, node.identities.etcd_server, wanted.host))


def _movable(folder: Path) -> list[Place]:
    """The stores that lie in files of this machine."""
    return [place for place in places(folder, os.environ) if place.path is not None and place.path.exists()]


def taken_port(facts: NodeFacts) -> int:
    """A port that the node will need, and that somebody has here; 0 where none."""
    ports = spread_ports(facts.gateway_port, [*facts.members])
    new = (port for name, port in ports.items() if name not in gateway_ports(0))
    return next((port for port in new if not is_free(port, facts.gateway_listens)), 0)
