"""Every document fits for as long as a job lives, or the job is refused before it begins."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suanmesh.scheduler.v1 import job_pb2, placement_pb2
from suanmesh_kernel.reasons import StateReason
from suanmesh_kernel.refusals import InvalidArgument
from suanmesh_scheduler import wire
from suanmesh_scheduler.bounding import (
    PAYLOAD_BYTES_MAX,
    REFUSALS_MAX,
    bound_placement,
    require_size,
)
from suanmesh_scheduler.checking import require_valid
from suanmesh_scheduler.domain.fitting import HOSTS_MAX
from suanmesh_scheduler.domain.states import JobState, PlacementState
from suanmesh_sdk import state_reasons

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LONG = "x" * 63
LONG_REASON = StateReason("r" * 100, {"detail": "r" * 10_000}, StateReason("c" * 100, {"site": "s" * 1000}))


def a_job(*, artefact: int = 0, command: int = 0, inputs: int = 0, outputs: int = 0, count: int = 1) -> job_pb2.Job:
    job = job_pb2.Job(name=f"jobs/{LONG}", party=f"parties/{LONG}", account=f"accounts/{LONG}", trace_id="0" * 32)
    job.ask.cpu_milli, job.ask.memory_bytes = 1000, 1 << 40
    job.task.count = count
    job.max_duration_s = 86_400
    variant = job.package.variants.add(command=["c" * command or "c"])
    variant.artefacts.add(path="train.py", content=b"x" * artefact)
    for index in range(inputs):
        job.inputs.add(dataset=f"datasets/{index:063d}", mount=f"in/{index}")
    for index in range(outputs):
        job.outputs.add(output_id=f"{index:020d}", mount=f"out/{index}", deliver_to=f"sites/{LONG}")
    job.state = job_pb2.Job.STATE_PENDING
    return job


def grown(job: job_pb2.Job) -> job_pb2.Job:
    """The job after the longest life it can have."""
    job.decision, job.placement = f"{job.name}/decisions/99999", f"placements/{'p' * 20}"
    job.output_datasets.extend(f"datasets/{LONG}" for _ in range(len(job.outputs) + 1))
    job.log_dataset = f"datasets/{LONG}"
    job.refused_by.extend(f"sites/{LONG}" for _ in range(REFUSALS_MAX))
    for step in range(100):
        state = (JobState.PLACED, JobState.STAGING, JobState.RUNNING, JobState.PENDING)[step % 4]
        wire.set_job_state(job, state, StateReason("SOME_REASON", {"detail": "原因" * 1000}), NOW)
    wire.set_job_state(job, JobState.FAILED, LONG_REASON, NOW)
    return job


def placed(job: job_pb2.Job) -> placement_pb2.Placement:
    """The largest placement of the job."""
    count = max(1, job.task.count)
    placement = placement_pb2.Placement(
        name=f"placements/{'p' * 20}", job=job.name, site=f"sites/{LONG}", decision=f"{job.name}/decisions/99999",
        account=job.account, party=job.party, offer=f"sites/{LONG}/pools/{LONG}/offers/{LONG}", traceparent="0" * 55,
        fence=1 << 40, attempt=10, stop_requested=True, reservation=f"reservations/{'p' * 20}-0",
        log_dataset=f"datasets/{LONG}",
    )  # fmt: skip
    leg = placement.legs.add(pool=f"sites/{LONG}/pools/{LONG}")
    leg.hosts.extend(placement_pb2.HostRun(host=LONG, tasks=count) for _ in range(min(count, HOSTS_MAX)))
    leg.per_task.cpu_milli, leg.per_task.memory_bytes, leg.per_task.scratch_bytes = 1000, 1 << 40, 1 << 40
    placement.holds.append(f"holds/{'p' * 20}-0")
    for index in range(len(job.inputs)):
        placement.holds.append(f"reservations/{'p' * 20}-{index}")
        placement.routes.add(source=f"sites/{LONG}", reservation=f"reservations/{'p' * 20}-{index}", rate_bps=1 << 40)
        placement.input_transfers.append(f"transfers/{'p' * 20}-in-{index}")
    for index in range(len(job.outputs)):
        placement.holds.append(f"reservations/{'p' * 20}-{32 + index}")
        way = f"reservations/{'p' * 20}-{32 + index}"
        placement.output_routes.add(target=f"sites/{LONG}", reservation=way, rate_bps=1 << 40)
        placement.output_transfers.append(f"transfers/{'p' * 20}-out-{index}")
    placement.work.MergeFrom(
        placement_pb2.Work(
            ask=job.ask, variant=job.package.variants[0], inputs=job.inputs, outputs=job.outputs, count=count,
            max_duration_s=job.max_duration_s,
        )
    )  # fmt: skip
    for index in range(count):
        task = placement.tasks.add(index=index, exit_status=1, state_reason=state_reasons.reason_to(LONG_REASON))
        task.start_time.FromDatetime(NOW)
        task.end_time.FromDatetime(NOW)
    wire.set_placement_state(placement, PlacementState.FAILED, LONG_REASON, NOW, ended=True)
    return placement


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 5120), st.integers(0, 2000), st.integers(0, 32), st.integers(0, 32), st.sampled_from([1, 5, 1000])
)
def test_what_is_accepted_fits_to_its_end(artefact: int, command: int, inputs: int, outputs: int, count: int) -> None:
    """A job that outgrows its document would stick half-way with everything it holds."""
    job = a_job(artefact=artefact, command=command, inputs=inputs, outputs=outputs, count=count)
    try:
        require_size(job)
    except InvalidArgument:
        return
    placement = placed(job)
    assert grown(job).ByteSize() <= PAYLOAD_BYTES_MAX
    assert placement.ByteSize() <= PAYLOAD_BYTES_MAX
    assert job.history[-1].state == job_pb2.Job.STATE_FAILED


def test_a_job_with_all_the_code_that_is_allowed_is_accepted() -> None:
    """The contract promises 5 KiB of artefacts."""
    require_size(a_job(artefact=5120, inputs=1, outputs=1))


@pytest.mark.parametrize(
    ("job", "field"),
    [
        (a_job(artefact=5120, command=2000), "package.variants.artefacts"),
        (a_job(inputs=32), "inputs"),
        (a_job(outputs=80), "outputs"),
    ],
)
def test_a_refusal_for_size_names_what_takes_the_room(job: job_pb2.Job, field: str) -> None:
    """Whoever is told "too large" needs to know what to make smaller."""
    with pytest.raises(InvalidArgument) as refused:
        require_size(job)
    assert (refused.value.reason, refused.value.facts["field"]) == ("FIELD_INVALID", field)


def test_of_a_thousand_tasks_those_that_failed_are_kept() -> None:
    """The one task that failed among a thousand is the one a user looks for."""
    placement = placement_pb2.Placement(name="placements/p")
    for index in range(1000):
        placement.tasks.add(index=index, exit_status=0 if index != 777 else 3)
        placement.tasks[-1].end_time.FromDatetime(NOW)
    bound_placement(placement)
    assert [(task.index, task.exit_status) for task in placement.tasks] == [(777, 3)]


def _with(change: Callable[[job_pb2.Job], object]) -> job_pb2.Job:
    job = a_job(inputs=1, outputs=1)
    change(job)
    return job


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("account", lambda j: setattr(j, "account", "nobody")),
        ("task.count", lambda j: setattr(j.task, "count", 10_001)),
        ("max_attempts", lambda j: setattr(j, "max_attempts", -1)),
        ("max_duration_s", lambda j: setattr(j, "max_duration_s", 0)),
        ("ask.cpu_milli", lambda j: setattr(j.ask, "cpu_milli", 0)),
        ("ask.memory_bytes", lambda j: setattr(j.ask, "memory_bytes", -1)),
        ("ask.devices[0].count", lambda j: j.ask.devices.add(count=0)),
        ("ask.devices", lambda j: [j.ask.devices.add(count=1) for _ in range(5)]),
        ("package.variants", lambda j: j.package.ClearField("variants")),
        ("package.variants[0].command", lambda j: j.package.variants[0].ClearField("command")),
        (
            "package.variants[0].artefacts[0].path",
            lambda j: setattr(j.package.variants[0].artefacts[0], "path", "../../etc/passwd"),
        ),
        ("package.variants.artefacts", lambda j: setattr(j.package.variants[0].artefacts[0], "content", b"x" * 5121)),
        ("inputs[0].dataset", lambda j: setattr(j.inputs[0], "dataset", "x")),
        ("inputs[0].mount", lambda j: setattr(j.inputs[0], "mount", "/etc")),
        ("outputs[0].mount", lambda j: setattr(j.outputs[0], "mount", "in/0")),
        ("outputs[0].output_id", lambda j: setattr(j.outputs[0], "output_id", "log")),
        ("outputs[0].output_id", lambda j: setattr(j.outputs[0], "output_id", "b-c")),
        ("outputs[0].deliver_to", lambda j: setattr(j.outputs[0], "deliver_to", "moon")),
        ("constraints.budget_micros", lambda j: setattr(j.constraints, "budget_micros", -5)),
        ("constraints.allow_sites[0]", lambda j: j.constraints.allow_sites.append("moon")),
        ("constraints.deny_sites", lambda j: j.constraints.deny_sites.extend(["sites/a"] * 33)),
        ("objective.second_value_micros", lambda j: setattr(j.objective, "second_value_micros", -1)),
    ],
)
def test_a_job_that_could_never_run_is_refused_with_the_field(
    field: str, change: Callable[[job_pb2.Job], object]
) -> None:
    """A user would wait for a job that nothing can ever take."""
    require_valid(_with(lambda _: None))
    with pytest.raises(InvalidArgument) as refused:
        require_valid(_with(change))
    assert refused.value.facts["field"] == field
