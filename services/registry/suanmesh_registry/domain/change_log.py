"""Names in the order in which they last changed, so that a reader is told only of what is new to it."""

from __future__ import annotations

from itertools import islice, takewhile

GONE_MAX = 10_000
"""Names that are gone and remembered; with one more everybody reads everything anew."""


class ChangeLog:
    """Numbers changes from 1 on; of a name only the last counts."""

    def __init__(self, gone_max: int = GONE_MAX) -> None:
        self._gone_max = gone_max
        self.generation = 1
        """Numbers of another generation say nothing."""
        self._number = 0
        self._numbers: dict[str, int] = {}
        self._gone: set[str] = set()

    def changed(self, name: str) -> None:
        """Something of it is different, or it is new."""
        self._gone.discard(name)
        self._note(name)

    def gone(self, name: str) -> None:
        """There is nothing of that name any more."""
        self._gone.add(name)
        self._note(name)
        if len(self._gone) > self._gone_max:
            self._begin_anew()

    def after(self, number: int, limit: int) -> tuple[list[str], int, bool]:
        """The first names that changed after a number, the number they reach to, and whether there are more."""
        newest = list(takewhile(lambda name: self._numbers[name] > number, reversed(self._numbers)))
        names = list(islice(reversed(newest), limit))
        return names, self._numbers[names[-1]] if names else self._number, len(newest) > limit

    def reaches(self, number: int) -> bool:
        """Whether there has been a change of that number."""
        return 0 <= number <= self._number

    def _note(self, name: str) -> None:
        self._number += 1
        self._numbers.pop(name, None)
        self._numbers[name] = self._number

    def _begin_anew(self) -> None:
        names = [name for name in self._numbers if name not in self._gone]
        self._gone.clear()
        self._numbers = {name: number for number, name in enumerate(names, 1)}
        self._number = len(names)
        self.generation += 1
