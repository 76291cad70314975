"""Work that overlaps: while one message is worked on the next is on its way, and no more than that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Generator
from contextlib import closing
from itertools import islice
from typing import Generic, TypeVar

Item = TypeVar("Item")


class ReadAhead(AsyncIterator[Item], Generic[Item]):
    """Gives what `source` gives, and waits for the next meanwhile. Whoever does not read to the end calls `close`."""

    def __init__(self, source: AsyncIterator[Item]) -> None:
        self._source = source
        self._coming: asyncio.Task[Item] | None = None

    async def __anext__(self) -> Item:
        self._coming = self._coming or self._next()
        item = await self._coming
        self._coming = self._next()
        return item

    def close(self) -> None:
        """Wait for nothing more; what has come and was not asked for is dropped."""
        coming, self._coming = self._coming, None
        if coming is not None and not coming.cancel() and not coming.cancelled():
            coming.exception()  # nobody else asks for it

    def _next(self) -> asyncio.Task[Item]:
        return asyncio.get_running_loop().create_task(self._taken())

    async def _taken(self) -> Item:
        return await anext(self._source)


async def in_threads(work: Generator[Item, None, None]) -> AsyncGenerator[Item, None]:
    """What `work` gives, each step in a thread; it is closed at the end, once no thread is at it."""
    loop = asyncio.get_running_loop()
    with closing(work):
        while found := await ended(loop.run_in_executor(None, _step, work)):
            yield found.pop()


async def ended(step: asyncio.Future[Item]) -> Item:
    """Wait for the end of work in a thread, however often cancelled: a thread cannot be stopped, nor its work go on
    elsewhere."""
    cancelled = False
    while not step.done():
        try:
            await asyncio.wait([step])
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        step.exception()  # nobody asks for it any more
        raise asyncio.CancelledError
    return step.result()


def _step(work: Generator[Item, None, None]) -> list[Item]:
    """What comes next, or nothing."""
    return list(islice(work, 1))
