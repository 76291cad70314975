"""What Ray says, in our words."""

from __future__ import annotations

from typing import Any

import pytest

from suanmesh_agent.engines.queued import Node
from suanmesh_agent.engines.ray.client import Needs, told
from suanmesh_agent.engines.ray.listing import entries_of, nodes_of
from suanmesh_kernel.quantities import Device

VERSIONS = """Version mismatch: The cluster was started with:
    Ray: {}
    Python: {}
This process on node 10.0.0.1 was started with:
    Ray: 2.60.0
    Python: 3.11.7
"""


def _node(name: str, host: str, alive: bool = True, **resources: float) -> dict[str, Any]:
    return {"NodeName": name, "NodeManagerHostname": host, "Alive": alive, "Resources": resources}


@pytest.mark.parametrize(
    ("said", "kind", "code", "passed_on"),
    [
        (VERSIONS.format("2.9.0", "3.11.7"), "RuntimeError", "RAY_VERSION_DIFFERS", "2.9.0, 2.60.0"),
        (VERSIONS.format("2.60.0", "3.12.1"), "RuntimeError", "RAY_PYTHON_DIFFERS", "3.12.1, 3.11.7"),
        (VERSIONS.format("2.9.0", "3.12.1"), "RuntimeError", "RAY_VERSION_DIFFERS", "2.9.0, 2.60.0"),
        ("the token is\n  wrong", "AuthenticationError", "RAY_DENIED", "the token is wrong"),
        ("Could not find any running Ray instance.", "ConnectionError", "RAY_UNREACHABLE", "Could not find any"),
    ],
)
def test_why_ray_cannot_be_asked_is_told_by_what_is_to_be_mended(
    said: str, kind: str, code: str, passed_on: str
) -> None:
    """An operator who joins would else read a traceback of Ray's, and try the network where the version is wrong."""
    found, words = told(said, kind)
    assert found == code
    assert words.startswith(passed_on)


def test_nodes_that_are_gone_or_take_no_tasks_are_not_offered() -> None:
    """What is offered and cannot be had makes jobs wait that have a place elsewhere."""
    said = [
        _node("10.0.0.3", "n3", CPU=16.0, memory=2e9),
        _node("10.0.0.1", "head", CPU=0.0, memory=1e9),
        _node("10.0.0.2", "n2", alive=False, CPU=8.0),
        _node("10.0.0.4", "n1", CPU=0.5, memory=1e9, GPU=1.0),
        _node("10.0.0.5", "n4", CPU=8.0, GPU=0.5),
        _node("10.0.0.6", "n5", CPU=8.0, GPU=4.0)
        | {"Resources": {"CPU": 8.0, "GPU": 4.0, "accelerator_type:A100": 1.0}},
    ]
    assert nodes_of(said) == [
        Node("n1", 500, 10**9, (Device("gpu", "unnamed", 1),)),
        Node("n3", 16_000, 2 * 10**9),
        Node("n4", 8000, 0),
        Node("n5", 8000, 0, (Device("gpu", "A100", 4),)),
    ]


def test_nodes_on_one_host_are_told_apart() -> None:
    """A pool whose hosts have one name would be refused."""
    said = [_node("a", "n1", CPU=1.0), _node("b", "n1", CPU=1.0), _node("c", "n2", CPU=1.0)]
    assert [node.name for node in nodes_of(said)] == ["n1-a", "n1-b", "n2"]


@pytest.mark.parametrize(
    ("needs", "code"),
    [
        ((4.0, 10, 0, ""), "QUEUE_RESOURCES"),
        ((0.01, 0, 0, ""), "QUEUE_RESOURCES"),
        ((5.0, 10, 0, ""), "QUEUE_NODES"),
        ((1.0, 101, 0, ""), "QUEUE_NODES"),
        ((1.0, 5, 2, ""), "QUEUE_RESOURCES"),
        ((1.0, 5, 2, "A100"), "QUEUE_RESOURCES"),
        ((1.0, 5, 2, "H100"), "QUEUE_NODES"),
        ((1.0, 5, 3, ""), "QUEUE_NODES"),
        ((1.0, 6, 1, ""), "QUEUE_NODES"),
    ],
)
def test_what_no_node_is_large_enough_for_waits_for_nodes(needs: Needs, code: str) -> None:
    """A user who is told to wait for room waits for good where the large node has gone."""
    nodes = [Node("a", 4000, 100), Node("b", 8000, 5, (Device("gpu", "A100", 2),))]
    (entry,) = entries_of([("suanmesh/s/p/0-1/7", needs)], nodes, "suanmesh/s/")
    assert (entry.mark, entry.element, entry.waits, entry.waits_for.code) == ("suanmesh/s/p/0-1", 7, True, code)


def test_what_another_site_has_in_the_same_cluster_is_left_alone() -> None:
    """Two sites may share a cluster, and one's task is not the other's to end."""
    assert entries_of([("suanmesh/other/p/0-1/0", (1.0, 0, 0, ""))], [], "suanmesh/s/") == []
