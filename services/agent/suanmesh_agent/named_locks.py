"""Locks by name: of all who come under one name, one goes on at a time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager


class NamedLocks:
    """Those of names that somebody has or waits for; nothing is kept of others."""

    def __init__(self) -> None:
        self._locks: dict[str, asyncio.Lock] = {}
        self._come: Counter[str] = Counter()

    @property
    def names(self) -> set[str]:
        """Those that somebody has or waits for."""
        return set(self._locks)

    @asynccontextmanager
    async def alone(self, name: str) -> AsyncGenerator[None, None]:
        """A block that nobody else is in under the same name."""
        lock = self._locks.setdefault(name, asyncio.Lock())
        self._come[name] += 1
        try:
            async with lock:
                yield
        finally:
            self._come[name] -= 1
            if not self._come[name]:  # while somebody waits whoever comes must wait for the same lock
                del self._come[name], self._locks[name]
