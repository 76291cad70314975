"""The permission to run: a site that is not heard has stopped before the mesh counts it out, whatever the clocks do."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suanmesh_agent.engines.process import shim
from suanmesh_kernel.permission import (
    CLOCK_RATE_MAX,
    LOST_AFTER_S_MIN,
    RUN_FOR_S_MIN,
    STOP_S_MAX,
    Permission,
    run_for_s,
)

RATES = st.floats(1 - CLOCK_RATE_MAX, 1 + CLOCK_RATE_MAX)
DELAYS = st.one_of(st.floats(0, 0.5), st.floats(0, 90))


@dataclass(frozen=True)
class Report:
    """One report on its way: how long it, and its answer, take; an infinite time is a loss."""

    pause_s: float
    there_s: float
    back_s: float


REPORTS = st.lists(
    st.builds(Report, st.floats(0.5, 40), DELAYS, st.one_of(DELAYS, st.just(inf))), min_size=1, max_size=30
)


@given(REPORTS, RATES, RATES, st.floats(LOST_AFTER_S_MIN, 600), st.integers(0, 30), st.floats(0, 60))
def test_a_site_has_stopped_before_it_is_counted_out(
    reports: list[Report], agent_rate: float, registry_rate: float, lost_after_s: float, heard: int, kept_s: float
) -> None:
    """The same task at two sites: both run it, both are paid, and two results fight for one name.

    The registry hears the first `heard` reports while the lease stands, and acknowledges those; then the lease goes, at
    the earliest as the last of them was answered. The true moments are compared.
    """
    run_s = run_for_s(lost_after_s)
    sent, answers, lease_gone = 0.0, [], 0.0
    for number, report in enumerate(reports):
        sent += report.pause_s
        if number < heard:
            lease_gone = max(lease_gone, sent + report.there_s)
            answers.append((sent + report.there_s + report.back_s, sent))
    lost_at = lease_gone + kept_s + lost_after_s / registry_rate

    permission, stopped_at = Permission(), 0.0
    for arrived, sent in sorted(answers):
        permission = permission.renewed(sent * agent_rate, run_s, arrived * agent_rate)
        stopped_at = max(stopped_at, (permission.until + STOP_S_MAX) / agent_rate)

    assert stopped_at <= lost_at + 1e-6


@given(st.floats(0, 1e6), st.floats(0, 100), st.floats(0, 100), st.floats(0, 100))
def test_a_gap_begins_a_new_epoch(sent: float, run_s: float, late_s: float, again_s: float) -> None:
    """What was agreed before a time without permission may have been given to others since."""
    first = Permission().renewed(sent, run_s + 1, sent)
    second = first.renewed(sent + late_s, run_s + 1 + again_s, sent + late_s)
    gap = sent + late_s >= first.until and second is not first
    assert second.epoch == first.epoch + gap
    assert second.until >= first.until


def test_an_answer_that_comes_too_late_permits_nothing() -> None:
    """A frozen agent that is thawed reads old answers first."""
    frozen = Permission().renewed(0.0, 20.0, 0.1)
    assert not frozen.renewed(5.0, 20.0, 60.0).holds(60.0)


def test_the_bounds_fit_each_other() -> None:
    """A grace longer than the margin, or a permission too short to use, would be found out in production."""
    assert shim.FENCE_GRACE_S + 10 * shim.TICK_S < STOP_S_MAX
    assert run_for_s(LOST_AFTER_S_MIN) == pytest.approx(RUN_FOR_S_MIN)
    assert 20 < run_for_s(30) < 30 - STOP_S_MAX
