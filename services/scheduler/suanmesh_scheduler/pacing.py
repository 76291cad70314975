"""Turns that do not follow each other too closely: what comes meanwhile goes together."""

from __future__ import annotations

import asyncio
import math


class Pace:
    """A turn begins at once where the last one is some time past; else it waits, and more comes to share it.

    Whatever a turn does, it costs calls, commits and messages that are the same for one item and for many.
    """

    def __init__(self, every_s: float) -> None:
        """One turn in so many seconds."""
        self._every_s = every_s
        self._begun = -math.inf

    async def wait(self, *, full: bool = False) -> None:
        """Wait until the next turn may begin, for one who waits at a time; a `full` turn begins at once."""
        loop = asyncio.get_running_loop()
        if not full:
            await asyncio.sleep(max(0.0, self._begun + self._every_s - loop.time()))
        self._begun = loop.time()
