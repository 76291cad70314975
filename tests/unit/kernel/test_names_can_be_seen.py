"""What names shown to people may hold: all that is seen, in any script, and nothing that is not."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suanmesh_kernel.texts import JOINERS, UNSHOWABLE, first_unshowable, with_escapes

CATEGORIES = {"Cc", "Cf", "Zl", "Zp", "Cs", "Co"}
IGNORED_BY_DEFAULT = (
    (0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F),
    (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0),
    (0xFFF0, 0xFFF8), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF),
)  # fmt: skip
"""Default_Ignorable_Code_Point of Unicode's DerivedCoreProperties.txt."""


def test_the_list_is_that_of_unicode() -> None:
    """One that is missing is the one by which `acme` and its double are told apart by nobody."""
    every = {number for number in range(0x110000) if unicodedata.category(chr(number)) in CATEGORIES}
    every |= {number for first, last in IGNORED_BY_DEFAULT for number in range(first, last + 1)}
    listed = {number for number in range(0x110000) if UNSHOWABLE.fullmatch(chr(number))}
    assert {hex(number) for number in every - listed} == set()
    unassigned = {number for number in listed - every if unicodedata.category(chr(number)) == "Cn"}
    assert {hex(number) for number in listed - every - unassigned} == set()


NAMES = [
    "合肥算力中心",
    "贵阳\u3000北部",
    "Café Zürich",
    "مرکز می\u200cخواهم",
    "क्\u200dष",
    "דנה",
    "서울",
    "\N{ROCKET}",
    "a\xa0b",
]


@pytest.mark.parametrize("name", NAMES)
def test_names_of_any_script_are_taken(name: str) -> None:
    """A Persian word is another without its joiner, and a site may be called by a rocket."""
    assert first_unshowable(name) is None
    assert with_escapes(name, repr) == name


@pytest.mark.parametrize("joiner", JOINERS)
@pytest.mark.parametrize("name", ["ac{}me", "{}", "算{}网", "acme{}", "ا{}ب", "\N{MAN}{}\N{PERSONAL COMPUTER}"])
def test_joiners_are_seen_or_not_there(name: str, joiner: str) -> None:
    """Where they change nothing that is seen, two names look like one."""
    assert first_unshowable(name.format(joiner)) is not None


@given(st.text(st.characters() | st.sampled_from("\u200c\u200d\u094d\u06cc\u062e\u00ad\ufe0f\U000e0041")))
def test_what_was_escaped_holds_none(text: str) -> None:
    """What is shown in the place of one may not be another."""
    assert first_unshowable(with_escapes(text, lambda found: f"<{ord(found):x}>")) is None
