"""Filters: what a search keeps, and how a wrong one is refused."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suanmesh_kernel.refusals import InvalidArgument
from suanmesh_registry.domain.filter_terms import Every, Some, parsed
from suanmesh_registry.domain.filters import Field, FieldKind, Row, Value, planned

FIELDS = {
    "name": Field(FieldKind.TEXT),
    "architecture": Field(FieldKind.TEXT),
    "engines": Field(FieldKind.TEXT, repeated=True),
    "phase": Field(FieldKind.CHOICE, choices=frozenset({"ACTIVE", "SUSPECT"})),
    "free.cpu_milli": Field(FieldKind.NUMBER),
    "create_time": Field(FieldKind.TIME),
    "shareable": Field(FieldKind.FLAG),
}


def a_row(**values: tuple[Value, ...]) -> Row:
    known = {key.replace("__", "."): value for key, value in values.items()}
    return lambda path: known.get(path, ())


ROW = a_row(
    name=("sites/a/pools/main",),
    architecture=("x86_64",),
    engines=("python3.11", "bash"),
    phase=("ACTIVE",),
    free__cpu_milli=(1500,),
    shareable=(True,),
)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("", True),
        ('architecture = "x86_64" AND free.cpu_milli >= 1000', True),
        ("architecture=aarch64", False),
        ("architecture != aarch64", True),
        ("NOT architecture = aarch64", True),
        ("-architecture = x86_64", False),
        ("free.cpu_milli > 1500", False),
        ("free.cpu_milli = 1500.0", True),
        ('engines:"python3.11"', True),
        ("engines:python3", False),
        ("architecture:86", True),
        ('name = "sites/a/*"', True),
        ('name = "*/main"', True),
        ('name != "sites/b/*"', True),
        ("phase = ACTIVE AND shareable = true", True),
        ("create_time:*", False),
        ("free.cpu_milli:*", True),
        ("NOT (phase = SUSPECT OR free.cpu_milli < 10)", True),
        # AIP-160: OR binds tighter than AND.
        ("phase = SUSPECT AND phase = SUSPECT OR phase = ACTIVE", False),
    ],
)
def test_a_filter_keeps_what_it_says(text: str, kept: bool) -> None:
    """Whoever searches must get every pool that fits and none that does not."""
    assert planned(text, FIELDS)(ROW) is kept


@pytest.mark.parametrize(
    ("text", "column", "part"),
    [
        ("colour = red", 1, "no field 'colour'"),
        ("cpu_milli >= 1", 1, "did you mean free.cpu_milli"),
        ('architecture = "x86_64" free.cpu_milli > 1', 25, "expected AND, OR or the end"),
        ("architecture =", 15, "expected a value"),
        ("architecture", 13, "expected an operator"),
        ("(phase = ACTIVE", 16, "closing parenthesis"),
        ("phase = BROKEN", 9, "one of ACTIVE, SUSPECT"),
        ("phase > ACTIVE", 1, "no order"),
        ("free.cpu_milli > many", 18, "number"),
        ("free.cpu_milli > 1e999999", 18, "number"),
        ("engines = bash", 1, "repeats"),
        ("shareable = 1", 13, "true or false"),
        ("create_time > yesterday", 15, "RFC 3339"),
        ('name = "unclosed', 8, "cannot read"),
        ("AND", 1, "expected a field"),
        ("-" * 40 + "phase = ACTIVE", 18, "nested deeper"),
        ("x" * 2001, 2001, "at most 2000"),
    ],
)
def test_a_wrong_filter_is_refused_where_it_is_wrong(text: str, column: int, part: str) -> None:
    """A typing error must not silently find nothing."""
    with pytest.raises(InvalidArgument) as caught:
        planned(text, FIELDS)

    assert caught.value.reason == "FILTER_INVALID"
    assert caught.value.facts["column"] == str(column)
    assert part in caught.value.message


def test_an_absent_value_is_neither_smaller_nor_larger() -> None:
    """A pool whose agent has not reported must not be taken for an idle or a full one."""
    silent = a_row(name=("sites/b/pools/main",))

    assert not planned("free.cpu_milli < 1", FIELDS)(silent)
    assert not planned("free.cpu_milli >= 0", FIELDS)(silent)
    assert planned("free.cpu_milli != 0", FIELDS)(silent)


def test_or_binds_tighter_than_and() -> None:
    """The language is AIP-160's; a reader who knows it elsewhere must not be surprised."""
    term = parsed("name = a AND name = b OR name = c")

    assert isinstance(term, Every)
    assert isinstance(term.parts[1], Some)


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    """A filter comes from strangers: nothing they type may be a defect of ours."""
    with suppress(InvalidArgument):
        planned(text, FIELDS)(ROW)
