"""Calls being served: how many, so that a term that is handed over can wait for their end."""

from __future__ import annotations

import asyncio


class UnderWay:
    """A count of calls."""

    def __init__(self) -> None:
        self._calls = 0
        self._waited_for: asyncio.Event | None = None

    def begun(self) -> None:
        """One more is under way."""
        self._calls += 1

    def ended(self) -> None:
        """One less is under way."""
        self._calls -= 1
        if self._waited_for is not None and not self._calls:
            self._waited_for.set()
            self._waited_for = None

    async def none(self) -> None:
        """Wait until none is under way."""
        while self._calls:
            if self._waited_for is None:
                self._waited_for = asyncio.Event()
            await self._waited_for.wait()
