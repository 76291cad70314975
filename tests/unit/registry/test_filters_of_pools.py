"""Filters: what a search keeps, and how a wrong one is refused."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suanmesh_kernel.filter_fields import Condition, Field, FieldKind, Value, condition_of
from suanmesh_kernel.filter_terms import And, Comparison, Or, parsed
from suanmesh_kernel.refusals import InvalidArgument
from suanmesh_registry.catalogue import fields
from suanmesh_registry.domain.columns import Mask, Table
from suanmesh_registry.domain.filters import planned

FIELDS = {
    "name": Field(FieldKind.TEXT),
    "architecture": Field(FieldKind.TEXT),
    "runtimes": Field(FieldKind.TEXT, repeated=True),
    "phase": Field(FieldKind.CHOICE, choices=frozenset({"ACTIVE", "SUSPECT"})),
    "free.cpu_milli": Field(FieldKind.NUMBER),
    "create_time": Field(FieldKind.TIME),
    "shareable": Field(FieldKind.FLAG),
}


class Row:
    """Columns with one row."""

    rows = 1

    def __init__(self, **values: tuple[Value, ...]) -> None:
        known = {key.replace("__", "."): value for key, value in values.items()}
        self._table = Table(FIELDS)
        self._table.put(0, [known.get(path, ()) for path in FIELDS])

    def matching(self, path: str, condition: Condition) -> Mask:
        return self._table.matching(path, condition, 1)


def keeps(text: str, row: Row) -> bool:
    return bool(planned(text, FIELDS)(row)[0])


ROW = Row(
    name=("sites/a/pools/main",),
    architecture=("x86_64",),
    runtimes=("python3.11", "bash"),
    phase=("ACTIVE",),
    free__cpu_milli=(1500,),
    shareable=(1,),
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
        ('runtimes:"python3.11"', True),
        ("runtimes:python3", False),
        ("architecture:86", True),
        ('name = "sites/a/*"', True),
        ('name = "*/main"', True),
        ('name != "sites/b/*"', True),
        ("phase = ACTIVE AND shareable = true", True),
        ("create_time:*", False),
        ("free.cpu_milli > 1499.5 AND free.cpu_milli < 1500.5", True),
        ("free.cpu_milli = 1500.5", False),
        ("free.cpu_milli <= 99999999999999999999", True),
        ("free.cpu_milli > 99999999999999999999", False),
        ("free.cpu_milli > -99999999999999999999", True),
        ("free.cpu_milli:*", True),
        ("NOT (phase = SUSPECT OR free.cpu_milli < 10)", True),
        # AIP-160: OR binds tighter than AND.
        ("phase = SUSPECT AND phase = SUSPECT OR phase = ACTIVE", False),
    ],
)
def test_a_filter_keeps_what_it_says(text: str, kept: bool) -> None:
    """Whoever searches must get every pool that fits and none that does not."""
    assert keeps(text, ROW) is kept


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
        ("runtimes = bash", 1, "repeats"),
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
    silent = Row(name=("sites/b/pools/main",))

    assert not keeps("free.cpu_milli < 1", silent)
    assert not keeps("free.cpu_milli >= 0", silent)
    assert keeps("free.cpu_milli != 0", silent)


def test_or_binds_tighter_than_and() -> None:
    """The language is AIP-160's; a reader who knows it elsewhere must not be surprised."""
    term = parsed("name = a AND name = b OR name = c")

    assert isinstance(term, And)
    assert isinstance(term.parts[1], Or)


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    """A filter comes from strangers: nothing they type may be a defect of ours."""
    with suppress(InvalidArgument):
        keeps(text, ROW)


@pytest.mark.parametrize(
    ("short", "whole"),
    [
        ("name = guiyang/cpu", "name = sites/guiyang/pools/cpu"),
        ("name != guiyang/cpu", "name != sites/guiyang/pools/cpu"),
        ("party = east-compute", "party = parties/east-compute"),
        ("site.name = guiyang", "site.name = sites/guiyang"),
        ("site.party = east-compute", "site.party = parties/east-compute"),
        ("offers.price_book:guiyang", "offers.price_book:priceBooks/guiyang"),
    ],
)
def test_names_stand_with_their_collections_or_without(short: str, whole: str) -> None:
    """Every list shows short names, and a search by one of them found nothing, without a word."""
    first, second = (parsed(text) for text in (short, whole))
    assert isinstance(first, Comparison)
    assert isinstance(second, Comparison)
    assert condition_of(first, fields()) == condition_of(second, fields())
