"""Reading a filter: text in, a tree of comparisons out (AIP-160).

    filter   = [ expr ]
    expr     = either { "AND" either }            AND binds looser than OR, as AIP-160 has it
    either   = term { "OR" term }
    term     = [ "NOT" | "-" ] ( "(" expr ")" | comparison )
    comparison = field ( "=" | "!=" | "<" | "<=" | ">" | ">=" | ":" ) value
    value    = text | 'text' | "text" | number

Bare words, functions and adjacency without AND are refused rather than guessed at.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from suanmesh_kernel.refusals import InvalidArgument

FILTER_LENGTH_MAX = 2_000
DEPTH_MAX = 16
COMPARISONS_MAX = 64

_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<operator><=|>=|!=|=|<|>|:)
      | (?P<bracket>[()])
      | (?P<quoted>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<word>-?[A-Za-z0-9_.*/+][A-Za-z0-9_.*/+@-]*)
      | (?P<minus>-)""",
    re.VERBOSE,
)
_ESCAPED = re.compile(r"\\(.)")
_PATH = re.compile(r"[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)*")


@dataclass(frozen=True, slots=True)
class Comparison:
    """`path operator value`; `quoted` tells `"12"` from `12`; columns count from 1."""

    path: str
    operator: str
    value: str
    quoted: bool
    column: int
    value_column: int


@dataclass(frozen=True, slots=True)
class And:
    """All of them hold."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one of them holds."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """It does not hold."""

    part: Expression


Expression = Comparison | And | Or | Not


def parsed(text: str) -> Expression:
    """The tree of `text`; an empty filter is an `And` of nothing, which always holds.

    Raises InvalidArgument (`FILTER_INVALID`) with the fact `column`.
    """
    if len(text) > FILTER_LENGTH_MAX:
        raise invalid(FILTER_LENGTH_MAX + 1, f"a filter has at most {FILTER_LENGTH_MAX} characters")
    reader = _Reader(_tokens(text))
    if reader.peek().kind == "end":
        return And(())
    term = reader.expression(0)
    if reader.peek().kind != "end":
        raise invalid(reader.peek().column, f"expected AND, OR or the end, not {reader.peek().text!r}")
    return term


def invalid(column: int, problem: str) -> InvalidArgument:
    """A filter's refusal, which says where."""
    message = f"filter, column {column}: {problem}"
    return InvalidArgument("FILTER_INVALID", message, domain="mesh.suanmesh", field="filter", column=column)


@dataclass(frozen=True, slots=True)
class _Lexeme:
    kind: str
    text: str
    column: int


def _tokens(text: str) -> list[_Lexeme]:
    tokens, position = [], 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            raise invalid(position + 1, f"cannot read {text[position : position + 20]!r}")
        if match.lastgroup != "space":
            tokens.append(_Lexeme(match.lastgroup, match.group(), position + 1))
        position = match.end()
    tokens.append(_Lexeme("end", "the end", len(text) + 1))
    return tokens


class _Reader:
    """Recursive descent over the tokens, bounded in depth and number of comparisons."""

    def __init__(self, tokens: list[_Lexeme]) -> None:
        self._tokens = tokens
        self._at = 0
        self._comparisons = 0

    def peek(self) -> _Lexeme:
        return self._tokens[self._at]

    def _take(self) -> _Lexeme:
        token = self._tokens[self._at]
        self._at += token.kind != "end"
        return token

    def _takes(self, kind: str, *texts: str) -> bool:
        taken = self.peek().kind == kind and self.peek().text in texts
        self._at += taken
        return taken

    def expression(self, depth: int) -> Expression:
        parts = [self._either(depth)]
        while self._takes("word", "AND"):
            parts.append(self._either(depth))
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _either(self, depth: int) -> Expression:
        parts = [self._term(depth)]
        while self._takes("word", "OR"):
            parts.append(self._term(depth))
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _term(self, depth: int) -> Expression:
        if depth > DEPTH_MAX:
            raise invalid(self.peek().column, f"nested deeper than {DEPTH_MAX}")
        if self._takes("word", "NOT") or self._takes("minus", "-"):
            return Not(self._term(depth + 1))
        if not self._takes("bracket", "("):
            return self._comparison()
        inner = self.expression(depth + 1)
        if not self._takes("bracket", ")"):
            raise invalid(self.peek().column, f"expected a closing parenthesis, not {self.peek().text!r}")
        return inner

    def _comparison(self) -> Expression:
        field = self._take()
        if field.kind != "word" or field.text in ("AND", "OR", "NOT"):
            raise invalid(field.column, f"expected a field, not {field.text!r}")
        if field.text.startswith("-"):
            return Not(self._compared(_Lexeme("word", field.text[1:], field.column + 1)))
        return self._compared(field)

    def _compared(self, field: _Lexeme) -> Comparison:
        if not _PATH.fullmatch(field.text):
            raise invalid(field.column, f"{field.text!r} is not a field's name")
        operator, value = self._take(), self._take()
        if operator.kind != "operator":
            raise invalid(operator.column, f"expected an operator after {field.text}, not {operator.text!r}")
        if value.kind not in ("word", "quoted"):
            raise invalid(value.column, f"expected a value, not {value.text!r}")
        self._comparisons += 1
        if self._comparisons > COMPARISONS_MAX:
            raise invalid(field.column, f"more than {COMPARISONS_MAX} comparisons")
        quoted = value.kind == "quoted"
        text = _ESCAPED.sub(r"\1", value.text[1:-1]) if quoted else value.text
        return Comparison(field.text, operator.text, text, quoted, field.column, value.column)
