"""Secrets of a job in what its tasks write: put out of sight as it comes. Standard library only, as the shim is."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

SHORTEST_BYTES = 8
"""What is shorter stands in logs by chance, and would make them unreadable."""
HIDDEN = b"***"


class Redactor:
    """Replaces values in a stream, also those that come in pieces.

    Found is a value as it is, without white space around it, and each line of one that has several. What a task has
    encoded, cut up or reversed is not.
    """

    def __init__(self, values: Iterable[bytes] = ()) -> None:
        words = {
            part
            for value in values
            for part in (value, value.strip(), *(line.strip() for line in value.splitlines()))
            if len(part) >= SHORTEST_BYTES
        }
        self._words = sorted(words, key=lambda word: (-len(word), word))
        self._any = re.compile(b"|".join(map(re.escape, self._words))) if words else None
        self._held = b""

    @classmethod
    def of(cls, folder: str) -> Redactor:
        """Of the files of a folder; of nothing where none is named. Raises OSError."""
        return cls(path.read_bytes() for path in sorted(Path(folder).iterdir())) if folder else cls()

    def take(self, content: bytes) -> bytes:
        """What may be shown now: the begin of what may become a value waits for what comes next."""
        if self._any is None:
            return content
        content = self._held + content
        shown, end = list[bytes](), 0
        begun = self._begun(content, 0)
        for found in self._any.finditer(content):
            if found.start() < begun < found.end():
                begun = self._begun(content, found.end())
            if found.start() >= begun:
                break
            shown += (content[end : found.start()], HIDDEN)
            end = found.end()
        shown.append(content[end:begun])
        self._held = content[begun:]
        return b"".join(shown)

    def rest(self) -> bytes:
        """What has waited, where nothing more comes."""
        held, self._held = self._held, b""
        return self._any.sub(HIDDEN, held) if self._any else held

    def _begun(self, content: bytes, after: int) -> int:
        """Where the first part at the end begins that is the begin of a value, `after` a place; the length for none."""
        first = len(content)
        for word in self._words:
            at = max(after, len(content) - len(word) + 1)
            while (at := content.find(word[:1], at, first)) >= 0:
                if word.startswith(content[at:]):
                    first = at
                    break
                at += 1
        return first
