"""Writes of jobs and placements, a turn at a time: read as new as the last write, decided, and committed together."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from suanmesh_kernel.refusals import Refusal, Unavailable
from suanmesh_scheduler.commits import Parts, commit_each
from suanmesh_scheduler.mirrors import Mirrors
from suanmesh_store import Committed, Conflict, Store
from suanmesh_store.layout import JOBS, PLACEMENTS

MIRROR_S_MAX = 5.0
"""How long the mirrors may be behind what was committed last."""


class Transitions:
    """Turns at the states of jobs and placements.

    Whoever has the turn sees in the mirrors all that was written in turns before. What is written outside, such as a
    new placement or a request to cancel, makes the commit of what it overtook fail, and of that alone.
    """

    def __init__(self, store: Store, mirrors: Mirrors) -> None:
        self._store = store
        self._mirrors = mirrors
        self._lock = asyncio.Lock()
        self._written: Counter[str] = Counter()

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
                await self._mirrors.placements.wait_for(self._written[PLACEMENTS.prefix])
                await self._mirrors.jobs.wait_for(self._written[JOBS.prefix])
        except TimeoutError:
            raise Unavailable("NOT_READY", "the scheduler's mirrors are behind", domain="mesh.suanmesh") from None

    async def commit(self, parts: Parts) -> dict[str, Refusal]:
        """Write parts, for who has the turn; by part what refused it. Raises what `commit_each` raises."""
        _, refused = await commit_each(self._store, parts, self._note)
        for refusal in refused.values():
            if isinstance(refusal, Conflict):
                self._overtaken(refusal)
        return refused

    def _overtaken(self, conflict: Conflict) -> None:
        """The next turn begins when the mirrors show what was written in between."""
        for kind in (PLACEMENTS, JOBS):
            found = [revision for key, revision in conflict.revisions.items() if key.startswith(kind.prefix)]
            self._written[kind.prefix] = max([self._written[kind.prefix], *found])

    def _note(self, committed: Committed) -> None:
        for held in committed.held:
            self._written[held.kind.prefix] = committed.revision
