"""From one task to another, one item at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Generic, TypeVar

from suanmesh_kernel.refusals import Refusal

Item = TypeVar("Item")


class Pipe(AsyncIterator[Item], Generic[Item]):
    """Whoever gives waits until what was given before has been taken: a slow taker never lets anything pile up."""

    def __init__(self) -> None:
        self._room = asyncio.Semaphore(1)
        self._items: asyncio.Queue[Item | None] = asyncio.Queue()
        self._refusal: Refusal | None = None

    async def give(self, item: Item) -> None:
        """Give one item, once there is room."""
        await self._room.acquire()
        self._items.put_nowait(item)

    def close(self, refusal: Refusal | None = None) -> None:
        """Give nothing more: whoever takes comes to the end, or is told `refusal`."""
        self._refusal = self._refusal or refusal
        self._items.put_nowait(None)

    async def __anext__(self) -> Item:
        item = await self._items.get()
        if item is None:
            self._items.put_nowait(None)  # for whoever asks again
            if self._refusal is not None:
                raise self._refusal
            raise StopAsyncIteration
        self._room.release()
        return item
