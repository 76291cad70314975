"""A service that says when to come again is kept to."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suanmesh.scheduler.v1 import scheduler_service_pb2
from suanmesh_kernel.refusals import ResourceExhausted
from suanmesh_sdk.methods import declared
from suanmesh_sdk.retries import DELAY_MAX_S, PAUSE_MAX_S, may_repeat, pause_before
from suanmesh_sdk.status import refusal_of, status_of

SUBMIT = f"/{scheduler_service_pb2.DESCRIPTOR.package}.SchedulerService/SubmitJobs"


@pytest.mark.parametrize("reason", ["QUEUE_FULL", "RATE_EXCEEDED"])
def test_a_full_queue_is_told_through_every_service_and_waited_for(reason: str) -> None:
    """A program that submits much must be slowed, not failed."""
    told = ResourceExhausted(reason, "come again", retry_delay_s=2.25)
    again = refusal_of(status_of(refusal_of(status_of(told, area="scheduler")), area="gateway"))
    assert (again.reason, again.domain, again.retry_delay_s) == (reason, "scheduler.suanmesh", 2.25)
    assert may_repeat(declared(SUBMIT), again)
    assert not may_repeat(declared(SUBMIT), ResourceExhausted("JOBS_TOO_MANY", "too many"))


@given(st.integers(2, 24), st.floats(0.001, 1000.0), st.integers())
def test_the_pause_is_what_was_told_and_not_the_same_for_all(attempt: int, told_s: float, seed: int) -> None:
    """Who comes sooner, or all at one moment, keeps a full service full."""
    pause_s = pause_before(attempt, random.Random(seed), told_s)
    assert min(told_s, DELAY_MAX_S) <= pause_s <= max(PAUSE_MAX_S, 1.5 * DELAY_MAX_S)
