"""What one call has taken of its process, from when it is let in until its last byte is sent."""

from __future__ import annotations

import asyncio

from suanmesh_chassis.limits import Limits, Pool, refuse_bytes
from suanmesh_chassis.occupancy import ExceededBound, Holder

UNCOUNTED_BYTES = 4096
"""A message of at most a page is not counted once it is read, nor such an answer: counting costs a call more than
they take, and how many there are is bounded by the calls."""


class Share:
    """One call of `holder`, and its bytes in flight."""

    __slots__ = ("_bytes", "_holder", "_limits", "_over", "_pool", "_turns", "reading")

    def __init__(self, limits: Limits, pool: Pool, holder: Holder) -> None:
        """Count one more call. Raises ResourceExhausted or Unavailable where there are too many."""
        limits.admit(pool, holder)
        self._limits, self._pool, self._holder = limits, pool, holder
        self._turns = limits.turns(pool)
        self._bytes = 0
        self._over = False
        self.reading = limits.reading(pool, holder)
        """How its messages are taken."""

    def take(self, amount: int) -> bool:
        """Take `amount` bytes in flight; False where there is no room for them now, and nothing is taken."""
        if self._turns.try_take(self._holder, amount) is not None:
            return False
        self._bytes += amount
        return True

    async def wait_for(self, amount: int) -> None:
        """Take `amount` bytes in flight, waiting for room no longer than a message may take.

        Raises ResourceExhausted (`BYTES_OF_CALLER_MAX`) or Unavailable (`PROCESS_FULL`).
        """
        turns, holder = self._turns, self._holder
        try:
            async with asyncio.timeout(self.reading.arrival.seconds):
                await turns.take(holder, amount)
        except TimeoutError:
            obstacle = turns.occupancy.obstacle(holder, amount) or ExceededBound.CALLER
            refuse_bytes(obstacle, holder, turns.occupancy.bounds)
        self._bytes += amount
        if self._over:  # the call ended while its message was waiting
            self.let_go()

    def keep(self, amount: int) -> None:
        """Of the bytes taken keep `amount`, the others are not needed."""
        kept = min(amount, self._bytes) if amount > UNCOUNTED_BYTES else 0
        self._turns.give_back(self._holder, self._bytes - kept)
        self._bytes = kept

    def release(self, amount: int) -> None:
        """Of the bytes taken `amount` are not needed any more."""
        amount = min(amount, self._bytes)
        if amount:
            self._bytes -= amount
            self._turns.give_back(self._holder, amount)

    def add(self, amount: int) -> None:
        """Take `amount` more bytes at once, or raise what `hold` raises."""
        if amount <= UNCOUNTED_BYTES:
            return
        counted = self._turns.occupancy
        obstacle = counted.take(self._holder, amount)
        if obstacle is not None:
            refuse_bytes(obstacle, self._holder, counted.bounds)
        self._bytes += amount

    def let_go(self) -> None:
        """Give all bytes back."""
        held, self._bytes = self._bytes, 0
        if held:
            self._turns.give_back(self._holder, held)

    def leave(self) -> None:
        """The call is over, its answer sent or given up."""
        self._over = True
        if self._bytes:
            self.let_go()
        self._limits.leave(self._pool, self._holder)
