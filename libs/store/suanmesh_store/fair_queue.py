"""Work that waits for the next transaction: what is urgent goes first, the rest takes turns by whom it is of."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

URGENT = ""
"""The queue of work that waits for none of the others."""
URGENT_MAX = 1_000
"""Urgent commands that share a transaction."""
IN_TURN_MAX = 500
"""Other commands that share a transaction: urgent work that comes meanwhile waits for no more of them."""


@dataclass(frozen=True, slots=True)
class Waiting(Generic[T]):
    """An item of so many commands in the queue of somebody."""

    item: T
    queue: str
    commands: int


class FairQueue(Generic[T]):
    """Groups of items, each group one transaction; items of one queue stay in their order.

    Neither side starves: a group has room of its own for urgent work and for work that takes turns. Not thread-safe.
    """

    def __init__(self) -> None:
        self._urgent: deque[Waiting[T]] = deque()
        self._in_turn: OrderedDict[str, deque[Waiting[T]]] = OrderedDict()
        self._alone: deque[T] = deque()
        self._waiting: dict[str, int] = {}
        self.commands = 0
        """Commands that wait, but for those that are to be alone."""

    def waiting_of(self, queue: str) -> int:
        """Commands that wait in one queue."""
        return self._waiting.get(queue, 0)

    def put(self, item: T, queue: str, commands: int) -> None:
        """Let an item wait at the end of its queue."""
        waiting = Waiting(item, queue, commands)
        (self._urgent if queue == URGENT else self._in_turn.setdefault(queue, deque())).append(waiting)
        self._waiting[queue] = self._waiting.get(queue, 0) + commands
        self.commands += commands

    def put_alone(self, items: Iterable[T]) -> None:
        """Let each of these be a group by itself, before all others."""
        self._alone.extend(items)

    def take(self) -> list[T]:
        """The next group; empty where nothing waits. Of work too large for a group's room one item is taken."""
        if self._alone:
            return [self._alone.popleft()]
        group: list[T] = []
        room = URGENT_MAX
        while self._urgent and _fits(self._urgent[0], room, URGENT_MAX):
            room -= self._urgent[0].commands
            group.append(self._taken(self._urgent))
        room = IN_TURN_MAX
        while self._in_turn:
            queue, items = next(iter(self._in_turn.items()))
            if not _fits(items[0], room, IN_TURN_MAX):
                break
            room -= items[0].commands
            group.append(self._taken(items))
            self._in_turn.move_to_end(queue)
            if not items:
                del self._in_turn[queue]
        return group

    def _taken(self, items: deque[Waiting[T]]) -> T:
        taken = items.popleft()
        self.commands -= taken.commands
        self._waiting[taken.queue] -= taken.commands
        if not self._waiting[taken.queue]:
            del self._waiting[taken.queue]
        return taken.item


def _fits(waiting: Waiting[T], room: int, room_of_all: int) -> bool:
    """Whether there is room for it; the first is taken whatever its size."""
    return waiting.commands <= room or room == room_of_all
