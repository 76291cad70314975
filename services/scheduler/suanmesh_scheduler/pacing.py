"""Gives calls precedence over decisions: jobs come to be decided at the pace that the event loop bears."""

from __future__ import annotations

import asyncio

from suanmesh_scheduler.domain.concurrency import ConcurrencyLimit
from suanmesh_scheduler.domain.line import PartyLine

PROBE_S = 0.02
"""How often the lag of the event loop is measured."""


class Pacing:
    """Jobs that wait to be decided, and those that are being decided."""

    def __init__(self, most: int) -> None:
        """At most so many are decided at once."""
        self._limit = ConcurrencyLimit(most, most)
        self._line = PartyLine()
        self._deciding: set[str] = set()
        self._moved = asyncio.Event()

    def __len__(self) -> int:
        """How many wait."""
        return len(self._line)

    def add(self, party: str, name: str) -> None:
        """One more is to be decided; one that waits already keeps its turn."""
        self._line.add(party, name)
        self._moved.set()

    async def take(self) -> str:
        """The next one, as soon as it may be decided; it counts until `end`."""
        while not self._line or len(self._deciding) >= self._limit.allowed:
            self._moved.clear()
            await self._moved.wait()
        if self._limit.rest_s:
            await asyncio.sleep(self._limit.rest_s)
        name = self._line.take()
        self._deciding.add(name)
        return name

    def end(self, name: str) -> None:
        """It has been decided, or was none that was to be."""
        if name in self._deciding:
            self._deciding.remove(name)
            self._moved.set()

    async def measure(self) -> None:
        """Follow the lag of the event loop until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + PROBE_S
            await asyncio.sleep(PROBE_S)
            self._limit = self._limit.after(loop.time() - due)
            self._moved.set()
