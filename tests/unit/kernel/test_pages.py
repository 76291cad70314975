"""Pages of a list and the tokens between them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suanmesh_kernel import pages
from suanmesh_kernel.refusals import InvalidArgument


@given(st.lists(st.text("abc", min_size=1, max_size=4), unique=True), st.integers(1, 5))
def test_pages_together_are_the_list(names: list[str], size: int) -> None:
    """Whoever pages through must see each item once."""
    ordered, seen, token = sorted(names), [], ""
    while True:
        after = pages.after(token, "scope")
        page, token = pages.cut((name for name in ordered if name > after), size, "scope")
        seen += page
        if not token:
            break

    assert seen == ordered


@given(st.text(min_size=1))
def test_a_foreign_page_token_is_refused(token: str) -> None:
    """A token of another list must not silently skip items of this one."""
    with pytest.raises(InvalidArgument, match="PAGE_TOKEN_INVALID"):
        pages.after(token, "scope")


@pytest.mark.parametrize("name", ["abc", "-1", "1" * 20, str(2**63), "½", "1e3", " 1"])
def test_a_forged_number_is_no_place_in_a_list(name: str) -> None:
    """A token can be made up; what is in it must be refused like any other input, not break the service."""
    with pytest.raises(InvalidArgument, match="PAGE_TOKEN_INVALID"):
        pages.as_number(name)
    assert (pages.as_number(""), pages.as_number("0012")) == (0, 12)


def test_a_forged_name_with_control_characters_is_refused() -> None:
    """Databases take offence at a zero byte; whoever forged the token should hear of it instead."""
    (_, token) = pages.cut(["a\0b", "c"], 1, "scope")
    with pytest.raises(InvalidArgument, match="PAGE_TOKEN_INVALID"):
        pages.after(token, "scope")
