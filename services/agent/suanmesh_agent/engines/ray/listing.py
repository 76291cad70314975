"""What Ray says of its nodes and of what it holds, and what that means to us."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from suanmesh_agent.engines.queued import Node
from suanmesh_agent.engines.ray.client import Needs
from suanmesh_kernel.quantities import Device
from suanmesh_kernel.reasons import StateReason

PENDING, INFEASIBLE = "PENDING_NODE_ASSIGNMENT", "INFEASIBLE"
"""Ray's own words for a task that waits, and for one that no node is large enough for."""
GPU, UNTYPED = "gpu", "unnamed"
"""The class of Ray's cards, and the model of those that it was told no type of."""
_TYPE = "accelerator_type:"
"""Begins the name of the resource by which Ray tells the type of a node's cards: they are of one."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An element of a batch that Ray holds. Whether it has begun lies beside the task, and Ray is not asked for it."""

    mark: str
    element: int
    waits_for: StateReason
    waits: bool = True
    ended: bool = False
    stopped: bool = False


def nodes_of(said: Sequence[Mapping[str, Any]]) -> list[Node]:
    """Those that live and have processors, by the names of their hosts; nodes that share one have Ray's name too."""
    alive = [node for node in said if node["Alive"] and node["Resources"].get("CPU")]
    shared = Counter(node["NodeManagerHostname"] for node in alive)
    found = []
    for node in alive:
        host, resources = node["NodeManagerHostname"], node["Resources"]
        name = host if shared[host] == 1 else f"{host}-{node['NodeName']}"
        found.append(Node(name, int(resources["CPU"] * 1000), int(resources.get("memory", 0)), _devices_of(resources)))
    return sorted(found, key=lambda node: node.name)


def _devices_of(resources: Mapping[str, float]) -> tuple[Device, ...]:
    """The cards of a node; how much memory they have Ray does not tell."""
    count = int(resources.get("GPU", 0))
    model = next((name.removeprefix(_TYPE) for name in sorted(resources) if name.startswith(_TYPE)), UNTYPED)
    return (Device(GPU, model, count),) if count else ()


def entries_of(held: Sequence[tuple[str, Needs]], nodes: Sequence[Node], prefix: str) -> list[Entry]:
    """The elements held whose key begins with `prefix`: those that wait, wait for room, or for a node to come."""
    found = []
    for key, needs in held:
        mark, _, element = key.rpartition("/")
        if key.startswith(prefix):
            fits = any(_is_enough(node, needs) for node in nodes)
            code, said = ("QUEUE_RESOURCES", PENDING) if fits else ("QUEUE_NODES", INFEASIBLE)
            found.append(Entry(mark, int(element), StateReason(code, {"said": said})))
    return found


def _is_enough(node: Node, needs: Needs) -> bool:
    cpus, memory_bytes, gpus, kind = needs
    cards = sum(each.count for each in node.devices if kind in ("", each.model))
    return node.cpu_milli >= cpus * 1000 and node.memory_bytes >= memory_bytes and cards >= gpus
