"""Columns: the values of many rows as NumPy arrays, so that a condition is decided for all of them at once.

A `Table` has one column for each field a filter may name, and rows numbered from 0. Texts are kept as codes of a
vocabulary of their column; values of repeated fields lie one behind the other, each with the number of its row.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from array import array
from collections.abc import Iterator, Mapping, Sequence
from itertools import repeat
from operator import contains
from typing import Literal, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from suanmesh_kernel.filter_fields import (
    INT64_MAX,
    INT64_MIN,
    Between,
    Condition,
    Contains,
    Equal,
    Field,
    Pattern,
    Present,
    Value,
)

Mask = npt.NDArray[np.bool_]
S = TypeVar("S", bound=np.generic)
ROWS_MIN = 64
"""Rows that a table begins with room for; it doubles when they are taken."""
WASTE_MIN = 4096
"""Values that are no longer anybody's, from which on a column is packed anew once they are half of it."""
REMEMBERED_MAX = 16
"""Conditions of which a column remembers which texts meet them."""
ABSENT = 0
"""Code of the text that is not there."""


class Table:
    """Columns of some fields."""

    def __init__(self, fields: Mapping[str, Field]) -> None:
        """Begin without a row; cells are given in the order of `fields`."""
        self._columns: dict[str, _Column] = {path: _column(field) for path, field in fields.items()}
        self._blank: tuple[tuple[Value, ...], ...] = tuple(() for _ in fields)
        self._filled = bytearray()
        self._room = 0

    def put(self, row: int, cells: Sequence[Sequence[Value]]) -> None:
        """Let a row have these values: for each field none, one, or where it repeats any number."""
        if row >= self._room:
            self._grow(row)
        for column, values in zip(self._columns.values(), cells, strict=True):
            if values or self._filled[row]:
                column.put(row, values)
        self._filled[row] = 1

    def clear(self, row: int) -> None:
        """Let a row have no values."""
        if row < self._room and self._filled[row]:
            self.put(row, self._blank)
            self._filled[row] = 0

    def matching(self, path: str, condition: Condition, rows: int) -> Mask:
        """Which of the first `rows` rows have a value at `path` that meets the condition."""
        if rows > self._room:
            self._grow(rows - 1)
        return self._columns[path].matching(condition, rows)

    def _grow(self, row: int) -> None:
        room = max(ROWS_MIN, 2 * self._room, row + 1)
        for column in self._columns.values():
            column.grow(room - self._room)
        self._filled.extend(bytes(room - self._room))
        self._room = room


class _Column(Protocol):
    def grow(self, more: int) -> None:
        """Have room for so many more rows, without values."""

    def put(self, row: int, values: Sequence[Value]) -> None:
        """Replace the values of a row."""

    def matching(self, condition: Condition, rows: int) -> Mask:
        """Which rows have a value that meets the condition."""


def _column(field: Field) -> _Column:
    if field.repeated:
        return _TextLists() if field.is_text else _NumberLists()
    return _Texts() if field.is_text else _Numbers()


class _Texts:
    """At most one text a row, as its code."""

    def __init__(self) -> None:
        self._codes = array("i")
        self._words = _Vocabulary()

    def grow(self, more: int) -> None:
        self._codes.frombytes(bytes(self._codes.itemsize * more))

    def put(self, row: int, values: Sequence[Value]) -> None:
        before = self._codes[row]
        text = str(values[0]) if values else ""
        if text != self._words.texts[before]:
            self._codes[row] = self._words.take(text) if text else ABSENT
            self._words.drop(before)

    def matching(self, condition: Condition, rows: int) -> Mask:
        return self._words.fitting(condition, np.frombuffer(self._codes, np.int32, rows))


class _Numbers:
    """At most one number a row."""

    def __init__(self) -> None:
        self._values = array("q")
        self._there = array("b")

    def grow(self, more: int) -> None:
        self._values.frombytes(bytes(self._values.itemsize * more))
        self._there.frombytes(bytes(more))

    def put(self, row: int, values: Sequence[Value]) -> None:
        self._there[row] = bool(values)
        if values:
            self._values[row] = int(values[0])

    def matching(self, condition: Condition, rows: int) -> Mask:
        there = np.frombuffer(self._there, np.bool_, rows)
        if condition == Present():
            return there.copy()
        return there & _within(np.frombuffer(self._values, np.int64, rows), condition)


class _Lists(ABC):
    """Any number of values a row: they lie together, and those of a row that has others than before at the end."""

    def __init__(self, kind: Literal["i", "q"]) -> None:
        self._starts = array("i")
        self._counts = array("i")
        self._values = array(kind)
        self._rows = array("i")
        self._wasted = 0

    def grow(self, more: int) -> None:
        for each in (self._starts, self._counts):
            each.frombytes(bytes(each.itemsize * more))

    def matching(self, condition: Condition, rows: int) -> Mask:
        if condition == Present():
            return np.frombuffer(self._counts, np.int32, rows) > 0
        mask = np.zeros(rows, np.bool_)
        if self._rows:
            owners = np.frombuffer(self._rows, np.int32)
            met = owners[self._fits(condition)]
            mask[met[met >= 0]] = True
        return mask

    @abstractmethod
    def _fits(self, condition: Condition) -> Mask:
        """Which values meet the condition."""

    def _replace(self, row: int, values: Sequence[int]) -> None:
        start, count = self._starts[row], self._counts[row]
        if len(values) == count:
            for at, value in enumerate(values, start):
                self._values[at] = value
            return
        for at in range(start, start + count):
            self._rows[at] = -1
        self._wasted += count
        if self._wasted >= max(WASTE_MIN, len(self._values) // 2):
            self._pack()
        self._starts[row], self._counts[row] = len(self._values), len(values)
        self._values.extend(values)
        self._rows.extend(repeat(row, len(values)))

    def _pack(self) -> None:
        """Give up the room of values that are nobody's."""
        kept = np.frombuffer(self._rows, np.int32) >= 0
        owners = np.frombuffer(self._rows, np.int32)[kept]
        values = np.frombuffer(self._values, f"i{self._values.itemsize}")[kept]
        begins = np.flatnonzero(np.diff(owners, prepend=-1))
        np.frombuffer(self._starts, np.int32)[owners[begins]] = begins
        self._rows, self._values = array("i", owners.tobytes()), array(self._values.typecode, values.tobytes())
        self._wasted = 0


class _TextLists(_Lists):
    def __init__(self) -> None:
        super().__init__("i")
        self._words = _Vocabulary()

    def put(self, row: int, values: Sequence[Value]) -> None:
        start, count = self._starts[row], self._counts[row]
        if not values and not count:
            return
        before = self._values[start : start + count]
        self._replace(row, [self._words.take(str(value)) for value in values])
        for code in before:
            self._words.drop(code)

    def _fits(self, condition: Condition) -> Mask:
        return self._words.fitting(condition, np.frombuffer(self._values, np.int32))


class _NumberLists(_Lists):
    def __init__(self) -> None:
        super().__init__("q")

    def put(self, row: int, values: Sequence[Value]) -> None:
        if values or self._counts[row]:
            self._replace(row, [int(value) for value in values])

    def _fits(self, condition: Condition) -> Mask:
        return _within(np.frombuffer(self._values, np.int64), condition)


class _Vocabulary:
    """The texts of a column, each once, with a code; one that nobody uses any more gives its code to the next."""

    def __init__(self) -> None:
        self._codes: dict[str, int] = {}
        self.texts = [""]
        self._met: dict[Pattern | Contains, Mask] = {}
        self._uses = array("i", [0])
        self._free: list[int] = []

    def take(self, text: str) -> int:
        """The code of a text for one more who uses it."""
        code = self._codes.get(text)
        if code is None:
            code = self._codes[text] = self._new(text)
        self._uses[code] += 1
        return code

    def drop(self, code: int) -> None:
        """One who used it does so no more."""
        if code == ABSENT:
            return
        self._uses[code] -= 1
        if not self._uses[code]:
            self._met.clear()
            del self._codes[self.texts[code]]
            self.texts[code] = ""
            self._free.append(code)

    def fitting(self, condition: Condition, codes: npt.NDArray[np.int32]) -> Mask:
        """Which of the codes stand for a text that meets the condition."""
        match condition:
            case Present():
                return np.not_equal(codes, ABSENT)
            case Equal(text):
                return np.equal(codes, self._codes.get(text, -1))
            case Pattern() | Contains():
                return np.take(self._tested(condition), codes)
        raise TypeError(f"a text is not {condition}")

    def _tested(self, condition: Pattern | Contains) -> Mask:
        """Which texts meet the condition; what was asked last is remembered until there is a text more or less."""
        known = self._met.get(condition)
        if known is None:
            known = np.frombuffer(bytearray(_tests(condition, self.texts)), np.bool_)
            known[ABSENT] = False
            if len(self._met) >= REMEMBERED_MAX:
                self._met.clear()
            self._met[condition] = known
        return known

    def _new(self, text: str) -> int:
        self._met.clear()
        if self._free:
            code = self._free.pop()
            self.texts[code] = text
            return code
        self.texts.append(text)
        self._uses.append(0)
        return len(self.texts) - 1


def _tests(condition: Pattern | Contains, texts: Sequence[str]) -> Iterator[bool]:
    match condition:
        case Contains(text):
            return map(contains, texts, repeat(text))
        case Pattern(head, ""):
            return map(str.startswith, texts, repeat(head))
        case Pattern("", tail):
            return map(str.endswith, texts, repeat(tail))
        case Pattern(head, tail):
            least = len(head) + len(tail)
            return (len(t) >= least and t.startswith(head) and t.endswith(tail) for t in texts)


def _within(values: npt.NDArray[np.int64], condition: Condition) -> Mask:
    match condition:
        case Between(least, most):
            least, most = max(least, INT64_MIN), min(most, INT64_MAX)
            if least > most:
                return np.zeros(len(values), np.bool_)
            if least == most:
                return np.equal(values, least)
            below = values <= most
            return below if least == INT64_MIN else below & (values >= least)
    raise TypeError(f"a number is not {condition}")


def widened(values: npt.NDArray[S], room: int) -> npt.NDArray[S]:
    """The array, with room for at least so many in its last dimension."""
    if room <= values.shape[-1]:
        return values
    room = max(room, ROWS_MIN, 2 * values.shape[-1])
    wide = np.zeros((*values.shape[:-1], room), values.dtype)
    wide[..., : values.shape[-1]] = values
    return wide
