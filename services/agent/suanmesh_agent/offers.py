"""What the site has to give, what of it is taken, and which placements it does not take."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache

from suanmesh.scheduler.v1 import placement_pb2
from suanmesh_agent import wire
from suanmesh_agent.domain.stages import HOLDING
from suanmesh_agent.domain.work import Admission, Work, objection, with_cards
from suanmesh_agent.inventory import Inventory
from suanmesh_agent.journal import Journal
from suanmesh_kernel.owner_limits import NO_LIMITS, OwnerLimits
from suanmesh_kernel.quantities import Capacity
from suanmesh_kernel.reasons import StateReason

OWN_PARTY = "party"
"""Fact of the journal: whose site it is, `parties/{party}`."""
PARSED_MAX = 1024
"""Placements of which it is remembered what they take: it is asked for whenever another comes."""


@dataclass(slots=True)
class Offers:
    """What was found on the hosts, less what the journal says is taken."""

    journal: Journal
    found: Inventory
    """Replaced when it has changed."""
    strangers_unsandboxed: bool = False
    limits: OwnerLimits = NO_LIMITS
    strangers_as_root: bool = False

    def objection(self, placement: placement_pb2.Placement, now: datetime) -> StateReason:
        """Why the site does not take a placement; nothing when it does."""
        party, capacity, taken = placement.party, self.found.capacity, self._taken(but=placement.name)
        work = with_cards(wire.work_from(placement), capacity=capacity, taken=taken)
        own = self.journal.fact(OWN_PARTY) or ""
        admission = self._admission(own)
        held = self._taken(but=placement.name, party=party)
        limited = admission.limit(work, party, now, capacity=capacity, held=held)
        no = admission.objection(party, secrets=work.secrets) or limited
        return no or objection(work, capacity=capacity, taken=taken, runtimes=self.found.runtimes)

    def _admission(self, own: str) -> Admission:
        can = self.found.can
        return Admission(
            can.walled,
            own,
            self.strangers_unsandboxed,
            self.limits,
            can.as_root,
            self.strangers_as_root,
            can.keeps_secrets,
        )

    def free(self) -> Capacity:
        """What is left; nothing where hosts have gone of which more was taken."""
        left = self.found.capacity.minus(self._taken())
        devices = tuple(replace(each, count=max(0, each.count)) for each in left.devices)
        return Capacity(max(0, left.cpu_milli), max(0, left.memory_bytes), max(0, left.scratch_bytes), devices)

    def _taken(self, *, but: str = "", party: str = "") -> Capacity:
        """What the placements held here take together, `but` one; of one party only, where one is named."""
        taken = theirs = Capacity()
        for whose, work in (_holder(message) for name, message in self.journal.messages_at(HOLDING) if name != but):
            held = with_cards(work, capacity=self.found.capacity, taken=taken).capacity
            taken = taken.plus(held)
            theirs = theirs.plus(held) if whose == party else theirs
        return theirs if party else taken


@lru_cache(PARSED_MAX)
def _holder(message: bytes) -> tuple[str, Work]:
    """For whom a placement holds capacity, and for what."""
    placement = placement_pb2.Placement.FromString(message)
    return placement.party, wire.work_from(placement)
