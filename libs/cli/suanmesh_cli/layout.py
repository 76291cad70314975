"""Tables and facts as lines of text: what a column is, and which columns a terminal has room for.

A value is never cut. Where there is no room, columns of the highest rank go first; sentences fold. What even then does
not fit stands on lines of its own below its row: sentences first, then the rightmost of the others.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rich.cells import cell_len

from suanmesh_cli.values import Cell

KEPT: Final = 0
"""Rank of a column that never goes: names, states, obstacles, money."""
GAP: Final = "  "
FOLD_CELLS_MIN: Final = 28
"""Narrowest a sentence is folded to."""
BELOW: Final = "    "
_WIDE = (
    "\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe4f\uff00-\uff60\uffe0-\uffe6\U00020000-\U0003fffd"
)
_COMMAND = rf"[^\s`{_WIDE}]*`[^`]+`[^\s`{_WIDE}]*"
"""A command within a sentence: it is copied as a whole."""
_WORD = re.compile(rf"\s+|{_COMMAND}|[{_WIDE}][，。；：、）”！？]*|[^\s{_WIDE}]+")


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table: the only place that says what it shows and how much it matters."""

    title: str
    """In English and capitals; its Chinese stands in `titles.py`."""
    value: Callable[[Any], Cell]
    """What it shows of an item: a text, or a value that knows how it is shown, sorted and exported."""
    rank: int = KEPT
    """KEPT, or how soon it goes where there is no room: the highest first, of equals the rightmost."""
    fold: bool = False
    """Whether it holds a sentence, which may take several lines."""
    for_programs: bool = False
    """Whether CSV alone has it, since people read it in another column: the currency of an amount, a unit."""


@dataclass(frozen=True, slots=True)
class Grid:
    """A table as texts, each row and `footer` as long as `titles`."""

    titles: Sequence[str]
    rows: Sequence[Sequence[str]]
    ranks: Sequence[int]
    folds: Sequence[bool]
    rights: Sequence[bool]
    footer: Sequence[str] | None = None
    emphasised: frozenset[int] = frozenset()
    """Rows to stand out."""


def lines(grid: Grid, width: int | None, *, headers: bool = True, bold: Callable[[str], str] = str) -> list[str]:
    """The table's lines, none wider than `width` cells unless values that are never cut are."""
    everything = [grid.titles, *grid.rows, *([grid.footer] if grid.footer else [])]
    natural = [max(cell_len(row[index]) for row in everything) for index in range(len(grid.titles))]
    shown, below = fitting(natural, grid, width)
    widths = _widths(natural, grid, shown, width)
    made = [bold(each) for each in _row(grid.titles, grid, shown, widths)] if headers else []
    for number, row in enumerate(grid.rows):
        told = _row(row, grid, shown, widths)
        for index in below:
            told += _below(grid.titles[index], row[index], (width or 0) - len(BELOW), sentence=grid.folds[index])
        made += map(bold, told) if number in grid.emphasised else told
    return made + (_row(grid.footer, grid, shown, widths) if grid.footer else [])


def fitting(natural: Sequence[int], grid: Grid, width: int | None) -> tuple[list[int], list[int]]:
    """The columns that stand side by side, and those that stand below their row, by index."""
    shown = list(range(len(natural)))
    if width is None:
        return shown, []
    least = [_least(grid, index, width) if grid.folds[index] else natural[index] for index in shown]

    def room_lacks(columns: Sequence[int]) -> bool:
        return sum(least[index] for index in columns) + len(GAP) * (len(columns) - 1) > width

    below: list[int] = []
    while room_lacks(shown) and len(shown) > 1:
        lesser = [index for index in shown if grid.ranks[index] > KEPT]
        if lesser:
            shown.remove(max(lesser, key=lambda index: (grid.ranks[index], index)))
        else:
            below.append(max(shown[1:], key=lambda index: (grid.folds[index], index)))
            shown.remove(below[-1])
    return shown, sorted(below)


def folded(text: str, width: int) -> list[str]:
    """`text` in lines of at most `width` cells; a word that is longer stays whole."""
    made, line, used = [], "", 0
    for word in _WORD.findall(text):
        size = cell_len(word)
        if used + size > width and line.strip():
            made.append(line.rstrip())
            line, used = "", 0
        if line or not word.isspace():
            line, used = line + word, used + size
    return [*made, line.rstrip()] if line.strip() or not made else made


def hanging(text: str, width: int) -> list[str]:
    """Lines folded to at most `width` cells; what a line goes on with stands further in than it began."""
    made = []
    for line in text.split("\n"):
        begin = line[: len(line) - len(line.lstrip(" "))]
        first, *more = folded(line, width - len(begin) - len(BELOW)) if cell_len(line) > width else [line]
        made += [begin + first.lstrip(" "), *(begin + BELOW + each for each in more)]
    return made


def facts(pairs: Iterable[tuple[str, str]], width: int | None, bold: Callable[[str], str] = str) -> list[str]:
    """Names and values, one a line; empty values are left out, long ones fold at spaces."""
    told = [(name, value) for name, value in pairs if value]
    left = max((cell_len(name) for name, _ in told), default=0)
    made = []
    for name, value in told:
        first, *more = folded(value, width - left - len(GAP)) if width is not None else [value]
        made.append(bold(_padded(name, left)) + GAP + first)
        made += [" " * left + GAP + line for line in more]
    return made


def _below(title: str, value: str, width: int, *, sentence: bool) -> list[str]:
    if not value:
        return []
    return [BELOW + line for line in folded(value if sentence or not title else f"{title}: {value}", width)]


def _least(grid: Grid, index: int, width: int) -> int:
    cells = [row[index] for row in grid.rows]
    longest = max((cell_len(cell) for cell in cells), default=0)
    word = max((cell_len(word) for cell in cells for word in _WORD.findall(cell)), default=0)
    return max(cell_len(grid.titles[index]), min(longest, max(min(FOLD_CELLS_MIN, width), word)))


def _widths(natural: Sequence[int], grid: Grid, shown: Sequence[int], width: int | None) -> dict[int, int]:
    widths = {index: natural[index] for index in shown}
    if width is not None:
        for index in (index for index in shown if grid.folds[index]):
            over = sum(widths.values()) + len(GAP) * (len(shown) - 1) - width
            widths[index] = max(_least(grid, index, width), widths[index] - max(over, 0))
    return widths


def _row(cells: Sequence[str], grid: Grid, shown: Sequence[int], widths: dict[int, int]) -> list[str]:
    """One row, which is several lines where a sentence folds."""
    columns = [folded(cells[index], widths[index]) if grid.folds[index] else [cells[index]] for index in shown]
    made = []
    for number in range(max((len(column) for column in columns), default=0)):
        parts = [
            _padded(column[number] if number < len(column) else "", widths[index], right=grid.rights[index])
            for index, column in zip(shown, columns, strict=True)
        ]
        made.append(GAP.join(parts).rstrip())
    return made


def _padded(text: str, width: int, *, right: bool = False) -> str:
    padding = " " * (width - cell_len(text))
    return padding + text if right else text + padding
