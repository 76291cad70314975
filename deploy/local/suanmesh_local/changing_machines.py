"""`suan node add-machine`, `list-machines`, `remove-machine`: machines come to a node that runs, and leave it."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from suanmesh.type.v1.instance_pb2 import Instance
from suanmesh_etcd3 import Client, Member, Unavailable, add_learner, members_of, remove_member
from suanmesh_etcd3 import connect as connect_etcd
from suanmesh_kernel.addresses import host_of
from suanmesh_local.control_plane import NotReady
from suanmesh_local.etcd import peer_url
from suanmesh_local.facts import NodeFacts, checked_host, read_facts
from suanmesh_local.growing import REQUEST as GROWTH
from suanmesh_local.growing import require_can_grow
from suanmesh_local.identities import AREAS, ETCD_ROOT_DIR, Identities, Lives, issue_for_machine, keep_etcd_root
from suanmesh_local.launcher import FAULTS, said_of, tell
from suanmesh_local.machine_list import keep_machines, listed_machines
from suanmesh_local.machine_rules import (
    CannotChange,
    NodeMachine,
    Voter,
    facts_to_grow,
    facts_with,
    machines_of,
    require_all_answer,
    require_quorum,
    with_machine,
    without_machine,
)
from suanmesh_local.machines import write_bundle
from suanmesh_local.ports import spread_ports
from suanmesh_local.renewing_units import grown
from suanmesh_local.store_moves import MoveFailed
from suanmesh_local.unit_control import Systemctl, UnitFault
from suanmesh_local.upgrading import ask_launcher, is_launched
from suanmesh_store.layout import instances_of

DRAIN_S_MAX = 180.0
LOOK_S = 0.3
CHANGE_S = 30.0
"""How long etcd may take to let a member come or go: all have to have been connected for some seconds."""
ROW = "{:<24} {:<10} {:<10} {}"


def add(folder: Path, host: str, *, services: bool, etcd: bool, sql: str = "") -> int:
    """Add the machine `host` to the node in `folder`, and make its bundle. Answers the exit status.

    A node that was founded for one machine is first made one of several; its stores are moved to `sql`, if given.
    """

    async def act(node: Running) -> None:
        told = checked_host(host, "host")
        machines = with_machine(node.machines, told, services=services, etcd=etcd)
        facts = replace(facts_with(node.facts, machines), host=told, came_later=True)
        if etcd:
            require_all_answer(await node.voters())
            await add_learner(node.client, peer_url(_peer_port(facts), node.identities.etcd_server, told))
        await keep_machines(node.client, machines)
        with tempfile.TemporaryDirectory(dir=folder) as made:
            others = issue_for_machine(Path(made) / "tls", node.identities, facts, Lives())
            bundle = write_bundle(folder, others, facts)
        tell("machine", f"bring {bundle} to it, as you would a password: suan node join-machine {bundle.name}")
        tell("start", "there: suan node run; the other machines follow within seconds, or with `suan node prepare`")

    try:
        checked_host(host, "host")
        _grow(folder, services=services, sql=sql)
    except (*FAULTS, CannotChange, MoveFailed, UnitFault) as fault:
        return _failed("add-machine", fault)
    return _done("add-machine", folder, act)


def _grow(folder: Path, *, services: bool, sql: str) -> None:
    """Have a node take in other machines; one that can already is left as it is. Raises CannotChange, MoveFailed."""
    facts = read_facts(folder)
    wanted = facts_to_grow(facts, services=services, sql=sql)
    if wanted == facts:
        return
    require_can_grow(folder, facts, wanted)
    tell("node", f"{facts.name} stands still for some seconds; what runs at its sites goes on")
    if is_launched(folder):
        if problem := ask_launcher(folder, GROWTH, sql):
            raise NotReady(problem)
    elif not asyncio.run(grown(folder, Systemctl(), wanted)):
        raise NotReady(f"{folder} is not run by `suan node run`, and none of its units is active: start it first")
    tell("node", f"{facts.name} takes in other machines, from {wanted.host}")


def remove(folder: Path, host: str) -> int:
    """Take the machine `host` out of the node in `folder`, once it serves no more. Answers the exit status."""

    async def act(node: Running) -> None:
        told = checked_host(host, "host")
        members = [each for each in await members_of(node.client) if _is_at(each, told)]
        if not members and told not in {each.host for each in node.machines}:
            raise CannotChange(f"{told} is no machine of the node: suan node list-machines {folder}")
        voters = await node.voters()
        left = without_machine(node.machines, told, voters)
        await keep_machines(node.client, left)
        tell("draining", f"{told} ends what serves there")
        await _drained(node.client, told)
        for each in members:
            require_quorum(told, await node.voters())
            await remove_member(node.client, each.member_id)
        tell("removed", f"{told} is no machine of the node any more: remove its folder, which holds keys")
        tell("keys", "where you cannot, as when it was stolen: suan node rotate, and revoke what it held")

    return _done("remove-machine", folder, act)


def show(folder: Path) -> int:
    """Print the machines of the node in `folder`. Answers the exit status."""

    async def act(node: Running) -> None:
        members = await members_of(node.client)
        votes = {voter.host: voter.answers for voter in await node.voters()}
        serving = await _serving(node.client)
        print(ROW.format("HOST", "SERVICES", "ETCD", "STATE"))
        for each in node.machines:
            learns = any(member.learns and _is_at(member, each.host) for member in members)
            services = f"{len(serving.get(each.host, ()))} of {len(AREAS)}" if each.services else ""
            state = "follows" if learns else {True: "answers", False: "silent", None: ""}[votes.get(each.host)]
            print(ROW.format(each.host, services, each.etcd, f"etcd {state}" if state else "").rstrip())

    return _done("list-machines", folder, act)


class Running:
    """A node on several machines that runs, as its operator finds it on one that has the authority."""

    def __init__(self, facts: NodeFacts, identities: Identities, client: Client) -> None:
        self.facts = facts
        self.identities = identities
        self.client = client
        self.machines: tuple[NodeMachine, ...] = machines_of(facts)

    async def voters(self) -> list[Voter]:
        """The members of etcd that have a vote."""
        found = []
        for member in await members_of(self.client):
            if not member.learns:
                found.append(Voter(host_at(member.peer_urls[0]), await self._answers(member)))
        return found

    async def _answers(self, member: Member) -> bool:
        tls = self.identities.etcd_client(ETCD_ROOT_DIR)
        if not member.addresses:
            return False
        try:
            async with connect_etcd(member.addresses, tls=tls) as client:
                await client.status(member.addresses[0])
        except Unavailable:
            return False
        return True


def _done(command: str, folder: Path, act: Callable[[Running], Awaitable[None]]) -> int:
    try:
        asyncio.run(_with_node(folder, act))
    except (*FAULTS, CannotChange) as fault:
        return _failed(command, fault)
    return 0


def _failed(command: str, fault: Exception) -> int:
    print(f"suan node {command}: {said_of(fault)}", file=sys.stderr)
    return 1


async def _with_node(folder: Path, act: Callable[[Running], Awaitable[None]]) -> None:
    facts = read_facts(folder)
    if not facts.is_spread:
        raise CannotChange(f"{facts.name} is on one machine: suan node add-machine {folder} HOST adds another")
    identities = Identities(folder / "tls", facts.name)
    if not identities.ca_dir.exists():
        raise CannotChange("this machine has not the node's authority: type it on one that runs the services")
    keep_etcd_root(identities, Lives())
    ports = spread_ports(facts.gateway_port, [*facts.members])
    endpoints = [f"{host}:{ports[name]}" for name, host in facts.members.items()]
    async with connect_etcd(endpoints, tls=identities.etcd_client(ETCD_ROOT_DIR), timeout_s=CHANGE_S) as client:
        node = Running(facts, identities, client)
        node.machines = await listed_machines(client) or node.machines
        await act(node)


async def _drained(client: Client, host: str) -> None:
    """Wait until nothing serves at a host any more. Raises CannotChange."""
    try:
        async with asyncio.timeout(DRAIN_S_MAX):
            while host in await _serving(client):  # noqa: ASYNC110 - another machine's processes
                await asyncio.sleep(LOOK_S)
    except TimeoutError:
        problem = f"{host} still serves after {DRAIN_S_MAX:g} s: stop its units there"
        raise CannotChange(f"{problem}, and type this again") from None


async def _serving(client: Client) -> dict[str, set[str]]:
    """The areas that are served, by host."""
    found: dict[str, set[str]] = {}
    for each in (await client.snapshot(instances_of("").rstrip("/") + "/")).kvs:
        record = Instance.FromString(each.value)
        found.setdefault(_bracketed(host_of(record.address)), set()).add(record.area)
    return found


def host_at(url: str) -> str:
    """The host of a member's URL, as it stands before a port."""
    return _bracketed(host_of(url.partition("://")[2]))


def _is_at(member: Member, host: str) -> bool:
    return any(host_at(url) == host for url in member.peer_urls)


def _bracketed(bare: str) -> str:
    return f"[{bare}]" if ":" in bare else bare


def _peer_port(facts: NodeFacts) -> int:
    names = [name for name, host in facts.members.items() if host == facts.host]
    return spread_ports(facts.gateway_port, names)[f"{names[0]}-peer"]
