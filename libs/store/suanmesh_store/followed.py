"""What every mirror tells of its changes: the names of all that changed, of one, and that it has moved on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from suanmesh_store.work_queue import WorkQueue


class Followed:
    """It tells where to look, not what happened: several changes of one name may come as one."""

    def __init__(self) -> None:
        """Nobody follows."""
        self._moved = asyncio.Event()
        self._queues: list[WorkQueue] = []
        self._queues_of: dict[str, list[WorkQueue]] = {}

    @contextmanager
    def following(self, queue: WorkQueue | None = None) -> Iterator[WorkQueue]:
        """What changes from now on, for a consumer that first reads what there is and that ends one day.

        One that follows several mirrors gives its own `queue` to each.
        """
        queue = WorkQueue() if queue is None else queue
        self._queues.append(queue)
        try:
            yield queue
        finally:
            self._queues.remove(queue)

    @contextmanager
    def following_one(self, name: str) -> Iterator[WorkQueue]:
        """As `following`, of one name: however many follow others, a change wakes only who waits for it."""
        queue = WorkQueue()
        self._queues_of.setdefault(name, []).append(queue)
        try:
            yield queue
        finally:
            self._queues_of[name].remove(queue)
            if not self._queues_of[name]:
                del self._queues_of[name]

    async def _names(self, existing: Callable[[], Iterable[str]]) -> AsyncGenerator[str, None]:
        """Names of what changed, for one consumer, after those that there are when it begins to take them."""
        with self.following(WorkQueue(existing())) as queue:
            while True:
                yield await queue.take()

    async def _until(self, reached: Callable[[], bool]) -> None:
        while not reached():
            await self._moved.wait()

    def _tell(self, names: Sequence[str]) -> None:
        for queue in self._queues:
            queue.add(names)
        for name in names if self._queues_of else ():
            for queue in self._queues_of.get(name, ()):
                queue.add((name,))
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()
