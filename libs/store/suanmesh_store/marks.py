"""Marks in etcd of the store that an area is led with, left at the begin of each term and while the store changes."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Protocol

import structlog

from suanmesh_kernel.refusals import Refusal
from suanmesh_store.agreement import Belonging, Claimed, Mark, Node, marked, next_mark, refusal_to_lead
from suanmesh_store.layout import NODE_MARKS
from suanmesh_store.ports import Store
from suanmesh_store.soundness import StoreRefused

log = structlog.get_logger()

NODE = "node"
"""Name of the one document of NODE_MARKS."""
MARK_EVERY_S = 2.0
"""How often a mark is left of a store that changes, seconds: what etcd loses beyond that is noticed."""


class Marked(Protocol):
    """A store, as far as it knows what it belongs to. Raises Unavailable and DataLoss as all of it does."""

    async def belonging(self) -> Belonging:
        """What it says of itself."""

    async def keep(self, own: Belonging) -> None:
        """Keep what it is to say of itself from now on; a number that is not greater changes nothing."""


class Marks(Protocol):
    """Where the marks of an area are left."""

    async def last(self) -> Mark:
        """The last mark; that of no store where there is none."""

    async def leave(self, mark: Mark) -> None:
        """Put it in place of the last one, if the caller leads."""

    async def node(self) -> Node:
        """The node that etcd belongs to."""

    @property
    def leads(self) -> bool:
        """Whether the caller surely still leads."""


async def node_of(store: Store) -> Node:
    """What etcd knows of the node that it belongs to."""
    held = await store.get(NODE_MARKS, NODE)
    if held is None:
        return Node()
    told = held.message
    return Node(told.node_id, told.generation, told.layout, {each.store: each.number for each in told.follows})


class MarkKeeper:
    """Keeps a store and its marks in step for one term."""

    def __init__(self, store: Marked, marks: Marks, claimed: Claimed) -> None:
        self._store = store
        self._marks = marks
        self._claimed = claimed
        self._sequence = -1

    async def begin(self) -> Belonging:
        """Make sure that this is the store to lead with, and leave the first mark of the term.

        Raises StoreRefused, whose text says what to do.
        """
        return await self._leave(self._claimed, await self._marks.last(), await self._store.belonging())

    async def run(self) -> None:
        """Leave a mark again and again while the store changes.

        Raises StoreRefused where etcd, or the store, was brought back to an older copy meanwhile.
        """
        forced = replace(self._claimed, lead_with="")
        while True:
            await asyncio.sleep(MARK_EVERY_S)
            try:
                last, own = await self._marks.last(), await self._store.belonging()
                if own.sequence != self._sequence:
                    await self._leave(forced, last, own)
            except Refusal as refusal:
                log.info("mark put off", reason=refusal.reason, message=refusal.message)
            except StoreRefused:
                if self._marks.leads:  # else another leads by now, who leaves the marks
                    raise

    async def _leave(self, claimed: Claimed, last: Mark, own: Belonging) -> Belonging:
        """etcd first: so its number is never less than the store's, but where it was brought back."""
        node = await self._marks.node()
        if refusal := refusal_to_lead(claimed, own, node, last):
            raise refusal
        mark = next_mark(own, node)
        await self._marks.leave(mark)
        after = marked(own, claimed, node, mark)
        await self._store.keep(after)
        self._sequence = own.sequence
        return after
