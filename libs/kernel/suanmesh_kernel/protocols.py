"""Which versions of the mesh's protocol a process speaks, and whether two have one in common."""

from __future__ import annotations

from dataclasses import dataclass

from suanmesh_kernel.refusals import FailedPrecondition

NEWEST = 1
"""Raised with every change of meaning that a process of the version before would get wrong."""
KEPT = 2
"""How many versions before its newest a process speaks: whoever upgrades step by step may be that far behind."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """A range of versions; that of a process that says nothing is the first."""

    newest: int = 1
    oldest: int = 1


OWN = Spoken(NEWEST, max(1, NEWEST - KEPT))


def common(one: Spoken, other: Spoken) -> int:
    """The newest version that both speak; 0 where there is none."""
    newest = min(one.newest, other.newest)
    return newest if newest >= max(one.oldest, other.oldest) else 0


def require_common(own: Spoken, caller: Spoken) -> int:
    """The newest version that both speak. Raises FailedPrecondition (`PROTOCOL_TOO_OLD`, `PROTOCOL_TOO_NEW`)."""
    if both := common(own, caller):
        return both
    if caller.newest < own.oldest:
        raise FailedPrecondition(
            "PROTOCOL_TOO_OLD",
            f"the caller speaks versions of the protocol up to {caller.newest}, {own.oldest} is the least here: "
            "install a newer version there",
            domain="mesh.suanmesh",
            newest=caller.newest,
            needed=own.oldest,
        )
    raise FailedPrecondition(
        "PROTOCOL_TOO_NEW",
        f"the caller speaks versions of the protocol from {caller.oldest} on, {own.newest} is the most here: "
        "upgrade the node first",
        domain="mesh.suanmesh",
        oldest=caller.oldest,
        needed=own.newest,
    )
