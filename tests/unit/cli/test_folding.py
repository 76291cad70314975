"""What is told on standard error: as wide as the terminal, and commands in it as they are typed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from suanmesh_cli.layout import hanging

WORDS = st.lists(st.sampled_from(["a", "refused", "网络", "`suan job list`", "不足，", "(see", "x)"]), min_size=1)


@given(WORDS, st.integers(min_value=30, max_value=120), st.integers(min_value=0, max_value=4))
def test_nothing_is_wider_and_nothing_is_lost(words: list[str], width: int, indent: int) -> None:
    """A terminal breaks what is wider in the middle of a word, where nobody can read it."""
    text = " " * indent + " ".join(words)
    folded = hanging(text, width)
    assert all(cell_len(line) <= width for line in folded)
    assert "".join("".join(folded).split()) == "".join(text.split())
    assert all(line.startswith(" " * indent) for line in folded)
    assert sum(line.count("`suan job list`") for line in folded) == words.count("`suan job list`")


@pytest.mark.parametrize("width", [8, 30, 80])
def test_a_name_stays_whole(width: int) -> None:
    """A name that was broken is not found when it is pasted."""
    name = "jobs/" + "x" * 63
    assert [line.strip() for line in hanging(f"  name = {name}", width)][-1].endswith(name)
