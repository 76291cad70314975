"""Filters: a text compiled to the rows it keeps, checked against the fields there really are.

Two values, as AIP-160 has it: what is absent equals nothing, is unequal to everything, is neither smaller nor larger.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import reduce
from typing import Protocol

import numpy as np

from suanmesh_registry.domain.columns import (
    INT64_MAX,
    INT64_MIN,
    Between,
    Condition,
    Contains,
    Equal,
    Field,
    FieldKind,
    Mask,
    Pattern,
    Present,
)
from suanmesh_registry.domain.filter_terms import And, Comparison, Not, Or, Term, invalid, parsed

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NUMBER_DIGITS_MAX = 30
"""Digits before or zeros behind the point of a number in a filter, so that it can be computed with."""
_NO_NUMBER = Between(1, 0)


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


def _filter(term: Term, fields: Mapping[str, Field]) -> Filter:
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
            path, condition = term.path, _condition(term, fields)
            if term.operator == "!=":
                return lambda columns: ~columns.matching(path, condition)
            return lambda columns: columns.matching(path, condition)


def _condition(term: Comparison, fields: Mapping[str, Field]) -> Condition:
    """What a value must meet; for `!=`, what none must."""
    field = fields.get(term.path)
    if field is None:
        raise invalid(term.column, f"there is no field {term.path!r}{_nearest(term.path, fields)}")
    if term.operator == ":" and term.value == "*" and not term.quoted:
        return Present()
    if field.repeated and term.operator != ":":
        raise invalid(term.column, f"{term.path} repeats; ask `{term.path}:value` whether it has one")
    if term.operator in ("<", "<=", ">", ">=") and field.kind not in (FieldKind.NUMBER, FieldKind.TIME):
        raise invalid(term.column, f"{term.path} is {field.kind.value}, which has no order")
    problem = f"{term.path} is {field.kind.value}, which {term.value[:40]!r} is not"
    try:
        match field.kind:
            case FieldKind.TEXT:
                return _text(term.value, within=term.operator == ":" and not field.repeated)
            case FieldKind.NUMBER:
                return _between(term.operator, _number(term.value))
            case FieldKind.TIME:
                return _between(term.operator, Decimal(_microseconds(term.value)))
            case FieldKind.FLAG:
                return _between("=", Decimal({"true": 1, "false": 0}[term.value]))
            case FieldKind.CHOICE:
                if term.value in field.choices:
                    return Equal(term.value)
                problem = f"{term.path} is one of {', '.join(sorted(field.choices))}"
    except (KeyError, ValueError, OverflowError, InvalidOperation):
        pass
    raise invalid(term.value_column, problem)


def _text(wanted: str, *, within: bool) -> Condition:
    """`:` asks of a single text whether it has the wanted one within it; else one `*` stands for anything."""
    if within:
        return Contains(wanted)
    head, star, tail = wanted.partition("*")
    return Pattern(head, tail) if star and "*" not in tail else Equal(wanted)


def _between(sign: str, bound: Decimal) -> Between:
    """The whole numbers that stand so to the bound."""
    match sign:
        case "<":
            return Between(INT64_MIN, math.ceil(bound) - 1)
        case "<=":
            return Between(INT64_MIN, math.floor(bound))
        case ">":
            return Between(math.floor(bound) + 1, INT64_MAX)
        case ">=":
            return Between(math.ceil(bound), INT64_MAX)
    return Between(int(bound), int(bound)) if bound == int(bound) else _NO_NUMBER


def _number(text: str) -> Decimal:
    number = Decimal(text)
    if not number.is_finite() or abs(number.adjusted()) > NUMBER_DIGITS_MAX:
        raise ValueError("not a number that a field can hold")
    return number


def _microseconds(text: str) -> int:
    time = datetime.fromisoformat(text)
    return ((time if time.tzinfo else time.replace(tzinfo=UTC)) - EPOCH) // timedelta(microseconds=1)


def _nearest(path: str, fields: Mapping[str, Field]) -> str:
    tail = path.rpartition(".")[2]
    near = sorted(known for known in fields if known.rpartition(".")[2] == tail)[:3]
    return f"; did you mean {', '.join(near)}" if near else ""
