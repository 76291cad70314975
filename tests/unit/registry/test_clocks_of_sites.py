"""Whether a site's clock is right, as its reports show."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from suanmesh_registry.domain.clocks import ALLOWED_S, ahead_s, reason_of

NOW = datetime(2026, 11, 30, tzinfo=UTC)


@given(off_s=st.floats(-1e6, 1e6))
def test_a_clock_is_wrong_beyond_what_can_be_borne_and_told_about_as_it_is(off_s: float) -> None:
    """Its owner is to know which way and how far; one that is a second off is nobody's business."""
    ahead = ahead_s([NOW + timedelta(seconds=off_s)], NOW)
    told = reason_of(ahead)

    if abs(off_s) <= ALLOWED_S - 1e-3:
        assert (ahead, told.code) == (0.0, "")
    elif abs(off_s) > ALLOWED_S + 1e-3:
        assert told.code == "SITE_CLOCK_WRONG"
        assert abs(float(told.facts["clock_s"]) - off_s) <= 5.01
        assert (float(told.facts["clock_s"]) > 0) == (off_s > 0)


def test_a_report_without_a_time_says_nothing_of_a_clock() -> None:
    """An agent of another version is not to be told that its clock is wrong."""
    assert ahead_s([], NOW) == 0.0
