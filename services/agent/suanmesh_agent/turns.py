"""Turns: long work on content goes on a piece at a time, so that what is short is never behind what is long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from typing import TypeVar

from suanmesh_sdk.read_ahead import ended

Result = TypeVar("Result")

AT_ONCE = 2
"""Pieces of work that run at a time, of all placements and transfers together."""
TURN_BYTES = 16 * 1024 * 1024
TURN_S = 0.05
"""A turn ends at the first step that reaches either: that many bytes read, or that long a time on many small files."""


class Turns:
    """Runs work that is cut in steps, first come, first served, a turn each."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._slots = asyncio.Semaphore(at_once)

    async def run(self, work: Generator[int, None, Result]) -> Result:
        """What `work` returns. It is closed where the caller is cancelled, once its turn has ended."""
        over: list[Result] = []
        loop = asyncio.get_running_loop()
        try:
            while not over:
                async with self._slots:
                    await ended(loop.run_in_executor(None, _turn, work, over, loop.time))
        finally:
            if not over:
                await ended(loop.run_in_executor(None, work.close))
        return over[0]


def _turn(work: Generator[int, None, Result], over: list[Result], now: Callable[[], float]) -> None:
    """Go on with `work` for one turn; what it returned at its end goes to `over`."""
    done, until = 0, now() + TURN_S
    while done < TURN_BYTES and now() < until:
        try:
            done += next(work)
        except StopIteration as end:
            over.append(end.value)
            return
