"""Memory for what is read for somebody and not yet taken by them: so much in all, so much for each holder.

Whoever reads from a disk or from another process for a caller holds the bytes here first. A caller who takes nothing
fills its own share and then waits, while others go on; nothing is read that has no room.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

_Turn = tuple[int, "asyncio.Future[None]"]


class ByteBudget:
    """Bytes that may be held at a time, by all holders together and by each. Holders take turns, each in its order."""

    def __init__(self, *, total_bytes: int, share_bytes: int) -> None:
        if not 0 < share_bytes <= total_bytes:
            raise ValueError("a share is a part of the whole")
        self._free = total_bytes
        self._share_bytes = share_bytes
        self._held: Counter[str] = Counter()
        self._waiting: OrderedDict[str, deque[_Turn]] = OrderedDict()

    @property
    def held_bytes(self) -> int:
        """Bytes that are held now."""
        return self._held.total()

    @asynccontextmanager
    async def hold(self, holder: str, size_bytes: int) -> AsyncGenerator[None, None]:
        """Wait for room, and hold it within the block. More than a share counts as a whole one."""
        size = min(size_bytes, self._share_bytes)
        await self._take(holder, size)
        try:
            yield
        finally:
            self._give_back(holder, size)

    async def _take(self, holder: str, size: int) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(holder, deque()).append((size, turn))
        self._grant()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._give_back(holder, size)
            else:
                self._leave(holder, (size, turn))
            raise

    def _leave(self, holder: str, turn: _Turn) -> None:
        queue = self._waiting.get(holder)
        if queue is not None and turn in queue:
            queue.remove(turn)
            if not queue:
                del self._waiting[holder]
        self._grant()  # a large one may have been in the way of smaller ones

    def _give_back(self, holder: str, size: int) -> None:
        self._free += size
        self._held[holder] -= size
        if not self._held[holder]:
            del self._held[holder]
        self._grant()

    def _grant(self) -> None:
        """Let in who may, one turn a holder, the holder whose last turn is longest ago first."""
        while (holder := self._next()) is not None:
            queue = self._waiting[holder]
            size, turn = queue.popleft()
            self._waiting.move_to_end(holder)
            if not queue:
                del self._waiting[holder]
            if not turn.cancelled():
                self._free -= size
                self._held[holder] += size
                turn.set_result(None)

    def _next(self) -> str | None:
        for holder, queue in self._waiting.items():
            size, turn = queue[0]
            if turn.cancelled():
                return holder
            if self._held[holder] + size <= self._share_bytes:
                return holder if size <= self._free else None  # nobody smaller overtakes it for good
        return None
