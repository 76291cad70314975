"""A mistake in a job file is named with its file, line and field, before anything is sent."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suanmesh.scheduler.v1.job_pb2 import Job, TaskSpec
from suanmesh_cli import jobfile
from suanmesh_kernel.refusals import InvalidArgument
from suanmesh_scheduler.bounding import require_size
from suanmesh_scheduler.checking import require_valid
from suanmesh_sdk.parameters import own_values

WHOLE = """\
name: jobs/digits
account: accounts/alice
task: {count: 2, gang: true}
labels: {team: vision, run: 7}
priority: -5
ask:
  cpu_milli: 1.5 cores
  memory_bytes: 512MiB
  devices:
    - {class: gpu, any_of_models: [A100, H100], count: 1}
package:
  variants:
    - runtime: python3.11
      command: [python3, train.py, "1"]
      artefacts:
        - {path: train.py, file: ./code/train.py}
        - {path: note.txt, content: "hello"}
inputs:
  - {dataset: datasets/digits, mount: in/digits}
constraints:
  min_bandwidth_bps: 50 Mbit/s
  max_latency_us: 20 ms
  deadline: 2027-01-01T00:00:00Z
max_duration_s: 10 min
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "train.py").write_text("print('hi')\n")
    return tmp_path


def loaded(folder: Path, text: str) -> Job:
    path = folder / "job.yaml"
    path.write_text(text)
    return jobfile.load(path)


def test_people_write_sizes_and_files_and_the_contract_gets_numbers_and_bytes(folder: Path) -> None:
    """A factor of 1024 lost on the way is paid for in money."""
    job = loaded(folder, WHOLE)
    assert (job.ask.cpu_milli, job.ask.memory_bytes, job.max_duration_s) == (1500, 512 << 20, 600)
    assert (job.constraints.min_bandwidth_bps, job.constraints.max_latency_us) == (50_000_000, 20_000)
    artefacts = job.package.variants[0].artefacts
    assert [(each.path, each.content) for each in artefacts] == [("train.py", b"print('hi')\n"), ("note.txt", b"hello")]
    assert not any(each.executable for each in artefacts)
    (folder / "code" / "train.py").chmod(0o755)
    assert [each.executable for each in loaded(folder, WHOLE).package.variants[0].artefacts] == [True, False]
    assert getattr(job.ask.devices[0], "class") == "gpu"
    assert job.task.gang
    assert (dict(job.labels), job.priority) == ({"team": "vision", "run": "7"}, -5)
    assert job.constraints.deadline.seconds == 1_798_761_600


@pytest.mark.parametrize(
    ("text", "line", "field", "says"),
    [
        ("account: a\nakk: 1\n", 2, "akk", "did you mean 'ask'"),
        ("ask:\n  cpu_mili: 1\n", 2, "ask.cpu_mili", "did you mean 'cpu_milli'"),
        ("ask:\n  cpu_milli: -5\n", 2, "ask.cpu_milli", "negative"),
        ("ask:\n  memory_bytes: 5 apples\n", 2, "ask.memory_bytes", "MiB"),
        ("ask:\n  memory_bytes: 0.3 B\n", 2, "ask.memory_bytes", "whole number"),
        ("max_duration_s: 99999999999999999999\n", 1, "max_duration_s", "too large"),
        ("task: {count: 9999999999}\n", 1, "task.count", "too large"),
        ("task: {gang: perhaps}\n", 1, "task.gang", "true nor false"),
        ("inputs: datasets/x\n", 1, "inputs", "list"),
        ("inputs:\n  - datasets/x\n", 2, "inputs[0]", "mapping"),
        ("account: [a]\n", 1, "account", "single value"),
        ("account:\n", 1, "account", "no value"),
        ("labels: [a]\n", 1, "labels", "mapping"),
        ("labels: {a: 1, a: 2}\n", 1, "labels.a", "twice"),
        ("labels: {a: [1]}\n", 1, "labels.a", "single value"),
        ("account: a\naccount: b\n", 2, "account", "twice"),
        ("state: STATE_DONE\n", 1, "state", "set by the service"),
        ("constraints:\n  deadline: tomorrow\n", 2, "constraints.deadline", "2026-01-31"),
        ("account: a\n  b: [\n", 2, "job.yaml", "YAML"),
        ("- a\n", 1, "job.yaml", "mapping"),
        ("", 1, "job.yaml", "mapping"),
        ("account: a\n---\naccount: b\n", 2, "---", "holds one"),
        ("account: a\n? [b, c]\n: d\n", 2, "?", "name of a field"),
        ('account: "\\ud800"\n', 1, "account", "half a character"),
        ("constraints: {deadline: {a: b}}\n", 1, "constraints.deadline", "single value"),
        ("ask: {cpu_milli: ²m}\n", 1, "ask.cpu_milli", "whole number"),
        ("ask: {cpu_milli: " + "9" * 5000 + "m}\n", 1, "ask.cpu_milli", "too large"),
        (
            'package: {variants: [{artefacts: [{path: a, file: "a\\0b"}]}]}\n',
            1,
            "package.variants[0].artefacts[0].file",
            "such a name",
        ),
        ("a: &x [1]\nb: *x\n", 2, "*x", "alias"),
        ("a: &x {b: *x}\n", 1, "*x", "alias"),
        (
            "package:\n  variants:\n    - artefacts:\n        - {path: a, file: no.py}\n",
            4,
            "package.variants[0].artefacts[0].file",
            "No such file",
        ),
    ],
)
def test_a_mistake_is_named(folder: Path, text: str, line: int, field: str, says: str) -> None:
    """Somebody with a failing job has no patience for "invalid argument"."""
    with pytest.raises(InvalidArgument) as caught:
        loaded(folder, text)
    assert f"job.yaml:{line}:" in str(caught.value)
    assert caught.value.facts["field"].removeprefix(f"{folder}/") == field
    assert says in caught.value.message
    assert caught.value.localized["en"] == caught.value.message
    assert re.search("[一-鿿]", caught.value.localized["zh"])
    assert "Node(" not in caught.value.message


def test_a_field_by_its_former_name_is_taken(folder: Path) -> None:
    """Job files outlive releases; who runs one of last year again has not renamed anything."""
    runtime, engine = (f"package: {{variants: [{{{name}: python3, command: [x]}}]}}" for name in ("runtime", "engine"))
    assert loaded(folder, engine) == loaded(folder, runtime)
    with pytest.raises(InvalidArgument, match="given twice"):
        loaded(folder, "package: {variants: [{runtime: python3, engine: python3, command: [x]}]}")


def test_too_much_code_is_refused_before_it_is_sent(folder: Path) -> None:
    """Code beyond 5 KiB would not fit the job's document."""
    (folder / "code" / "train.py").write_text("#" * 6000)
    with pytest.raises(InvalidArgument, match="input dataset"):
        loaded(folder, WHOLE)


def test_a_huge_file_is_not_parsed(folder: Path) -> None:
    """A wrong path must not cost a minute of YAML parsing."""
    with pytest.raises(InvalidArgument, match="larger than"):
        loaded(folder, "#" * 100_000)
    with pytest.raises(InvalidArgument, match="No such file"):
        jobfile.load(folder / "absent.yaml")


@pytest.mark.parametrize("text", ["a" + chr(0), chr(0xD800), "[" * 10_000])
def test_what_is_no_yaml_at_all_is_told_in_words(folder: Path, text: str) -> None:
    """A binary file given by mistake would read as a defect of ours."""
    path = folder / "job.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(InvalidArgument, match=r"not YAML: [^\n]+$"):
        jobfile.load(path)


def test_what_has_no_end_is_not_read_to_its_end(folder: Path) -> None:
    """A device, a folder or a pipe in place of a file must neither fill the memory nor wait for ever."""
    with pytest.raises(InvalidArgument, match="larger than"):
        jobfile.load(Path("/dev/zero"))
    with pytest.raises(InvalidArgument, match="directory"):
        jobfile.load(folder)
    reader, writer = os.pipe()
    os.write(writer, b"account: accounts/a\n")
    os.close(writer)
    assert jobfile.load(Path(f"/dev/fd/{reader}")).account == "accounts/a"
    os.close(reader)


def test_a_pipe_that_nobody_writes_to_is_given_up(folder: Path) -> None:
    """A script would hang in the night."""
    os.mkfifo(folder / "job.yaml")
    with pytest.raises(InvalidArgument, match="nothing came"):
        jobfile.load(folder / "job.yaml", silence_s_max=0.01)


@given(st.text(max_size=200))
def test_no_text_breaks_the_reader(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """Whatever is in the file, the answer is a job or a refusal."""
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(text.encode("utf-8", "replace"))
    try:
        jobfile.load(path)
    except InvalidArgument as refusal:
        assert refusal.reason == "FIELD_INVALID"  # noqa: PT017 - either outcome is right


def test_a_choice_is_written_by_its_name(folder: Path) -> None:
    """A number that nobody can read, or a name that is taken for another, decides what becomes of results."""
    job = loaded(folder, "task: {count: 2, on_failure: KEEP_GOING}\n")
    assert job.task.on_failure == TaskSpec.ON_FAILURE_KEEP_GOING
    with pytest.raises(InvalidArgument, match=r"task\.on_failure: 'GO_ON' is none of STOP_ALL, KEEP_GOING"):
        loaded(folder, "task: {count: 2, on_failure: GO_ON}\n")


def test_folders_of_results_are_named_beside_the_sweep(folder: Path) -> None:
    """What a sweep is over and what its results are called by is written in one place."""
    job = loaded(folder, "array: {lr: [0.1, 0.01]}\nresult_folder: 'lr={lr}'\n")
    assert job.task.result_folder == "lr={lr}"


DOCS = Path(__file__).resolve().parents[3] / "docs"


@pytest.mark.parametrize("page", ["jobs.md", "jobs.zh-CN.md"])
def test_the_job_that_is_documented_is_taken(folder: Path, page: str) -> None:
    """The first job of a newcomer is a copy of that one."""
    yaml = re.findall(r"```yaml\n(.*?)```", (DOCS / "how-to" / page).read_text(), re.DOTALL)
    assert len(yaml) == 1
    job = loaded(folder, yaml[0])
    require_valid(job)
    require_size(job)
    assert [len(own_values(each)) for each in job.task.parameters] == [2, 2]
    assert (dict(job.environment), job.constraints.budget_micros) == ({"MODEL": "small"}, 500_000)
