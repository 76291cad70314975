"""What is sealed is opened by one key for one purpose, and by nobody else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suanmesh_sdk import sealing

values = st.binary(min_size=1, max_size=400)
KEY, OTHER = sealing.new_key(), sealing.new_key()
PURPOSE = sealing.for_job("jobs/a", "TOKEN")


@given(values)
def test_what_was_sealed_comes_out_whole(value: bytes) -> None:
    """A task would log in with half a token; a value that is sealed twice must not be told by its text either."""
    texts = [sealing.sealed(value, sealing.public_half(KEY), PURPOSE) for _ in range(2)]
    assert [sealing.opened(text, KEY, PURPOSE) for text in texts] == [value, value]
    assert texts[0] != texts[1]
    assert len(texts[0]) == len(value) + 48


@given(values, st.data())
def test_nobody_opens_what_is_not_meant_for_them(value: bytes, data: st.DataObject) -> None:
    """Whoever copies a sealed value into a job, or a site, of their own would read it there."""
    text = sealing.sealed(value, sealing.public_half(KEY), PURPOSE)
    place = data.draw(st.integers(0, len(text) - 1))
    changed = text[:place] + bytes([text[place] ^ data.draw(st.integers(1, 255))]) + text[place + 1 :]
    elsewhere = data.draw(
        st.sampled_from(
            [
                sealing.for_job("jobs/b", "TOKEN"),
                sealing.for_job("jobs/a", "KEY"),
                sealing.for_placement("jobs/a", "sites/s", "TOKEN"),
                b"",
            ]
        )
    )
    for attempt in (
        lambda: sealing.opened(text, OTHER, PURPOSE),
        lambda: sealing.opened(text, KEY, elsewhere),
        lambda: sealing.opened(changed, KEY, PURPOSE),
        lambda: sealing.opened(text[:-1], KEY, PURPOSE),
        lambda: sealing.opened(b"", KEY, PURPOSE),
    ):
        with pytest.raises(sealing.Unreadable):
            attempt()
