"""Whether a node may be led with what a service keeps its records in: only with what led it before (0027)."""

from __future__ import annotations


def lead_fault(what: str, own: str, own_node: str, node: str, led_before: str, lead_with: str, *, area: str) -> str:
    """Why `node` must not be led with `own`, on one line with what to do; empty where it may.

    `what` names such a thing to people, `own_node` is the node it was made for, empty where it was made for none yet.
    `led_before` is the one that led last, empty where none has; `lead_with` the one that the operator wants to lead in
    its place.
    """
    variable = f"SUANMESH_{area.upper()}"
    if own_node not in ("", node):
        return (
            f"{node} cannot be led with {what} {own}, made for the node {own_node}: point {variable}_DATABASE or "
            f"SUANMESH_DATA_DIR to {what} of {node}"
        )
    if led_before in ("", own) or lead_with == own:
        return ""
    return (
        f"{node} cannot be led with {what} {own}, since {led_before} led it before: bring {led_before} back, or set "
        f"{variable}_LEAD_WITH={own} to lead with {own} and lose what {led_before} holds"
    )
