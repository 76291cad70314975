"""Following a stream of the mesh for good: reopened when it breaks, sooner at first, later when it keeps breaking."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import structlog

from suanmesh_kernel.refusals import Refusal

log = structlog.get_logger()

B = TypeVar("B")

PAUSE_FIRST_S = 0.1
PAUSE_MAX_S = 2.0


async def follow(what: str, opened: Callable[[], AsyncIterator[B]], take: Callable[[B], Awaitable[None]]) -> None:
    """Give every batch of the stream to `take`, for ever. What `take` raises ends it: a batch of items guards each."""
    pauses = Pauses()
    while True:
        try:
            async for batch in opened():
                pauses.reset()
                await take(batch)
        except Refusal as refusal:
            log.info("stream broke", method=what, reason=refusal.reason, message=refusal.message)
        await pauses.wait()


class Pauses:
    """Waits between attempts, each twice as long as the one before, up to a bound."""

    def __init__(self) -> None:
        self._next_s = PAUSE_FIRST_S

    def reset(self) -> None:
        """Something worked: begin anew with the shortest."""
        self._next_s = PAUSE_FIRST_S

    async def wait(self) -> None:
        """Wait, and longer the next time."""
        pause_s, self._next_s = self._next_s, min(PAUSE_MAX_S, self._next_s * 2)
        await asyncio.sleep(pause_s)
