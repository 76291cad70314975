"""How many documents of a kind there are, counted as they change instead of walked through."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Generic

from google.protobuf.message import Message

from suanmesh_store.layout import M


class Tally(Generic[M]):
    """Counts documents by a word of each, such as live jobs by their party. A mirror keeps it up to date."""

    def __init__(self, word: Callable[[M], str]) -> None:
        """`word` says where a document counts; the empty word counts nowhere."""
        self._word = word
        self._words: dict[str, str] = {}
        self._counts: Counter[str] = Counter()

    def __getitem__(self, word: str) -> int:
        """How many count under a word."""
        return self._counts[word]

    def note(self, name: str, message: Message | None) -> None:
        """Take note of a document as it is now; None where it is gone."""
        before = self._words.pop(name, "")
        after = "" if message is None else self._word(message)  # type: ignore[arg-type]
        if before:
            self._counts[before] -= 1
            if not self._counts[before]:
                del self._counts[before]
        if after:
            self._words[name] = after
            self._counts[after] += 1
