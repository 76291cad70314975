"""What Ray says of its nodes and of what it holds, and what that means to us."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from suanmesh_agent.engines.queued import Node
from suanmesh_kernel.reasons import StateReason

PENDING, INFEASIBLE = "PENDING_NODE_ASSIGNMENT", "INFEASIBLE"
"""Ray's own words for a task that waits, and for one that no node is large enough for."""


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
        found.append(Node(name, int(resources["CPU"] * 1000), int(resources.get("memory", 0))))
    return sorted(found, key=lambda node: node.name)


def entries_of(held: Sequence[tuple[str, float, int]], nodes: Sequence[Node], prefix: str) -> list[Entry]:
    """The elements held whose key begins with `prefix`: those that wait, wait for room, or for a node to come."""
    found = []
    for key, cpus, memory_bytes in held:
        mark, _, element = key.rpartition("/")
        if key.startswith(prefix):
            fits = any(node.cpu_milli >= cpus * 1000 and node.memory_bytes >= memory_bytes for node in nodes)
            code, said = ("QUEUE_RESOURCES", PENDING) if fits else ("QUEUE_NODES", INFEASIBLE)
            found.append(Entry(mark, int(element), StateReason(code, {"said": said})))
    return found
