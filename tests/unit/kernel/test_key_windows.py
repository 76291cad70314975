"""Whether a key vouches for what is signed with it, at the edges of its window and of clocks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from suanmesh_kernel.key_windows import CLOCKS_S, LATE_S, OVERLAP_S, KeyFault, KeyWindow

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
END = BEGIN + timedelta(days=90)
KEY = KeyWindow("spiffe://n/site/a/agent#k", b"k" * 32, BEGIN, END)
TICK = timedelta(microseconds=1)
CLOCKS, LATE = timedelta(seconds=CLOCKS_S), timedelta(seconds=LATE_S)
TIMES = st.integers(-(10**9), 10**10).map(lambda ms: BEGIN + timedelta(milliseconds=ms))


def test_the_edges_are_where_they_are_said_to_be() -> None:
    """A provider is paid up to the last moment of a key, and a thief of it not a moment beyond what is told."""
    for signed, now, fault in [
        (BEGIN, BEGIN - CLOCKS, None),
        (BEGIN, BEGIN - CLOCKS - TICK, KeyFault.EARLY),
        (END + CLOCKS - TICK, END + CLOCKS, None),
        (END + CLOCKS, END + CLOCKS, KeyFault.LAPSED),
        (END - TICK, END + LATE - TICK, None),
        (END - TICK, END + LATE, KeyFault.LATE),
    ]:
        assert KEY.fault(signed, now) is fault, (signed, now)


@given(st.integers(0, 10**10), st.integers(0, int(LATE_S * 1000) - 1), st.integers(-int(CLOCKS_S), int(CLOCKS_S)))
def test_what_is_signed_in_the_window_is_believed_for_the_grace(at_ms: int, delay_ms: int, skew_s: int) -> None:
    """Whatever its clock, within the bound, and whenever a site that was cut off is heard again: it is paid."""
    signed = BEGIN + timedelta(milliseconds=at_ms % int((END - BEGIN).total_seconds() * 1000))
    told = min(signed + timedelta(seconds=skew_s), END + CLOCKS - TICK)
    assert KEY.fault(told, min(signed + timedelta(milliseconds=delay_ms), END + LATE - TICK)) is None


@given(TIMES, TIMES)
def test_nothing_is_believed_for_ever(signed: datetime, now: datetime) -> None:
    """Whoever finds an old key must not get money with it, whatever time they write on what they sign."""
    if now >= END + LATE:
        assert KEY.fault(signed, now) is not None
        assert KEY.over(now)


@given(TIMES)
def test_a_replaced_key_is_good_for_the_overlap_and_never_longer_than_before(now: datetime) -> None:
    """What is being signed is finished; a replacement must not make a key live longer."""
    after = KEY.replaced(now)
    assert after.valid_until <= KEY.valid_until
    assert after.valid_until <= now + timedelta(seconds=OVERLAP_S)
    if KEY.good(now):
        assert after.good(now)
    assert after.replaced(now) == after
