"""Refusals as values: what crosses a process or is written down says what was said."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest

from suanmesh_kernel.refusals import BY_CODE, Refusal


@pytest.mark.parametrize("kind", BY_CODE.values())
@pytest.mark.parametrize("again", [lambda it: pickle.loads(pickle.dumps(it)), copy.copy, copy.deepcopy])
def test_a_refusal_is_the_same_in_another_process(kind: type[Refusal], again: Callable[[Refusal], Refusal]) -> None:
    """A pool of workers that cannot send it back hangs, or says TypeError in its place."""
    refused = kind("JOB_UNKNOWN", "no job jobs/x", domain="scheduler.suanmesh", retry_delay_s=2.0, name="jobs/x")
    refused.localized["zh"] = "没有作业 jobs/x"
    told = again(refused)
    assert type(told) is kind
    assert (str(told), repr(told), vars(told)) == (str(refused), repr(refused), vars(refused))
    assert repr(told).endswith("('JOB_UNKNOWN', 'no job jobs/x', name='jobs/x')")
