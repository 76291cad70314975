"""Fields that a filter may name, and what a comparison asks of their values.

Two values, as AIP-160 has it: what is absent equals nothing, is unequal to everything, is neither smaller nor larger.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from enum import Enum

from suanmesh_kernel.filter_terms import And, Comparison, Expression, Not, Or, invalid, parsed

Value = str | int
"""A text or the name of a choice; a number, a flag as 0 or 1, a time in microseconds since 1970."""
Keeps = Callable[[Mapping[str, Value]], bool]
"""Whether a filter keeps what has these values, by path."""
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NUMBER_DIGITS_MAX = 30
"""Digits before or zeros behind the point of a number in a filter, so that it can be computed with."""
ANY_KEY = ".*"
"""Ends the path of a map's field: `labels.*` has a value at `labels.team`."""


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
    collection: str = ""
    """Of the names that a text is one of: they may be written without it, as `a` for `sites/a`, and where it is within
    others without those too: of `sites/*/pools`, `a/cpu`.
    """

    @property
    def is_text(self) -> bool:
        """Whether its values are texts; others are numbers."""
        return self.kind in (FieldKind.TEXT, FieldKind.CHOICE)

    def named(self, term: Comparison) -> str:
        """The text that a term compares with, a name with its collection."""
        whole = term.operator in ("=", "!=") or (term.operator == ":" and self.repeated)
        if not (self.collection and whole) or "*" in term.value:
            return term.value
        collections, parts = self.collection.split("/*/"), term.value.split("/")
        if len(parts) != len(collections) or not all(parts):
            return term.value
        return "/".join(f"{collection}/{part}" for collection, part in zip(collections, parts, strict=True))


@dataclass(frozen=True, slots=True)
class Present:
    """There is a value."""


@dataclass(frozen=True, slots=True)
class Equal:
    """The text is this one."""

    text: str


@dataclass(frozen=True, slots=True)
class Pattern:
    """The text begins with `head` and ends, behind that, with `tail`."""

    head: str
    tail: str


@dataclass(frozen=True, slots=True)
class Contains:
    """The text has this one within it."""

    text: str


@dataclass(frozen=True, slots=True)
class Between:
    """The number is none of those below `least` or above `most`."""

    least: int
    most: int


Condition = Present | Equal | Pattern | Contains | Between
NO_NUMBER = Between(1, 0)


def predicate(text: str, fields: Mapping[str, Field]) -> Keeps:
    """What `text` keeps, one by one; none of the fields repeats.

    Raises InvalidArgument (`FILTER_INVALID`) as `condition_of` does.
    """
    return _predicate(parsed(text), fields)


def condition_of(term: Comparison, fields: Mapping[str, Field]) -> Condition:
    """What a value must meet; for `!=`, what none must.

    Raises InvalidArgument (`FILTER_INVALID`) with the fact `column`: an unknown field, an operator or a value that its
    kind of field does not have.
    """
    field = fields.get(term.path) or fields.get(term.path.rpartition(".")[0] + ANY_KEY)
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
                return _text(field.named(term), within=term.operator == ":" and not field.repeated)
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


def meets(value: Value, condition: Condition) -> bool:
    """Whether a value is as the condition asks."""
    match condition:
        case Present():
            return True
        case Between(least, most):
            return isinstance(value, int) and least <= value <= most
        case Equal(text):
            return value == text
        case Contains(text):
            return text in str(value)
        case Pattern(head, tail):
            text = str(value)
            return len(text) >= len(head) + len(tail) and text.startswith(head) and text.endswith(tail)


def _predicate(term: Expression, fields: Mapping[str, Field]) -> Keeps:
    match term:
        case And(parts):
            every = tuple(_predicate(part, fields) for part in parts)
            return lambda values: all(keeps(values) for keeps in every)
        case Or(parts):
            some = tuple(_predicate(part, fields) for part in parts)
            return lambda values: any(keeps(values) for keeps in some)
        case Not(part):
            inner = _predicate(part, fields)
            return lambda values: not inner(values)
        case Comparison():
            path, condition, differs = term.path, condition_of(term, fields), term.operator == "!="
            return lambda values: (path in values and meets(values[path], condition)) != differs


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
    return Between(int(bound), int(bound)) if bound == int(bound) else NO_NUMBER


def _number(text: str) -> Decimal:
    number = Decimal(text)
    if not number.is_finite() or abs(number.adjusted()) > NUMBER_DIGITS_MAX:
        raise ValueError("not a number that a field can hold")
    return number


def _microseconds(text: str) -> int:
    time = datetime.fromisoformat(text)
    return ((time if time.tzinfo else time.replace(tzinfo=UTC)) - EPOCH) // timedelta(microseconds=1)


def _within_map(path: str, fields: Mapping[str, Field]) -> list[str]:
    """The same as a key, such as `labels.team` for `team`."""
    return [known.removesuffix(ANY_KEY) + f".{path}" for known in fields if known.endswith(ANY_KEY)][:1]


def _nearest(path: str, fields: Mapping[str, Field]) -> str:
    tail = path.rpartition(".")[2]
    near = sorted(known for known in fields if known.rpartition(".")[2] == tail)[:3]
    near = near or difflib.get_close_matches(path, fields, n=1) or _within_map(path, fields)
    return f"; did you mean {', '.join(near)}" if near else ""
