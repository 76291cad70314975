"""Values of secrets in what tasks write, in whatever pieces that comes."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from suanmesh_agent.domain.redaction import HIDDEN, SHORTEST_BYTES, Redactor

WORDS = st.binary(min_size=SHORTEST_BYTES, max_size=20).map(lambda word: bytes(65 + each % 3 for each in word))
"""Of three letters, so that they overlap."""


def shown(redactor: Redactor, pieces: list[bytes]) -> bytes:
    return b"".join(map(redactor.take, pieces)) + redactor.rest()


@given(st.lists(WORDS, min_size=1, max_size=4), st.lists(st.one_of(WORDS, st.just(b"-"), st.just(b"ABC"))), st.data())
def test_no_value_comes_through_in_any_pieces(words: list[bytes], parts: list[bytes], data: st.DataObject) -> None:
    """A token in a log that a hundred people may read has to be given up."""
    written = b"".join(part for each in parts for part in (each, *words[:1]))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(written)), max_size=6)))
    pieces = [written[begin:end] for begin, end in pairwise([0, *cuts, len(written)])]
    out = shown(Redactor(words), pieces)
    assert not any(word in out for word in words)


@given(st.binary(max_size=200), st.integers(0, 200))
def test_all_else_comes_as_it_was(written: bytes, cut: int) -> None:
    """A log with holes sends whoever looks for a fault the wrong way."""
    word = b"hf_0123456789"
    redactor = Redactor([word])
    if word not in written:
        assert shown(redactor, [written[:cut], written[cut:]]) == written


def test_values_are_found_as_programs_show_them() -> None:
    """A key of several lines is printed line by line, and a file of one ends with a newline that nobody prints."""
    key = b"-----BEGIN KEY-----\nMIIEvQIBADANBgkq\n\n-----END KEY-----\n"
    redactor = Redactor([key, b"hf_0123456789\n", b"short"])
    assert shown(redactor, [b"a MIIEvQIBADANB", b"gkq b hf_01234", b"56789 short"]) == b"a *** b *** short"
    assert shown(redactor, [key]) == HIDDEN


def test_what_only_begins_like_a_value_is_shown_in_the_end() -> None:
    """The last words of a task that failed are what its owner needs."""
    redactor = Redactor([b"hf_0123456789"])
    assert redactor.take(b"no luck hf_012") == b"no luck "
    assert redactor.rest() == b"hf_012"
