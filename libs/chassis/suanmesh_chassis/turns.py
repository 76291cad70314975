"""Bytes in flight: who may have how many, and who waits for room.

Whoever is about to read a message first takes as many bytes as the largest one may have; when it has come it keeps only
what it really takes, until the call is over. One who has all that he may waits for his own calls to end, and keeps
nobody else waiting.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from typing import NamedTuple

from suanmesh_chassis.occupancy import ExceededBound, Holder, Occupancy


class _Waiter(NamedTuple):
    holder: Holder
    amount: int
    may_go: asyncio.Future[None]


class Turns:
    """Turns at an `Occupancy`, first come first served of each caller."""

    def __init__(self, occupancy: Occupancy) -> None:
        self.occupancy = occupancy
        self._waiting: OrderedDict[str, deque[_Waiter]] = OrderedDict()

    @property
    def waiting(self) -> int:
        """How many wait now."""
        return sum(map(len, self._waiting.values()))

    def try_take(self, holder: Holder, amount: int) -> ExceededBound | None:
        """Take `amount` now, or take nothing and say why; whoever waits has not been passed."""
        if self._waiting and holder.caller in self._waiting:
            return ExceededBound.CALLER
        return self.occupancy.take(holder, amount)

    async def take(self, holder: Holder, amount: int) -> None:
        """Take `amount` as soon as there is room for it; cancel to stop waiting."""
        if self.try_take(holder, amount) is None:
            return
        waiter = _Waiter(holder, amount, asyncio.get_running_loop().create_future())
        self._waiting.setdefault(holder.caller, deque()).append(waiter)
        try:
            await waiter.may_go
        except asyncio.CancelledError:
            self._leave(waiter)
            raise

    def give_back(self, holder: Holder, amount: int) -> None:
        """`holder` needs `amount` no more; whoever waited for it goes on."""
        self.occupancy.give_back(holder, amount)
        if self._waiting:
            self._call_next()

    def _call_next(self) -> None:
        for caller, queue in list(self._waiting.items()):
            while queue:
                first = queue[0]
                if not first.may_go.done():  # else it has been told to stop waiting and has not heard it yet
                    if self.occupancy.take(first.holder, first.amount) is not None:
                        break
                    first.may_go.set_result(None)
                queue.popleft()
            if not queue:
                del self._waiting[caller]

    def _leave(self, waiter: _Waiter) -> None:
        """Stop waiting; a turn that came at the same moment goes to the next."""
        if waiter.may_go.done() and not waiter.may_go.cancelled():
            self.give_back(waiter.holder, waiter.amount)
            return
        queue = self._waiting.get(waiter.holder.caller)
        if queue is not None and waiter in queue:
            queue.remove(waiter)
        self._call_next()
