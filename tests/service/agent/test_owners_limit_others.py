"""An agent whose owner limits what others may do at the site."""

from __future__ import annotations

from pathlib import Path

from suanmesh_agent.testing import FakeSite, State, a_placement
from suanmesh_kernel.owner_limits import OwnerLimits
from suanmesh_sdk.state_reasons import reason_from

NAME = "placements/p1"


async def test_what_the_owner_refuses_is_refused_whatever_the_mesh_asks(tmp_path: Path) -> None:
    """A scheduler that does not know a new limit yet would decide over somebody else's machine."""
    world, placement = FakeSite(tmp_path), a_placement("pass")
    placement.party = "parties/guest"
    world.limits = OwnerLimits(parties=frozenset({"parties/friend"}))
    world.scheduler.put(placement)
    async with world.agent():
        report = await world.scheduler.reported(NAME, State.STATE_REFUSED)
    assert str(reason_from(report.reason)) == "PARTY_NOT_ALLOWED (party parties/guest)"
