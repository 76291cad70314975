"""Whether an accounting may lead with the ledger it has."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Identity:
    """What a ledger says of itself: the node it was made for, and a name that no other ledger has."""

    node: str
    ledger: str


def obstacle(own: Identity, node: str, led_before: str, lead_with: str) -> str:
    """Why this node must not be led with this ledger, on one line with what to do; empty where it may.

    `led_before` is the ledger that led it last, empty where none has; `lead_with` the one that the operator wants to
    lead in its place.
    """
    if own.node != node:
        return (
            f"the ledger {own.ledger} is of the node {own.node}, this is {node}: point SUANMESH_ACCOUNTING_DATABASE or "
            "SUANMESH_DATA_DIR to the one of this node"
        )
    if led_before in ("", own.ledger) or lead_with == own.ledger:
        return ""
    return (
        f"the ledger {own.ledger} is not the one that led {node} before, {led_before}: bring that one back, or set "
        f"SUANMESH_ACCOUNTING_LEAD_WITH={own.ledger} to lead with this one and lose what the other holds"
    )
