"""Many calls of one item become few of many: what is asked while a call is under way, or soon after one, goes together.

A call costs every process on its way as much as a dozen of its items.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")


@dataclass(slots=True)
class _Asked(Generic[Q, A]):
    item: Q
    answers: list[A]
    fault: BaseException | None = None


class Batcher(Generic[Q, A]):
    """Asks one call at a time, each with all that waits by then, within the bounds of a call.

    One that is asked alone goes at once; many that come one after the other wait for each other.
    """

    def __init__(
        self,
        call: Callable[[list[Q]], Awaitable[list[A]]],
        *,
        items_max: int,
        size: Callable[[Q], int] = lambda item: 0,
        bytes_max: int = 1 << 20,
        apart_s: float = 0.0,
    ) -> None:
        """`call` answers each item, in order. An item larger than `bytes_max` goes alone.

        A call begins `apart_s` seconds after the one before, at the earliest.
        """
        self._call = call
        self._items_max = items_max
        self._size = size
        self._bytes_max = bytes_max
        self._apart_s = apart_s
        self._next_at = float("-inf")
        self._waiting: dict[int, _Asked[Q, A]] = {}
        self._turn = asyncio.Lock()

    async def ask(self, item: Q) -> A:
        """The item's answer. Raises what the call raises that it went with."""
        asked = _Asked[Q, A](item, [])
        self._waiting[id(asked)] = asked
        try:
            async with self._turn:
                while id(asked) in self._waiting:
                    await self._gather()
                    await self._ask(self._next())
        finally:
            self._waiting.pop(id(asked), None)
        if asked.fault is not None:
            raise asked.fault
        return asked.answers[0]

    async def _gather(self) -> None:
        """Until the next call may begin, and whoever is to ask in this turn of the event loop has asked."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, self._next_at - loop.time()))
        self._next_at = loop.time() + self._apart_s

    def _next(self) -> list[_Asked[Q, A]]:
        """The first that wait, as many as a call takes."""
        taken: list[_Asked[Q, A]] = []
        size = 0
        for asked in islice(self._waiting.values(), self._items_max):
            size += self._size(asked.item)
            if taken and size > self._bytes_max:
                break
            taken.append(asked)
        return taken

    async def _ask(self, batch: list[_Asked[Q, A]]) -> None:
        """A call that is cancelled leaves its items to the next caller."""
        (outcome,) = await asyncio.gather(self._call([asked.item for asked in batch]), return_exceptions=True)
        for index, asked in enumerate(batch):
            if isinstance(outcome, BaseException):
                asked.fault = outcome
            else:
                asked.answers.append(outcome[index])
            self._waiting.pop(id(asked), None)
