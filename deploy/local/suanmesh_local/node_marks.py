"""Which node this is, in its folder and in its etcd: neither is used with the other's of another node."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from suanmesh.type.v1.node_mark_pb2 import NodeMark
from suanmesh_etcd3 import Client
from suanmesh_kernel.clock import Clock, SystemClock, system_rng
from suanmesh_kernel.identifiers import sortable_id
from suanmesh_kernel.private import write_private
from suanmesh_kernel.texts import Text
from suanmesh_store.agreement import LAYOUT, too_new
from suanmesh_store.etcd import EtcdKeyspace
from suanmesh_store.layout import NODE_MACHINES, NODE_MARKS
from suanmesh_store.marks import NODE
from suanmesh_store.soundness import StoreRefused
from suanmesh_store.store import KeyspaceStore
from suanmesh_store.values import Conflict, Create, Delete, Update

FILE = "node.id"
"""In a node's folder."""


async def claim_etcd(client: Client, folder: Path, node: str) -> None:
    """Have etcd know the node of `folder`; whichever of the two has no id yet takes the other's.

    Raises StoreRefused where etcd is another node's or of a newer version, OSError and what etcd raises.
    """
    own, clock = kept_id(folder), SystemClock()
    store = _store(client, clock)
    held = await store.get(NODE_MARKS, NODE)
    if held is None:
        with suppress(Conflict):  # another machine of the node was quicker
            await store.commit(Create(NODE_MARKS, NODE, _mark(own or sortable_id(clock.now(), system_rng), {}, clock)))
        held = await store.get(NODE_MARKS, NODE)
        assert held is not None
    if held.message.layout > LAYOUT:
        raise too_new(f"etcd of {node}", "etcd", held.message.layout, LAYOUT)
    if own not in ("", held.message.node_id):
        raise StoreRefused(
            "STORE_OF_ANOTHER_NODE",
            Text(
                f"{folder / 'etcd'} belongs to the node {held.message.node_id}, and {folder} to {own}: bring back etcd "
                "of this node",
                f"{folder / 'etcd'} 属于节点 {held.message.node_id}，而 {folder} 属于 {own}：请恢复本节点的 etcd",
            ),
        )
    _keep(folder, held.message.node_id)


async def begin_generation(client: Client, node_id: str, follows: Mapping[str, int]) -> str:
    """A new generation of the node, with the stores that belong to it and the number of each; gives its name."""
    clock = SystemClock()
    store = _store(client, clock)
    held, mark = await store.get(NODE_MARKS, NODE), _mark(node_id, follows, clock)
    listed = await store.get(NODE_MACHINES, NODE)
    gone = [Delete(listed)] if listed is not None else []  # the machines of the node before
    await store.commit(Create(NODE_MARKS, NODE, mark) if held is None else Update(held, mark), *gone)
    return mark.generation


def kept_id(folder: Path) -> str:
    """What the node of a folder is known by; empty where nobody has said it. Raises OSError."""
    file = folder / FILE
    return file.read_text().strip() if file.exists() else ""


def _keep(folder: Path, node_id: str) -> None:
    if kept_id(folder) != node_id:
        write_private(folder / FILE, f"{node_id}\n".encode())


def _store(client: Client, clock: Clock) -> KeyspaceStore:
    return KeyspaceStore(EtcdKeyspace(client), NODE_MARKS.area, clock, system_rng)


def _mark(node_id: str, follows: Mapping[str, int], clock: Clock) -> NodeMark:
    mark = NodeMark(name=NODE, node_id=node_id, generation=sortable_id(clock.now(), system_rng), layout=LAYOUT)
    mark.create_time.FromDatetime(clock.now())
    for store, number in sorted(follows.items()):
        mark.follows.add(store=store, number=number)
    return mark
