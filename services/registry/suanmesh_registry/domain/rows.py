"""Which row of the columns is whose, and in which order."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence

import numpy as np

MERGE_MIN = 64
"""From so many new rows on, sorting once is cheaper than inserting each."""


class Rows:
    """Numbers of rows by name; a row that nobody uses any more is the next one's."""

    def __init__(self) -> None:
        """Begin with none."""
        self._rows: dict[str, int] = {}
        self._uses: list[int] = []
        self._free: list[int] = []

    @property
    def used(self) -> int:
        """Rows that are or were somebody's: the highest number and one."""
        return len(self._uses)

    def get(self, name: str) -> int | None:
        """The row of a name."""
        return self._rows.get(name)

    def take(self, name: str) -> int:
        """The row of a name, for one more who uses it."""
        row = self._rows.get(name)
        if row is None:
            row = self._rows[name] = self._free.pop() if self._free else len(self._uses)
            if row == len(self._uses):
                self._uses.append(0)
        self._uses[row] += 1
        return row

    def leave(self, name: str) -> None:
        """One who used it does so no more."""
        row = self._rows[name]
        self._uses[row] -= 1
        if not self._uses[row]:
            del self._rows[name]
            self._free.append(row)


class Order:
    """Rows in the order of their names."""

    def __init__(self) -> None:
        """Begin with none."""
        self.names: list[str] = []
        self.rows = np.zeros(0, np.int32)

    def update(self, added: Mapping[str, int], removed: Sequence[str]) -> None:
        """Add rows whose names are not there, and remove names that are."""
        for name in removed:
            at = bisect_left(self.names, name)
            del self.names[at]
            self.rows = np.delete(self.rows, at)
        if len(added) < MERGE_MIN:
            for name, row in added.items():
                at = bisect_left(self.names, name)
                self.names.insert(at, name)
                self.rows = np.insert(self.rows, at, row)
            return
        rows = {**dict(zip(self.names, self.rows.tolist(), strict=True)), **added}
        self.names = sorted(rows)
        self.rows = np.fromiter((rows[name] for name in self.names), np.int32, len(rows))
