"""On which machines a node is, as etcd has it: every machine follows that."""

from __future__ import annotations

from collections.abc import Sequence

from suanmesh.type.v1.node_machines_pb2 import NodeMachines
from suanmesh_etcd3 import Client
from suanmesh_etcd3 import connect as connect_etcd
from suanmesh_kernel.clock import SystemClock, system_rng
from suanmesh_local.facts import NodeFacts
from suanmesh_local.identities import Identities
from suanmesh_local.machine_rules import NodeMachine
from suanmesh_local.ports import spread_ports
from suanmesh_store.etcd import EtcdKeyspace
from suanmesh_store.layout import NODE_MACHINES
from suanmesh_store.marks import NODE
from suanmesh_store.store import KeyspaceStore
from suanmesh_store.values import Create, Update

ASK_S = 2.0
"""How long etcd may take to tell a machine."""


async def listed_here(identities: Identities, facts: NodeFacts) -> tuple[NodeMachine, ...]:
    """The machines, as one of them asks: with what etcd's members show each other, which may read this and no more.

    None where the node still is on those that it was founded on. Raises Refusal, EtcdError, OSError.
    """
    ports = spread_ports(facts.gateway_port, [*facts.members])
    endpoints = [f"{host}:{ports[name]}" for name, host in facts.members.items()]
    async with connect_etcd(endpoints, tls=identities.etcd_client("etcd"), timeout_s=ASK_S) as client:
        return await listed_machines(client)


async def listed_machines(client: Client) -> tuple[NodeMachine, ...]:
    """The machines; none where it still is on those that it was founded on. Raises Refusal."""
    held = await _store(client).get(NODE_MACHINES, NODE)
    if held is None:
        return ()
    return tuple(NodeMachine(each.host, each.services, each.member) for each in held.message.machines)


async def keep_machines(client: Client, machines: Sequence[NodeMachine]) -> None:
    """Have every machine know them. Raises Refusal; one of somebody who was quicker is `ABORTED`."""
    store = _store(client)
    held = await store.get(NODE_MACHINES, NODE)
    message = NodeMachines(name=NODE)
    for each in machines:
        message.machines.add(host=each.host, services=each.services, member=each.etcd)
    await store.commit(Create(NODE_MACHINES, NODE, message) if held is None else Update(held, message))


def _store(client: Client) -> KeyspaceStore:
    return KeyspaceStore(EtcdKeyspace(client), NODE_MACHINES.area, SystemClock(), system_rng)
