"""Filters: which rows a read filter keeps, checked against the fields there really are."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Any

from suanmesh_registry.domain.filter_terms import Comparison, Every, Not, Some, Term, invalid, parsed

Value = str | int | bool | datetime
Row = Callable[[str], tuple[Value, ...]]
"""All values a row has at a path: none where it is absent, several where it repeats."""
Keeps = Callable[[Row], bool]

_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class FieldKind(Enum):
    """What a field's values are."""

    TEXT = "text"
    NUMBER = "number"
    FLAG = "true or false"
    TIME = "a time (RFC 3339)"
    CHOICE = "one of its names"


@dataclass(frozen=True, slots=True)
class Field:
    """A field that a filter may name."""

    kind: FieldKind
    repeated: bool = False
    choices: frozenset[str] = frozenset()


def planned(text: str, fields: Mapping[str, Field]) -> Keeps:
    """The predicate `text` stands for, over rows with `fields`.

    Raises InvalidArgument (`FILTER_INVALID`) with the fact `column`: unreadable, an unknown field, an operator or a
    value that its kind of field does not have.
    """
    return _plan(parsed(text), fields)


def _plan(term: Term, fields: Mapping[str, Field]) -> Keeps:
    match term:
        case Every(parts):
            every = tuple(_plan(part, fields) for part in parts)
            return lambda row: all(keeps(row) for keeps in every)
        case Some(parts):
            some = tuple(_plan(part, fields) for part in parts)
            return lambda row: any(keeps(row) for keeps in some)
        case Not(part):
            inner = _plan(part, fields)
            return lambda row: not inner(row)
        case Comparison():
            return _compare(term, fields)


def _compare(term: Comparison, fields: Mapping[str, Field]) -> Keeps:
    field = fields.get(term.path)
    if field is None:
        raise invalid(term.column, f"there is no field {term.path!r}{_nearest(term.path, fields)}")
    path = term.path
    if term.operator == ":" and term.value == "*" and not term.quoted:
        return lambda row: bool(row(path))
    if field.repeated and term.operator != ":":
        raise invalid(term.column, f"{path} repeats; ask `{path}:value` whether it has one")
    if term.operator in ("<", "<=", ">", ">=") and field.kind not in (FieldKind.NUMBER, FieldKind.TIME):
        raise invalid(term.column, f"{path} is {field.kind.value}, which has no order")
    matches = _matches(term, field)
    # An absent value equals nothing, is unequal to everything, and is neither smaller nor larger.
    absent = term.operator == "!="
    return lambda row: any(matches(value) for value in values) if (values := row(path)) else absent


def _matches(term: Comparison, field: Field) -> Callable[[Value], bool]:
    wanted = _value(term, field)
    if isinstance(wanted, str) and field.kind is FieldKind.TEXT:
        return _text_matches(term.operator, wanted, within=not field.repeated)
    compare = _ORDER["=" if term.operator == ":" else term.operator]
    return lambda value: compare(value, wanted)


def _text_matches(sign: str, wanted: str, *, within: bool) -> Callable[[Value], bool]:
    if sign == ":" and within:
        return lambda value: wanted in str(value)
    head, star, tail = wanted.partition("*")
    if not star or "*" in tail:
        return lambda value: (value == wanted) is (sign != "!=")
    length = len(head) + len(tail)

    def fits(value: Value) -> bool:
        text = str(value)
        return len(text) >= length and text.startswith(head) and text.endswith(tail)

    return lambda value: fits(value) is (sign != "!=")


def _value(term: Comparison, field: Field) -> str | Decimal | bool | datetime:
    problem = f"{term.path} is {field.kind.value}, which {term.value[:40]!r} is not"
    try:
        match field.kind:
            case FieldKind.TEXT:
                return term.value
            case FieldKind.NUMBER:
                return _number(term.value)
            case FieldKind.FLAG:
                return {"true": True, "false": False}[term.value]
            case FieldKind.TIME:
                return _time(term.value)
            case FieldKind.CHOICE:
                if term.value in field.choices:
                    return term.value
                problem = f"{term.path} is one of {', '.join(sorted(field.choices))}"
    except (KeyError, ValueError, InvalidOperation):
        pass
    raise invalid(term.value_column, problem)


def _number(text: str) -> Decimal:
    number = Decimal(text)
    if not number.is_finite() or abs(number.adjusted()) > 30:
        raise ValueError("not a number that a field can hold")
    return number


def _time(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _nearest(path: str, fields: Mapping[str, Field]) -> str:
    tail = path.rpartition(".")[2]
    near = sorted(known for known in fields if known.rpartition(".")[2] == tail)[:3]
    return f"; did you mean {', '.join(near)}" if near else ""
