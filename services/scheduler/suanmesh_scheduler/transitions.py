"""Writes of placements, a turn at a time: read as new as the last write, decided, and committed together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from suanmesh_kernel.refusals import Refusal, Unavailable
from suanmesh_scheduler.commits import Parts, commit_each
from suanmesh_scheduler.mirrors import Mirrors
from suanmesh_store import Committed, Conflict, Store
from suanmesh_store.layout import PLACEMENTS

MIRROR_S_MAX = 5.0
"""How long the mirrors may be behind what was committed last."""


class Transitions:
    """Turns at the states of placements.

    Whoever has the turn sees in the mirrors all that was written in turns before. What is written outside, such as a
    new placement, makes the commit of what it overtook fail, and of that alone. Their jobs tell afterwards what they
    say, beside the turns that come next, also after a crash in between.
    """

    def __init__(self, store: Store, mirrors: Mirrors) -> None:
        self._store = store
        self._mirrors = mirrors
        self._lock = asyncio.Lock()
        self._written = 0

    @asynccontextmanager
    async def turn(self) -> AsyncGenerator[None, None]:
        """Wait for the turn. Raises Unavailable (`NOT_READY`) where the mirrors stay behind."""
        async with self._lock:
            await self.caught_up()
            yield

    async def caught_up(self) -> None:
        """Wait until the mirrors show what was committed in turns. Raises Unavailable (`NOT_READY`)."""
        try:
            async with asyncio.timeout(MIRROR_S_MAX):
                await self._mirrors.placements.wait_for(self._written)
        except TimeoutError:
            raise Unavailable("NOT_READY", "the scheduler's mirrors are behind", domain="mesh.suanmesh") from None

    async def commit(self, parts: Parts) -> dict[str, Refusal]:
        """Write parts; by name what refused which. Raises what `commit_each` raises."""
        _, refused = await commit_each(self._store, parts, self._note)
        for refusal in refused.values():
            if isinstance(refusal, Conflict):
                self._overtaken(refusal)
        return refused

    def _overtaken(self, conflict: Conflict) -> None:
        """The next turn begins when the mirror shows what was written in between."""
        found = [revision for key, revision in conflict.revisions.items() if key.startswith(PLACEMENTS.prefix)]
        self._written = max([self._written, *found])

    def _note(self, committed: Committed) -> None:
        self._written = max(self._written, committed.revision)
