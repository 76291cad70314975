"""Filters: a text compiled to the rows it keeps, checked against the fields there really are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from typing import Protocol

import numpy as np

from suanmesh_kernel.filter_fields import Condition, Field, condition_of
from suanmesh_kernel.filter_terms import And, Comparison, Expression, Not, Or, parsed
from suanmesh_registry.domain.columns import Mask


class Columns(Protocol):
    """Rows that a filter reads."""

    @property
    def rows(self) -> int:
        """How many there are."""

    def matching(self, path: str, condition: Condition) -> Mask:
        """Which rows have a value at `path` that meets the condition."""


Filter = Callable[[Columns], Mask]
"""Which rows it keeps."""


def planned(text: str, fields: Mapping[str, Field]) -> Filter:
    """What `text` keeps of rows with `fields`.

    Raises InvalidArgument (`FILTER_INVALID`) with the fact `column`: unreadable, an unknown field, an operator or a
    value that its kind of field does not have.
    """
    return _filter(parsed(text), fields)


def _filter(term: Expression, fields: Mapping[str, Field]) -> Filter:
    match term:
        case And(()):
            return lambda columns: np.ones(columns.rows, np.bool_)
        case And(parts):
            every = tuple(_filter(part, fields) for part in parts)
            return lambda columns: reduce(np.logical_and, (keeps(columns) for keeps in every))
        case Or(parts):
            some = tuple(_filter(part, fields) for part in parts)
            return lambda columns: reduce(np.logical_or, (keeps(columns) for keeps in some))
        case Not(part):
            inner = _filter(part, fields)
            return lambda columns: ~inner(columns)
        case Comparison():
            path, condition = term.path, condition_of(term, fields)
            if term.operator == "!=":
                return lambda columns: ~columns.matching(path, condition)
            return lambda columns: columns.matching(path, condition)
