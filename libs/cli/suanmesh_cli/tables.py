"""Items under columns: which are shown, in what order, and as what."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeVar

from suanmesh_cli import layout, titles, values
from suanmesh_cli.layout import Column, Grid
from suanmesh_cli.output import View
from suanmesh_cli.usage import Misuse
from suanmesh_cli.values import Cell
from suanmesh_kernel.texts import Text

T = TypeVar("T")


def table(
    view: View,
    items: Sequence[Any],
    columns: Sequence[Column],
    *,
    footer: Sequence[Cell] | None = None,
    stands_out: Callable[[Any], bool] | None = None,
) -> list[str]:
    """The lines of a table without frames: easy on the eye, and on `awk`."""
    kept = _kept(view, columns)
    if footer is not None:
        footer = _foot(footer, columns, kept)
    cells = [[column.value(item) for column in kept] for item in items]
    grid = Grid(
        titles=[view.terminal.shown(titles.title(column.title, view.lang)) for column in kept],
        rows=[[view.words(cell) for cell in row] for row in cells],
        ranks=[layout.KEPT if view.columns else column.rank for column in kept],
        folds=[column.fold for column in kept],
        rights=[any(values.is_number(row[index]) for row in cells) for index in range(len(kept))],
        footer=None if footer is None else [view.words(cell) for cell in footer],
        emphasised=frozenset(number for number, item in enumerate(items) if stands_out and stands_out(item)),
    )
    return layout.lines(grid, view.width, headers=view.headers, bold=view.bold)


def ordered(view: View, items: Sequence[T], columns: Sequence[Column]) -> list[T]:
    """The items as `--sort` wants them; as they came without."""
    found = list(items)
    for wanted in reversed(view.sort):
        column = _named(wanted.removeprefix("-"), columns)
        found.sort(key=_order(column), reverse=wanted.startswith("-"))
    return found


def exported(
    view: View, items: Sequence[Any], columns: Sequence[Column], *, footer: Sequence[Cell] | None = None
) -> Iterator[list[str]]:
    """A head, one row an item, and the foot: titles in lower case with `_`, bare numbers, times in UTC."""
    kept = _kept(view, columns)
    if view.headers:
        yield [key(column.title) for column in kept]
    for item in items:
        yield [values.exported(column.value(item), view.lang) for column in kept]
    if footer is not None:
        yield [values.exported(cell, view.lang) for cell in _foot(footer, columns, kept)]


def flattened(data: Mapping[str, Any], path: str = "") -> dict[str, Cell]:
    """The fields of nested data by their paths, such as `state_reason.code`; a list is one value, as JSON."""
    found: dict[str, Cell] = {}
    for name, value in data.items():
        if isinstance(value, Mapping):
            found |= flattened(value, f"{path}{name}.")
        elif isinstance(value, list | bool):
            found[path + name] = json.dumps(value, ensure_ascii=False)
        else:
            found[path + name] = "" if value is None else str(value)
    return found


def fields_of(rows: Sequence[Mapping[str, Cell]]) -> list[Column]:
    """A column for each field that some of the rows have, in the order in which they come first."""
    names = dict.fromkeys(name for row in rows for name in row)
    return [Column(name, lambda row, name=name: row.get(name, "")) for name in names]  # type: ignore[misc]


def key(title: str) -> str:
    """The name of a column on the command line and in CSV: `price_version` for `PRICE VERSION`."""
    return title.lower().replace(" ", "_").replace("-", "_")


def _order(column: Column) -> Callable[[Any], tuple[int, int | Decimal | str]]:
    return lambda item: values.order(column.value(item))


def _kept(view: View, columns: Sequence[Column]) -> Sequence[Column]:
    if view.columns:
        return [_named(name, columns) for name in view.columns]
    return [column for column in columns if view.form == "csv" or not column.for_programs]


def _foot(footer: Sequence[Cell], columns: Sequence[Column], kept: Sequence[Column]) -> list[Cell]:
    """The footer under the columns that are kept; its first word, what it is, stands wherever there is room."""
    cells = [footer[columns.index(column)] for column in kept]
    word = next((cell for cell in footer if cell != ""), "")
    if word not in cells and "" in cells:
        cells[cells.index("")] = word
    return cells


def _named(name: str, columns: Sequence[Column]) -> Column:
    known = {key(column.title): column for column in columns if column.title}
    known_zh = {titles.title(column.title, "zh"): column for column in columns if column.title}
    found = known.get(key(name)) or known_zh.get(name)
    if found is None:
        close = difflib.get_close_matches(key(name), known, n=1)
        there_are = ", ".join(known)
        raise Misuse(
            Text(
                f"There is no column {name!r}."
                + (f" Did you mean {close[0]!r}?" if close else "")
                + f" All: {there_are}",
                f"没有列 {name!r}。" + (f"是否指 {close[0]!r}？" if close else "") + f"全部：{there_are}",
            )
        )
    return found
