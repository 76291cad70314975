"""Taking the lead, and reading: only with the ledger that led before, unless the operator says otherwise."""

from __future__ import annotations

from typing import TypeVar

from suanmesh_accounting.domain.commands import ClaimLedger, LedgerIdentity, MarkLedger
from suanmesh_accounting.domain.queries import OwnIdentity, Query
from suanmesh_accounting.ports import Ledger, LedgerReads, accepted
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.refusals import Unavailable
from suanmesh_store.agreement import Belonging, Claimed
from suanmesh_store.marks import MarkKeeper, Marks

R = TypeVar("R")

MARK_GOOD_S = 5.0
"""For so long it is not looked again whether the node is led with another ledger."""


class LedgerOfTerm:
    """`Marked` ledger of the leader."""

    def __init__(self, ledger: Ledger, node: str, name: str) -> None:
        """`name` is for one that has none yet, which is then made for `node`."""
        self._ledger = ledger
        self._claim = ClaimLedger(node, name)

    async def belonging(self) -> Belonging:
        """What it says of itself."""
        own = await self._ledger.page(OwnIdentity()) or accepted((await self._ledger.apply([self._claim]))[0])
        return Belonging(own.ledger, own.node, own.node_id, own.generation, own.number, own.postings)

    async def keep(self, own: Belonging) -> None:
        """Have it say that."""
        accepted((await self._ledger.apply([MarkLedger(own.node_id, own.generation, own.number)]))[0])


async def take_lead(ledger: Ledger, marks: Marks, *, node: str, name: str, lead_with: str) -> MarkKeeper:
    """Make sure that this is the ledger to lead with, and leave a mark of it; gives who is to leave further ones.

    `name` is for a ledger that has none yet; `lead_with` names one that may lead whatever led before. Raises
    StoreRefused, whose text says what to do.
    """
    claimed = Claimed("accounting", "the ledger", node, lead_with)
    keeper = MarkKeeper(LedgerOfTerm(ledger, node, name), marks, claimed)
    await keeper.begin()
    return keeper


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
        own, led = await self._ledger.page(OwnIdentity()), await self._marks.last()
        if problem := unreadable(own, self._node, led.store):
            raise Unavailable("NOT_READY", problem, domain="mesh.suanmesh")
        self._good_until_s = self._clock.monotonic() + MARK_GOOD_S
