"""What every reason comes from and what to do about it, area by area: read by people, so only where one asks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from suanmesh_kernel.texts import Explanation, Text
from suanmesh_sdk.explained import (
    accounting,
    agent,
    decisions,
    gateway,
    mesh,
    network_orchestrator,
    queues,
    registry,
    runs,
    scheduler,
    sites,
    transport,
)

BY: Final[dict[str, Text]] = {
    "caller": Text("whoever asked", "提出请求的一方"),
    "agent": Text("the agent of a site", "站点的代理"),
    "operator": Text("whoever runs the site or the node", "站点或节点的运营者"),
    "service": Text("a service of the node", "节点的服务"),
    "mesh": Text(
        "nobody in particular: a machine, a line or a program failed, or things took their course",
        "无特定责任方：机器、线路或程序出了故障，或属正常过程",
    ),
}
"""Who brings something about, by `Explanation.by`."""
AREAS: Final[dict[str, Mapping[str, Explanation]]] = {
    "mesh": mesh.EXPLAINED,
    "registry": registry.EXPLAINED,
    "scheduler": scheduler.EXPLAINED,
    "network_orchestrator": network_orchestrator.EXPLAINED,
    "transport": transport.EXPLAINED,
    "accounting": accounting.EXPLAINED,
    "agent": agent.EXPLAINED,
    "gateway": gateway.EXPLAINED,
}
"""Refusals by area, `mesh` for those that all share, then by reason."""
STATES: Final[dict[str, Explanation]] = {
    **decisions.EXPLAINED,
    **queues.EXPLAINED,
    **runs.EXPLAINED,
    **sites.EXPLAINED,
}
"""Reasons of states, by code."""


def of_refusal(domain: str, reason: str) -> Explanation | None:
    """What is known of a reason of `domain`, else of that reason elsewhere; None of one that a newer server has."""
    area = domain.removesuffix(".suanmesh")
    tables = [AREAS[each] for each in (area, "mesh", *AREAS) if each in AREAS]
    return next((table[reason] for table in tables if reason in table), None)
