"""Calls being served: how many, so that a term that is handed over can wait for their end."""

from __future__ import annotations

import asyncio


class UnderWay:
    """A count of calls."""

    def __init__(self) -> None:
        self._calls = 0
        self._none = asyncio.Event()
        self._none.set()

    def begun(self) -> None:
        """One more is under way."""
        self._calls += 1
        if self._calls == 1:
            self._none.clear()

    def ended(self) -> None:
        """One less is under way."""
        self._calls -= 1
        if not self._calls:
            self._none.set()

    async def none(self) -> None:
        """Wait until none is under way."""
        await self._none.wait()
