"""Taking the lead, and reading: only with the ledger that led before, unless the operator says otherwise."""

from __future__ import annotations

from typing import TypeVar

from suanmesh_accounting.domain.commands import ClaimLedger, LedgerIdentity
from suanmesh_accounting.domain.queries import OwnIdentity, Query
from suanmesh_accounting.ports import Ledger, LedgerReads, Marks, accepted
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.refusals import Unavailable
from suanmesh_store.leading import lead_fault
from suanmesh_store.soundness import StoreCorrupt

R = TypeVar("R")

MARK_GOOD_S = 5.0
"""For so long it is not looked again whether the node is led with another ledger."""


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


def unreadable(own: LedgerIdentity | None, node: str, led: str) -> str:
    """Why nothing of this node is to be read in this ledger; empty where it may be.

    `led` is the ledger that led the node last, empty where none has.
    """
    if not led:
        return f"no ledger has led {node} yet"
    if own is None or (own.node, own.ledger) != (node, led):
        has = "one that has not led" if own is None else f"{own.ledger} of {own.node}"
        return f"this instance has another ledger, {has}, than {node} is led with, {led}"
    return ""


class LedgerThatLeads:
    """`LedgerReads` of any instance: answers where its ledger is the one that the node is led with."""

    def __init__(self, ledger: LedgerReads, marks: Marks, node: str, clock: Clock) -> None:
        self._ledger = ledger
        self._marks = marks
        self._node = node
        self._clock = clock
        self._good_until_s = 0.0

    async def page(self, query: Query[R]) -> R:
        """What the query asks for. Raises Unavailable (`NOT_READY`) where the node is led with another ledger."""
        if self._clock.monotonic() >= self._good_until_s:
            await self._look_at_mark()
        return await self._ledger.page(query)

    async def _look_at_mark(self) -> None:
        own, led = await self._ledger.page(OwnIdentity()), await self._marks.led_before()
        if problem := unreadable(own, self._node, led):
            raise Unavailable("NOT_READY", problem, domain="mesh.suanmesh")
        self._good_until_s = self._clock.monotonic() + MARK_GOOD_S
