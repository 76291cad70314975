"""Pages of what a query finds: so many rows, and the token of those that follow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection, Row, Select, select

from suanmesh_accounting.domain.queries import Cut, Page
from suanmesh_kernel import pages

T = TypeVar("T")


def by_id(table: Any, after: str) -> Select[Any]:
    """The rows of a table beyond the one whose place is `after`, in the order they were made."""
    return select(table).where(table.c.id > pages.as_number(after)).order_by(table.c.id)


def place_of_id(row: Row[Any]) -> str:
    """The place of a row in that order."""
    return f"{row.id:0{pages.NUMBER_DIGITS}d}"


def page_of(
    c: Connection, query: Select[Any], cut: Cut, place: Callable[[Row[Any]], str], value: Callable[[Row[Any]], T]
) -> Page[T]:
    """As many rows as the cut wants, each as `value` makes it; `place` says where the next page begins."""
    rows: Sequence[Row[Any]] = c.execute(query.limit(cut.size + 1)).all()
    places, token = pages.cut((place(row) for row in rows), cut.size, cut.scope)
    return Page(tuple(value(row) for row in rows[: len(places)]), token)
