"""Reads that many want at the same time are made once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

R = TypeVar("R")


class Shared(Generic[R]):
    """One read for all who ask while it is under way; whoever asks after its end has it made anew.

    An answer may thus be as old as the read takes. What is decided from it is checked again where it is committed.
    """

    def __init__(self) -> None:
        self._under_way: dict[Hashable, asyncio.Future[tuple[R, ...]]] = {}

    async def read(self, key: Hashable, make: Callable[[], Awaitable[R]]) -> R:
        """What `make` answers, made now or by whoever asked first. Raises what the caller's own `make` raises."""
        while (under_way := self._under_way.get(key)) is not None:
            for answer in await asyncio.shield(under_way):
                return answer
        done = self._under_way[key] = asyncio.get_running_loop().create_future()
        answers: tuple[R, ...] = ()
        try:
            answers = (await make(),)
        finally:
            del self._under_way[key]
            done.set_result(answers)  # none where it failed, or its time was up: the next one makes it
        return answers[0]
