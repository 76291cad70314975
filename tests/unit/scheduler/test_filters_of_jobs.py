"""Which jobs a filter keeps."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suanmesh.scheduler.v1 import job_pb2
from suanmesh_kernel.filter_fields import predicate
from suanmesh_kernel.refusals import InvalidArgument
from suanmesh_scheduler import wire
from suanmesh_scheduler.domain.job_fields import FIELDS
from suanmesh_scheduler.domain.job_pages import part_of


def a_job(**fields: Any) -> job_pb2.Job:
    job = job_pb2.Job(name="jobs/j", account="accounts/a", state=job_pb2.Job.STATE_FAILED, priority=5, queue="night")
    job.labels.update({"team": "vision", "run": "7"})
    job.create_time.FromDatetime(datetime(2026, 1, 1, tzinfo=UTC))
    job.state_reason.code = "EXIT_STATUS"
    job.MergeFrom(job_pb2.Job(**fields))
    return job


def kept(text: str, job: job_pb2.Job) -> bool:
    return predicate(text, FIELDS)(wire.filtered_from(job))


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("", True),
        ('labels.team = "vision" AND state = "FAILED"', True),
        ("labels.team = vis*", True),
        ("labels.team:isi", True),
        ("labels.run = 7", True),
        ("labels.other:*", False),
        ("labels.other != x", True),
        ("labels.other = x OR priority >= 5", True),
        ("priority > 5", False),
        ("priority < -1 OR NOT state = FAILED", False),
        ("create_time >= 2026-01-01 AND create_time < 2026-01-02", True),
        ("end_time:*", False),
        ("state_reason.code = EXIT_STATUS", True),
        ("display_name:*", False),
        ("attempt = 0", True),
        ("queue = night AND NOT queue = day", True),
        ("name = j AND account = a", True),
        ('name != "j" OR name = i', False),
    ],
)
def test_a_filter_keeps_what_it_says(text: str, answer: bool) -> None:
    """Somebody who cancels what a filter lists must not find another team's jobs among them."""
    assert kept(text, a_job()) is answer
    assert kept(f"NOT ({text})" if text else "NOT name = jobs/j", a_job()) is not answer


@pytest.mark.parametrize(
    ("text", "column"), [("label.team = x", 1), ("labels = x", 1), ("state = SLEEPING", 9), ("labels.team > a", 1)]
)
def test_what_no_job_has_is_refused_with_its_place(text: str, column: int) -> None:
    """A misspelt field would list nothing, and be believed."""
    with pytest.raises(InvalidArgument) as refused:
        predicate(text, FIELDS)
    assert (refused.value.reason, refused.value.facts["column"]) == ("FILTER_INVALID", str(column))


words = st.text("ab*", min_size=1, max_size=4)


@given(st.dictionaries(st.sampled_from("xyz"), words), st.sampled_from("xyz"), words)
def test_a_label_equals_what_it_is_and_differs_from_all_else(labels: dict[str, str], key: str, asked: str) -> None:
    """One `*` stands for anything, as in a search of pools."""
    job = a_job(labels=labels)
    value = labels.get(key)
    head, star, tail = asked.partition("*")
    if value is None:
        equal = False
    elif star and "*" not in tail:
        equal = len(value) >= len(head + tail) and value.startswith(head) and value.endswith(tail)
    else:
        equal = value == asked
    assert kept(f'labels.{key} = "{asked}"', job) is equal
    assert kept(f'labels.{key} != "{asked}"', job) is not equal
    assert kept(f'labels.{key}:"{asked}"', job) is (value is not None and asked in value)


def test_a_party_is_named_in_full_or_not() -> None:
    """An operator who lists the jobs of `party = a` must not be told that there are none."""
    assert part_of("party = a AND state = PENDING", "") == part_of("party = parties/a AND state = PENDING", "")
    assert part_of("party = a", "").party == "parties/a"


def test_a_field_that_is_nearly_right_is_said() -> None:
    """Who has mistyped it would look for it in the contract."""
    with pytest.raises(InvalidArgument, match="did you mean state"):
        kept("stat = DONE", a_job())
    with pytest.raises(InvalidArgument, match=r"did you mean labels\.team"):
        kept("team = vision", a_job())
