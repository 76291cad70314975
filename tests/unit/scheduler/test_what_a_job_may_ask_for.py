"""What a job may ask for at the most: numbers that later sums cannot carry never get in."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from suanmesh.scheduler.v1 import job_pb2
from suanmesh_kernel.refusals import InvalidArgument
from suanmesh_scheduler.checking import require_names, require_valid
from suanmesh_scheduler.wire import spec_from


def _job() -> job_pb2.Job:
    variant = job_pb2.Variant(runtime="python3", command=["python3", "-V"])
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
    require_valid(job)
    setattr(getattr(job, part), field, 2**63 - 1)
    with pytest.raises(InvalidArgument) as refused:
        require_valid(job)
    assert refused.value.facts["field"] == f"{part}.{field}"


@pytest.mark.parametrize("priority", [-101, 101])
def test_a_priority_has_bounds(priority: int) -> None:
    """A race of priorities has no end, and nothing is left to tell the urgent from the rest."""
    job = _job()
    job.priority = priority
    with pytest.raises(InvalidArgument) as refused:
        require_valid(job)
    assert refused.value.facts["field"] == "priority"


@pytest.mark.parametrize("queue", ["Night", "a b", "-a", "a" * 64])
def test_a_queue_has_an_id(queue: str) -> None:
    """Two spellings of one queue would be two queues."""
    job = _job()
    job.queue = "night"
    require_valid(job)
    job.queue = queue
    with pytest.raises(InvalidArgument) as refused:
        require_valid(job)
    assert refused.value.facts["field"] == "queue"


@pytest.mark.parametrize("key", ["", "Team", "1st", "a-b", "a.b", "_a", "a" * 64])
def test_a_label_has_a_key_that_a_filter_can_name(key: str) -> None:
    """Jobs could be labelled so that nobody finds them again."""
    job = _job()
    job.labels["team"] = "anything at all"
    require_valid(job)
    job.labels[key] = "x"
    with pytest.raises(InvalidArgument) as refused:
        require_valid(job)
    assert refused.value.facts["field"] == "labels"


@pytest.mark.parametrize("name", ["", "1A", "A B", "A=B", "A-B", "é", "SUANMESH_JOB", "SUANMESH_PARAM_X", "A" * 256])
def test_a_variable_has_a_name_that_a_process_can_have(name: str) -> None:
    """A name with `=` in it would set another one, and one of ours would lie to the task."""
    job = _job()
    job.environment.update({"_a1": "any\nthing", "LD_PRELOAD": "./mine.so", "PATH": ""})
    require_valid(job)
    job.environment[name] = "x"
    with pytest.raises(InvalidArgument) as refused:
        require_valid(job)
    assert refused.value.facts["field"] == "environment"


@pytest.mark.parametrize("wanted", ["numpy", "numpy==2.1", "pandas[excel, sql] >=2,<3", "a.b_c-d ~= 1.0rc1+local"])
def test_packages_are_names_with_versions(wanted: str) -> None:
    """What people ask of pip every day must get through."""
    job = _job()
    job.setup.python.append(wanted)
    require_valid(job)


@pytest.mark.parametrize(
    "wanted",
    ["", "-r/etc/passwd", "--index-url=http://evil", "./own", "own/", "a @ http://evil/a.whl", "git+https://evil/a",
     "numpy ==2.1\n--pre", "a;b", "a==", "a==1 --hash=x", "../a.whl", "a==-r", "é"],
)  # fmt: skip
def test_nothing_else_is_asked_of_a_mirror(wanted: str) -> None:
    """A site's agent looks for packages outside of any sandbox: an option or an address there is its owner's loss."""
    job = _job()
    job.setup.python.append(wanted)
    with pytest.raises(InvalidArgument) as refused:
        require_valid(job)
    assert refused.value.facts["field"] == "setup.python[0]"


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"SEED": "123", "LR_2": "abc"}, ""),
        ({"seed": "123"}, "task.parameters[0].name"),
        ({"SEED": "12"}, "task.parameters[0].values"),
        ({"SEED": "1234"}, "task.parameters[0].values"),
        ({"A": "123", "": "123"}, "task.parameters[1].name"),
        ({"S" * 33: "123"}, "task.parameters[0].name"),
    ],
)
def test_every_task_has_one_value_of_each_parameter(parameters: dict[str, str], field: str) -> None:
    """The last task of a sweep would run without its value, for hours."""
    job = _job()
    job.task.count = 3
    for name, values in parameters.items():
        job.task.parameters.add(name=name, values=values)
    if not field:
        require_valid(job)
        job.task.parameters.add(name="SEED", values="456")
        field = "task.parameters[2].name"
    with pytest.raises(InvalidArgument) as refused:
        require_valid(job)
    assert refused.value.facts["field"] == field


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"values": ["a", "b"]}, ""),
        ({"values": ["a", "b"], "each": 3}, ""),
        ({"values": ["a", "b"], "each": 4}, "values"),
        ({"values": ["a", "b"], "each": -1}, "each"),
        ({"range": {"first": -3, "step": -2, "count": 6}}, ""),
        ({"range": {"first": 1, "step": 1, "count": 5}}, "values"),
        ({"range": {"first": 1, "step": 1, "count": 3}, "values": ["a"]}, "values"),
        ({"range": {"first": 1, "step": 1}}, "range.count"),
        ({"range": {"first": 1 << 60, "step": 1, "count": 3}}, "range.first"),
    ],
)
def test_few_values_come_out_even_with_many_tasks(said: dict[str, object], field: str) -> None:
    """A sweep that breaks off in the middle of a round has run some combinations more often than others."""
    job = _job()
    job.task.count = 6
    job.task.parameters.add(name="SEED", **said)  # type: ignore[arg-type]
    if not field:
        require_valid(job)
        return
    with pytest.raises(InvalidArgument) as refused:
        require_valid(job)
    assert refused.value.facts["field"] == f"task.parameters[0].{field}"


@pytest.mark.parametrize(
    ("count", "gang", "right"), [(10_000, False, True), (10_001, False, False), (1001, True, False)]
)
def test_an_array_has_ten_thousand_tasks_and_a_gang_a_thousand(count: int, gang: bool, right: bool) -> None:
    """Whoever comes from a batch system brings arrays of ten thousand."""
    job = _job()
    job.task.count, job.task.gang = count, gang
    if right:
        require_valid(job)
        return
    with pytest.raises(InvalidArgument) as refused:
        require_valid(job)
    assert refused.value.facts["field"] == "task.count"


def test_what_no_meter_can_count_is_refused_by_name() -> None:
    """Its cost could not be reckoned: every round would end with it."""
    job = _job()
    job.task.count, job.max_duration_s, job.max_attempts = 10_000, 86_400, 10
    job.ask.cpu_milli = 2_000_000
    with pytest.raises(InvalidArgument) as refused:
        require_valid(job)
    assert refused.value.facts["field"] == "ask.cpu_milli"


@pytest.mark.parametrize("wrong", [Timestamp(seconds=2**62), Timestamp(nanos=-1), Timestamp(nanos=2**31 - 1)])
def test_a_deadline_that_is_no_moment_is_refused_by_name(wrong: Timestamp) -> None:
    """A deadline no clock can show would end the scheduler at the first look, and again after every restart."""
    job = _job()
    job.constraints.deadline.CopyFrom(wrong)
    with pytest.raises(InvalidArgument) as refused:
        require_valid(job)
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
        require_names(job_id, job)
        return
    with pytest.raises(InvalidArgument) as refused:
        require_names(job_id, job)
    assert refused.value.facts["field"] == field


@pytest.mark.parametrize(
    ("inputs", "outputs", "artefacts", "field"),
    [
        (["in/a", "in/b"], ["out"], ["train.py", "lib/a.py", "out/seed"], ""),
        (["in", "in/x"], [], [], "inputs[1].mount"),
        (["in/x", "in"], [], [], "inputs[1].mount"),
        (["a"], ["a/"], [], "outputs[0].mount"),
        (["a//b"], ["a/./b/c"], [], "outputs[0].mount"),
        (["in"], [], ["in/train.py"], "package.variants[0].artefacts[0].path"),
        ([], [], ["a", "a/b"], "package.variants[0].artefacts[1].path"),
        ([], ["../out"], [], "outputs[0].mount"),
    ],
)
def test_what_would_hide_something_else_is_refused_by_name(
    inputs: list[str], outputs: list[str], artefacts: list[str], field: str
) -> None:
    """It would fail at the site, after its data was moved there, with no word on why."""
    job = _job()
    job.inputs.extend(job_pb2.Input(dataset="datasets/d", mount=mount) for mount in inputs)
    job.outputs.extend(job_pb2.Output(output_id=f"o{n}", mount=mount) for n, mount in enumerate(outputs))
    job.package.variants[0].artefacts.extend(job_pb2.Artefact(path=path) for path in artefacts)
    if not field:
        require_valid(job)
        return
    with pytest.raises(InvalidArgument) as refused:
        require_valid(job)
    assert refused.value.facts["field"] == field


@pytest.mark.parametrize("command", [[], [""], ["python3", "a\0b"]])
def test_a_command_nothing_can_run_is_refused(command: list[str]) -> None:
    """Status 127 from a far site tells less than the field that is wrong."""
    job = _job()
    del job.package.variants[0].command[:]
    job.package.variants[0].command.extend(command)
    with pytest.raises(InvalidArgument) as refused:
        require_valid(job)
    assert refused.value.facts["field"] == "package.variants[0].command"


@pytest.mark.parametrize(
    ("written", "pool"),
    [("amd64", "x86_64"), ("arm64", "aarch64"), ("X86_64", "x86_64"), ("", "")],
)
def test_an_instruction_set_goes_by_all_its_names(written: str, pool: str) -> None:
    """Who writes amd64, as images are named, would wait for ever for a machine of another name."""
    job = _job()
    job.package.variants[0].architecture = written
    assert [each.architecture for each in spec_from(job, (), datetime(2026, 1, 1, tzinfo=UTC)).variants] == [pool]
