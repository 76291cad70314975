"""The queue of jobs that wait for a place: to decide all of them again whenever something changes is too much."""

from __future__ import annotations

from itertools import islice


class WaitingQueue:
    """Names in the order in which their turn comes."""

    def __init__(self) -> None:
        """Empty."""
        self._names: dict[str, None] = {}

    def stand(self, name: str, *, waits: bool) -> None:
        """Put a name at the end, or out of the queue; one that stands in it keeps its place."""
        if waits:
            self._names.setdefault(name)
        else:
            self._names.pop(name, None)

    def next(self, most: int) -> list[str]:
        """Those whose turn it is, at most so many and none where that is negative; they go to the end."""
        names = list(islice(self._names, max(0, most)))
        for name in names:
            self._names[name] = self._names.pop(name)
        return names
