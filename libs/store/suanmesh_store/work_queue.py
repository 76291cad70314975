"""The queue of names that somebody is to look at."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from itertools import islice


class WorkQueue:
    """Names to look at; one that is added twice before it is taken is looked at once."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        """Begin with some."""
        self._names: dict[str, None] = dict.fromkeys(names)
        self._in_hand: set[str] = set()
        self._some = asyncio.Event()
        if self._names:
            self._some.set()

    def __len__(self) -> int:
        """How many wait."""
        return len(self._names)

    def add(self, names: Iterable[str]) -> None:
        """Add some; a name that waits already keeps its turn."""
        self._names.update(dict.fromkeys(names))
        if self._names:
            self._some.set()

    async def some(self) -> None:
        """Wait until there is one."""
        while not self._names:
            self._some.clear()
            await self._some.wait()

    def take_many(self, most: int) -> list[str]:
        """Those that wait longest, at most so many, for a consumer that alone takes from here."""
        names = list(islice(self._names, most))
        for name in names:
            del self._names[name]
        return names

    async def take(self) -> str:
        """The one that waits longest and is in nobody's hands."""
        while (name := next((name for name in self._names if name not in self._in_hand), None)) is None:
            self._some.clear()
            await self._some.wait()
        del self._names[name]
        return name

    @asynccontextmanager
    async def turn(self) -> AsyncGenerator[str, None]:
        """The one to look at now, in the caller's hands until it leaves: added meanwhile, it waits until then."""
        name = await self.take()
        self._in_hand.add(name)
        try:
            yield name
        finally:
            self._in_hand.discard(name)
            if name in self._names:
                self._some.set()
