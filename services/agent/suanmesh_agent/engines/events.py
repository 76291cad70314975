"""Events of tasks on their way to who watches a placement."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable

from suanmesh_agent.domain.tasks import TaskEvent, TaskKey


class Events:
    """Keeps, for each watcher, the last event of each task that it has not taken yet."""

    def __init__(self) -> None:
        self._watchers: dict[str, list[_Watcher]] = {}

    def is_watched(self, placement: str) -> bool:
        """Whether anybody wants to know."""
        return placement in self._watchers

    def publish(self, event: TaskEvent) -> None:
        """Tell all who watch the task's placement."""
        for watcher in self._watchers.get(event.key.placement, ()):
            watcher.pending[event.key] = event
            watcher.arrived.set()

    async def watch(
        self,
        placement: str,
        begin: Callable[[], Awaitable[list[TaskEvent]]],
        unwatched: Callable[[], None] = lambda: None,
    ) -> AsyncGenerator[list[TaskEvent], None]:
        """What `begin` tells, and then what is published; nothing falls between the two.

        `unwatched` is called once nobody watches the placement any more.
        """
        watcher = _Watcher()
        self._watchers.setdefault(placement, []).append(watcher)
        try:
            yield await begin()
            while True:
                await watcher.arrived.wait()
                yield watcher.take()
        finally:
            watchers = self._watchers[placement]
            watchers.remove(watcher)
            if not watchers:
                del self._watchers[placement]
                unwatched()


class _Watcher:
    def __init__(self) -> None:
        self.pending: dict[TaskKey, TaskEvent] = {}
        self.arrived = asyncio.Event()

    def take(self) -> list[TaskEvent]:
        """All that has come; as many at most as the placement has tasks."""
        self.arrived.clear()
        taken, self.pending = list(self.pending.values()), {}
        return taken
