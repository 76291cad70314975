"""What a job may ask for at the most: numbers that later sums cannot carry never get in."""

from __future__ import annotations

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from suanmesh.scheduler.v1 import job_pb2
from suanmesh_kernel.refusals import InvalidArgument
from suanmesh_scheduler.checking import check, check_names


def _job() -> job_pb2.Job:
    variant = job_pb2.Variant(engine="python3", command=["python3", "-V"])
    return job_pb2.Job(
        account="accounts/demo",
        ask=job_pb2.Ask(cpu_milli=1, memory_bytes=1),
        package=job_pb2.Package(variants=[variant]),
        max_duration_s=1,
    )


@pytest.mark.parametrize(
    ("part", "field"),
    [
        ("ask", "cpu_milli"),
        ("ask", "memory_bytes"),
        ("ask", "scratch_bytes"),
        ("objective", "second_value_micros"),
    ],
)
def test_a_number_beyond_reason_is_refused_by_name(part: str, field: str) -> None:
    """One user's slip would end the scheduler for all when the cost of the job leaves 64 bits."""
    job = _job()
    check(job)
    setattr(getattr(job, part), field, 2**63 - 1)
    with pytest.raises(InvalidArgument) as refused:
        check(job)
    assert refused.value.facts["field"] == f"{part}.{field}"


@pytest.mark.parametrize("wrong", [Timestamp(seconds=2**62), Timestamp(nanos=-1), Timestamp(nanos=2**31 - 1)])
def test_a_deadline_that_is_no_moment_is_refused_by_name(wrong: Timestamp) -> None:
    """A deadline no clock can show would end the scheduler at the first look, and again after every restart."""
    job = _job()
    job.constraints.deadline.CopyFrom(wrong)
    with pytest.raises(InvalidArgument) as refused:
        check(job)
    assert refused.value.facts["field"] == "constraints.deadline"


@pytest.mark.parametrize(
    ("job_id", "output_id", "field"),
    [
        ("j" * 55, "o", ""),
        ("j" * 56, "o", "job_id"),
        ("j", "o" * 57, ""),
        ("j", "o" * 58, "outputs[0].output_id"),
    ],
)
def test_ids_too_long_for_their_datasets_are_refused_by_name(job_id: str, output_id: str, field: str) -> None:
    """A run would end well, and its results be refused for a name that nobody can change any more."""
    job = _job()
    job.outputs.add(output_id=output_id, mount="out")
    if not field:
        check_names(job_id, job)
        return
    with pytest.raises(InvalidArgument) as refused:
        check_names(job_id, job)
    assert refused.value.facts["field"] == field
