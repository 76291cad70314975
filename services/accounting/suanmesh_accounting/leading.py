"""Taking the lead: only with the ledger that led before, unless the operator says otherwise."""

from __future__ import annotations

from suanmesh_accounting.domain.commands import ClaimLedger
from suanmesh_accounting.ports import Ledger, Marks, accepted
from suanmesh_store.leading import lead_fault
from suanmesh_store.soundness import StoreCorrupt


async def take_lead(ledger: Ledger, marks: Marks, *, node: str, name: str, lead_with: str) -> None:
    """Make sure that this is the ledger to lead with, and leave a mark of it.

    `name` is for a ledger that has none yet; `lead_with` names one that may lead though another one led before. Raises
    StoreCorrupt, whose text says what to do.
    """
    [claimed] = await ledger.apply([ClaimLedger(node, name)])
    own = accepted(claimed)
    led_before = await marks.led_before()
    if problem := lead_fault("the ledger", own.ledger, own.node, node, led_before, lead_with, area="accounting"):
        raise StoreCorrupt(problem)
    if led_before != own.ledger:
        await marks.lead(own.ledger)
