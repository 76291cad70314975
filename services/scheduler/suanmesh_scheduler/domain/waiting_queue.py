"""The queue of jobs that wait for a place: to decide all of them again whenever something changes is too much."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True, order=True)
class Precedence:
    """Which job of one queue goes before another: the higher priority, then what was submitted first."""

    below: int
    """Priority, negated."""
    created_us: int
    name: str

    @classmethod
    def of(cls, priority: int, created_us: int, name: str) -> Precedence:
        """That of a job, created so many microseconds after 1970."""
        return cls(-priority, created_us, name)


class WaitingQueue:
    """Names in the order in which their turn comes, and beside it the first of each queue of a party."""

    def __init__(self) -> None:
        """Empty."""
        self._names: dict[str, tuple[Hashable, Precedence]] = {}
        self._of_queue: dict[Hashable, list[Precedence]] = {}

    def stand(self, precedence: Precedence, queue: Hashable) -> bool:
        """Put a job at the end, and say that it is new there; one that stands in it keeps its place."""
        if precedence.name in self._names:
            return False
        self._names[precedence.name] = (queue, precedence)
        insort(self._of_queue.setdefault(queue, []), precedence)
        return True

    def leave(self, name: str) -> None:
        """Take a job out, where it stands in it."""
        queue, precedence = self._names.pop(name, ("", None))
        if precedence is not None:
            own = self._of_queue[queue]
            del own[bisect_left(own, precedence)]
            if not own:
                del self._of_queue[queue]

    def next(self, most: int) -> list[str]:
        """Those whose turn it is, at most so many and none where that is negative; they go to the end.

        With each comes the first of its queue, whoever's turn it is: else it would wait behind jobs of lower priority.
        """
        names = list(islice(self._names, max(0, most)))
        for name in names:
            self._names[name] = self._names.pop(name)
        firsts = (self._of_queue[self._names[name][0]][0].name for name in names)
        return list(dict.fromkeys((*names, *firsts)))


def in_precedence(items: Sequence[T], queue: Callable[[T], Hashable], precedence: Callable[[T], Precedence]) -> list[T]:
    """The same items, each queue's in the order of their precedence, in the places that the queue has among them."""
    own: dict[Hashable, list[T]] = {}
    for item in items:
        own.setdefault(queue(item), []).append(item)
    turns = {name: iter(sorted(theirs, key=precedence)) for name, theirs in own.items()}
    return [next(turns[queue(item)]) for item in items]
