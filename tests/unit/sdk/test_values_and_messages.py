"""Values of the kernel survive the way to a message and back."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from suanmesh.type.v1.capacity_pb2 import Capacity as Message
from suanmesh_kernel.quantities import Capacity, Device
from suanmesh_sdk.values import capacity_from, capacity_to, timestamp

amounts = st.integers(0, 2**62)
cards = st.builds(
    Device, st.text(max_size=5), st.text(max_size=5), st.integers(0, 2**31 - 1), amounts, st.booleans()
)  # fmt: skip


@given(st.builds(Capacity, amounts, amounts, amounts, st.lists(cards, max_size=3).map(tuple)))
def test_an_amount_of_compute_stays_what_it_is(capacity: Capacity) -> None:
    """A site would be sent more than it has, or charged for a card it has not."""
    sent = Message.FromString(capacity_to(capacity).SerializeToString())
    assert capacity_from(sent) == capacity


@given(st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC)))
def test_a_moment_stays_what_it_is(moment: datetime) -> None:
    """A deadline an hour off is one that is missed."""
    assert timestamp(moment).ToDatetime(UTC) == moment
