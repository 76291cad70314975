"""Room in the quarantine of a site is counted in records and in bytes."""

from __future__ import annotations

from datetime import timedelta

import pytest

from suanmesh_accounting.domain.quarantine import Room, require_room
from suanmesh_kernel.refusals import ResourceExhausted

ROOM = Room(records=10, size_bytes=1000, age=timedelta(days=1))


@pytest.mark.parametrize(("records", "size", "more"), [(0, 0, 1000), (9, 900, 100)])
def test_what_fits_is_taken(records: int, size: int, more: int) -> None:
    """A bound that is off by one wastes what an operator has set."""
    require_room("sites/a", records=records, size_bytes=size, more_bytes=more, room=ROOM)


@pytest.mark.parametrize(("records", "size", "more"), [(10, 0, 1), (1, 901, 100), (0, 0, 1001)])
def test_what_does_not_fit_is_sent_back_with_the_reason(records: int, size: int, more: int) -> None:
    """An agent keeps what is sent back for want of room, and forgets what is refused for good."""
    with pytest.raises(ResourceExhausted, match="QUARANTINE_FULL") as refused:
        require_room("sites/a", records=records, size_bytes=size, more_bytes=more, room=ROOM)

    assert refused.value.facts["name"] == "sites/a"
