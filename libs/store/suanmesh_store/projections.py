"""Projections: what is read from all documents of a kind, kept up to date by each change instead of walked through.

A mirror feeds them (`Mirror.project`): first with all there is, then with every batch, before anybody is told of it.
Whoever waits for a revision therefore reads a projection as of that revision or a later one.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, Protocol

from suanmesh_store.layout import M
from suanmesh_store.values import Changed, Held

MERGE_MIN = 256
"""From so many new names on, sorting once is cheaper than inserting each."""


class Projection(Protocol[M]):
    """Takes in what changed. It neither waits nor fails: a change it cannot show is a defect."""

    def apply(self, changes: Sequence[Changed[M]]) -> None:
        """Take in the changes of one batch, in order."""


class SortedNames:
    """Names in order, so that a page of them costs no more than the page."""

    def __init__(self) -> None:
        """Begin with none."""
        self._names: list[str] = []

    def __len__(self) -> int:
        """How many there are."""
        return len(self._names)

    def update(self, added: Sequence[str], removed: Sequence[str]) -> None:
        """Add names that are not there, and remove names that are."""
        if removed:
            gone = set(removed)
            if len(gone) >= MERGE_MIN:
                self._names = [name for name in self._names if name not in gone]
            else:
                for name in gone:
                    del self._names[bisect_left(self._names, name)]
        if len(added) >= MERGE_MIN:
            self._names = sorted([*self._names, *added])
            return
        for name in added:
            insort(self._names, name)

    def after(self, name: str = "", under: str = "") -> Iterator[str]:
        """The names behind one, in order, of those that begin with `under`.

        Take what is needed before anything is waited for: the names may be others afterwards.
        """
        at = max(bisect_right(self._names, name), bisect_left(self._names, under))
        while at < len(self._names) and self._names[at].startswith(under):
            yield self._names[at]
            at += 1


class Tally(Generic[M]):
    """Counts documents by a word of each, such as live jobs by their party."""

    def __init__(self, word: Callable[[M], str]) -> None:
        """`word` says where a document counts; the empty word counts nowhere."""
        self._word = word
        self._words: dict[str, str] = {}
        self._counts: Counter[str] = Counter()

    def __getitem__(self, word: str) -> int:
        """How many count under a word."""
        return self._counts[word]

    def apply(self, changes: Sequence[Changed[M]]) -> None:
        """Count anew what changed."""
        for change in changes:
            before = self._words.pop(change.name, "")
            after = "" if change.held is None else self._word(change.held.message)
            if before:
                self._counts[before] -= 1
                if not self._counts[before]:
                    del self._counts[before]
            if after:
                self._words[change.name] = after
                self._counts[after] += 1


class Groups(Generic[M]):
    """Documents by a word of each, such as the pools of a site."""

    def __init__(self, word: Callable[[Held[M]], str]) -> None:
        """`word` says to which group a document belongs; the empty word to none."""
        self._word = word
        self._words: dict[str, str] = {}
        self._groups: dict[str, dict[str, Held[M]]] = {}

    def __getitem__(self, word: str) -> dict[str, Held[M]]:
        """The documents of a group by name; shared, so read it only."""
        return self._groups.get(word, {})

    def apply(self, changes: Sequence[Changed[M]]) -> None:
        """Put what changed where it belongs now."""
        for change in changes:
            before = self._words.pop(change.name, "")
            after = "" if change.held is None else self._word(change.held)
            if before and before != after:
                self._leave(before, change.name)
            if after and change.held is not None:
                self._words[change.name] = after
                self._groups.setdefault(after, {})[change.name] = change.held

    def _leave(self, word: str, name: str) -> None:
        group = self._groups[word]
        del group[name]
        if not group:
            del self._groups[word]
