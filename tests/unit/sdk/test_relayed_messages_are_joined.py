"""Messages of relayed calls, put together from the pieces that somebody else cut."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suanmesh_kernel.refusals import ResourceExhausted
from suanmesh_sdk.relayed import Joining

KIB = 1024


@given(st.lists(st.lists(st.binary(max_size=4), min_size=1, max_size=5), max_size=5))
def test_however_it_is_cut_a_message_arrives_as_it_was(messages: list[list[bytes]]) -> None:
    """A byte more or less, and what a site answers is another answer."""
    joining = Joining(64)
    joined = [
        joining.add(piece, whole=number == len(pieces) - 1)
        for pieces in messages
        for number, piece in enumerate(pieces)
    ]

    assert [each for each in joined if each is not None] == [b"".join(pieces) for pieces in messages]


@pytest.mark.parametrize("piece", [b"", b"xy"])
def test_small_pieces_take_no_more_than_the_message(piece: bytes) -> None:
    """A hostile site cuts its answer into pieces of nothing, for as long as its caller waits, and the gateway grows."""
    joining = Joining(128 * KIB)
    tracemalloc.start()
    try:
        for _ in range(60 * KIB):
            joining.add(bytes(bytearray(piece)), whole=False)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert most < 384 * KIB


def test_a_message_that_is_too_large_is_refused_however_small_its_pieces() -> None:
    """Nobody else would notice before memory is gone."""
    joining = Joining(10)
    for _ in range(5):
        joining.add(b"xy", whole=False)
    with pytest.raises(ResourceExhausted, match="at most 10"):
        joining.add(b"x", whole=True)
