"""Job files as people write them: short forms, templates, folders, and where what is wrong was written."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import textwrap
from datetime import UTC, timedelta
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from suanmesh.scheduler.v1.job_pb2 import Job, TaskSpec
from suanmesh_cli import jobfile, units
from suanmesh_cli.jobfields import SET_BY_SERVICE
from suanmesh_cli.jobforms import SHORT
from suanmesh_kernel.clock import HandClock
from suanmesh_kernel.refusals import InvalidArgument
from suanmesh_sdk.parameters import value_of
from suanmesh_sdk.workdir import LAY_OUT

SHORT_JOB = """\
name: sweep
account: demo
labels: {team: vision}
command: python3 train.py
args: [--epochs, 3]
runtime: python3
files: [train.py]
env: {MODEL: small}
cpu: 1.5
memory: 2Gi
scratch: 512MiB
budget: 1.50
deadline: 2027-01-01T00:00:00Z
max_duration: 2h30m
array: {lr: [0.10, 0.01], seed: 1..3}
on_failure: continue
retry: {times: 3, backoff: 10s, exit_statuses: [75]}
allow_sites: [hefei]
"""
LONG_JOB = """\
name: sweep
account: accounts/demo
labels: {team: vision}
package:
  variants:
    - command: [python3, train.py, --epochs, "3"]
      runtime: python3
      artefacts: [{path: train.py, file: train.py}]
environment: {MODEL: small}
ask: {cpu_milli: 1500, memory_bytes: 2147483648, scratch_bytes: 536870912}
constraints: {budget_micros: 1500000, deadline: 2027-01-01T00:00:00Z, allow_sites: [sites/hefei]}
max_duration_s: 9000
task:
  count: 6
  on_failure: KEEP_GOING
  retry: {times: 3, backoff_s: 10, exit_statuses: [75]}
  parameters:
    - {name: LR, values: ["0.10", "0.01"], each: 3}
    - {name: SEED, range: {first: 1, step: 1, count: 3}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "train.py").write_text("print('hi')\n")
    return tmp_path


def read(folder: Path, text: str, **values: str) -> jobfile.JobFile:
    path = folder / "job.yaml"
    path.write_text(text)
    return jobfile.read(path, values)


def refused(folder: Path, text: str, **values: str) -> str:
    with pytest.raises(InvalidArgument) as caught:
        read(folder, text, **values)
    return str(caught.value).replace(f"{folder}/", "")


def test_the_short_form_is_the_long_one(folder: Path) -> None:
    """A unit or a value that is lost between both is paid for in money."""
    assert read(folder, SHORT_JOB).job == read(folder, LONG_JOB).job


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("ask: {cpu: 500m}", "cpu_milli", 500),
        ("ask: {cpu: 2}", "cpu_milli", 2000),
        ("ask: {cpu: 0.5 cores}", "cpu_milli", 500),
        ("cpu: 2", "cpu_milli", 2000),
        ("ask: {cpu_milli: 2}", "cpu_milli", 2),
        ("memory: 1.5GiB", "memory_bytes", 3 << 29),
        ("memory: 2097152", "memory_bytes", 2 << 20),
        ("memory: 512mi", "memory_bytes", 512 << 20),
        ("memory: 2gb", "memory_bytes", 2 * 10**9),
        ("memory: 1.1Gi", "memory_bytes", 1181116007),
        ("memory: 1G", "memory_bytes", None),
        ("memory: 64", "memory_bytes", None),
        ("scratch: 10", "scratch_bytes", None),
        ("cpu: 0.0001", "cpu_milli", None),
        ("cpu: many", "cpu_milli", None),
    ],
)
def test_quantities_are_those_that_people_mean(folder: Path, text: str, field: str, value: int | None) -> None:
    """Two cores that become two thousandths wait for ever or run for ever."""
    if value is None:
        assert "job.yaml:1:" in refused(folder, text)
    else:
        assert getattr(read(folder, text).job.ask, field) == value


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2h30m", 9000), ("90", 90), ("90s", 90), ("1d 2h", 93600), ("1.5h", 5400), ("30m2h", None), ("1h1h", None)],
)
def test_a_time_is_read_from_the_largest_unit_down(folder: Path, text: str, seconds: int | None) -> None:
    """A typing error of a minute for an hour ends a run in its middle."""
    if seconds is None:
        assert "max_duration" in refused(folder, f"max_duration: {text}")
    else:
        assert read(folder, f"max_duration: {text}").job.max_duration_s == seconds


@given(st.integers(0, 10**15))
def test_money_is_exact(micros: int) -> None:
    """A budget that is a float is wrong by a little, and somebody pays for it."""
    assert units.times(f"{micros // 10**6}.{micros % 10**6:06d}", 10**6) == micros


@given(st.lists(st.lists(st.integers(-99, 99), min_size=1, max_size=4), min_size=1, max_size=3))
@example([[-1, 0, 1]])
@example([[3, 2, 1]])
def test_a_sweep_is_every_combination_once(axes: list[list[int]]) -> None:
    """A combination that is missing is noticed when the paper is written."""
    names = ["a", "b", "c"][: len(axes)]
    text = yaml.safe_dump({"array": dict(zip(names, axes, strict=True))}, sort_keys=False)
    task = _task_of(text)
    columns = [[value_of(parameter, index) for index in range(task.count)] for parameter in task.parameters]
    assert [parameter.name.lower() for parameter in task.parameters] == names
    assert list(zip(*columns, strict=True)) == [tuple(map(str, each)) for each in itertools.product(*axes)]
    assert task.count == len(columns[0])


@pytest.mark.parametrize(
    ("given", "values"), [("3..1", "3 2 1"), ("-1..1", "-1 0 1"), ("10..0..5", "10 5 0"), ("-1..-3", "-1 -2 -3")]
)
def test_a_range_goes_down_and_below_nothing_too(given: str, values: str) -> None:
    """Learning rates are swept by their exponents."""
    task = _task_of(f"array: {{exponent: {given}}}")
    assert [value_of(task.parameters[0], index) for index in range(task.count)] == values.split()


def _task_of(text: str) -> TaskSpec:
    reader, writer = os.pipe()
    os.write(writer, text.encode())
    os.close(writer)
    try:
        return jobfile.load(Path(f"/dev/fd/{reader}")).task
    finally:
        os.close(reader)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("array: {seed: 1..10001}", "job.yaml:1: array: makes 10001 tasks"),
        ("account: a\narray: {a: 1..200, b: 1..100}", "job.yaml:2: array: makes 20000 tasks"),
        ("array: {seed: many}", "job.yaml:1: array.seed: a list, or a range"),
        ("array: {seed: 1..9..0}", "array.seed"),
        ("array: {seed: []}", "array.seed"),
        ("array: [1, 2]", "array: a mapping"),
        ("array: {s: [1]}\ntask: {count: 3}", "task.count: given twice"),
        ("cpu: 1\nask: {cpu_milli: 5}", "ask.cpu: given twice"),
        ("env: {A: b}\nenvironment: {A: b}", "environment: given twice"),
        ("env: {A: b}\nenv: {A: b}", "job.yaml:2: env: given twice"),
        ("command: [a]\npackage: {variants: []}", "command: stands in the variants"),
        ("args: [a]", "job.yaml:1: args: there is no command"),
        ("command: 'a \"b'", "command: cannot be split"),
        ("comand: a", "did you mean 'command'"),
        ("ask: {memry: 1}", "did you mean 'memory'"),
        ("budget: 1.0000001", "constraints.budget: '1.0000001' is no amount of money"),
        ("budget: lots", "such as 1.50"),
        ("budget: -1", "negative"),
        ("constraints: {max_latency: 5}", "is no number with one of us"),
        ("on_failure: restart", "STOP_ALL, KEEP_GOING, stop, continue"),
        ("memory: 2G", "is 2Gi or 2GB meant?"),
        ("memory: 64", "is 64 bytes: write the unit that is meant, such as 64Mi or 64Gi"),
        ("max_duration: 1.5s", "is no whole number of s"),
        ("deadline: 2027-01-31T18:00", "names no zone"),
        ("deadline: 2027-01-31", "names no zone"),
        ("array: {s: [1, null]}", "job.yaml:1: array.s: has no value"),
        ("array: 0-9", "such as {seed: 1..10}; `count` makes equal tasks"),
        ("array: {learning-rate: [1]}", "job.yaml:1: array.learning-rate: a name is letters"),
        ("command: null", "command: has no value"),
        ("command: [a]\nworkdir:", "job.yaml:2: workdir: has no value"),
        ("command: [a]\nsetup:", "setup: has no value"),
        ("command: [a]\nsetup: {wheels: nowhere}", "setup.wheels: nowhere"),
        ("command: a | b\nargs: [c]", "job.yaml:2: args: a shell reads the command"),
        ("run: python3 train.py", "did you mean 'command'"),
        ("gpus: 1", "did you mean 'devices'"),
        ("walltime: 1h", "did you mean 'max_duration'"),
        ("max_latency: 5ms", "it is one of 'constraints'"),
        ("inputs: [digits]", "a mapping is expected, such as {dataset: digits, mount: in/digits}"),
        ("devices: gpu", "a list is expected, such as [{class: gpu, count: 1}]"),
        ("allow_sites: wuhu", "a list is expected, such as [wuhu]"),
        ("files: [no.py]\ncommand: [a]", "No such file"),
        ("command: [a]\nworkdir: nowhere", "job.yaml:2: workdir: No such file"),
    ],
)
def test_a_mistake_in_a_short_form_is_named_where_it_stands(folder: Path, text: str, says: str) -> None:
    """Who wrote the short form looks for the mistake there, not in a field that is not in the file."""
    assert says in refused(folder, text)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("python3 train.py --lr 0.1", ["python3", "train.py", "--lr", "0.1"]),
        ("echo 'a | b' \\$HOME", ["echo", "a | b", "$HOME"]),
        ("|\n  echo a\n", ["echo", "a"]),
        ("python3 train.py | tee out/log", None),
        ("python3 train.py --lr $SUANMESH_PARAM_LR", None),
        ("|\n  make\n  ./run\n", None),
    ],
)
def test_a_line_that_asks_for_a_shell_gets_one(folder: Path, line: str, words: list[str] | None) -> None:
    """A job that hands `| tee log` to its program as words ends well, and has done something else."""
    command = list(read(folder, f"command: {line}").job.package.variants[0].command)
    shown = line.removeprefix("|\n").replace("\n  ", "\n").strip()
    assert command == (words if words is not None else ["/bin/sh", "-ec", shown])


def test_a_deadline_may_be_so_long_from_now(folder: Path) -> None:
    """A job file that is submitted every day cannot name a day."""
    clock = HandClock()
    (folder / "job.yaml").write_text("deadline: 2h30m")
    read_at = jobfile.read(folder / "job.yaml", clock=clock).job.constraints.deadline
    assert read_at.ToDatetime(UTC) == clock.now() + timedelta(hours=2, minutes=30)
    east = read(folder, "deadline: 2027-01-31 18:00+08:00").job.constraints.deadline
    assert east.ToJsonString() == "2027-01-31T10:00:00Z"


def test_a_number_of_retries_is_enough(folder: Path) -> None:
    """Who wants a task run again wants to say how often, and nothing else."""
    assert read(folder, "retry: 3").job.task.retry.times == 3


@pytest.mark.parametrize("setup", ["''", "{}", "{run: []}", "'{{ lines | }}'"])
def test_an_empty_setup_is_none(folder: Path, setup: str) -> None:
    """A setup is charged, and doubles the time that a plan reckons with."""
    assert not read(folder, f"command: [a]\nsetup: {setup}").job.HasField("setup")


def test_what_is_set_gives_values_and_no_structure(folder: Path) -> None:
    """A value with a colon or a quote would else change the job around it."""
    text = "account: {{account}}\ncpu: {{ cpu | 1 }}\ncommand: [echo, '{{ word }}', '{{word}}-{{ cpu | 1 }}']\n"
    job = read(folder, text, account="demo", word="a: [b]\n'c").job
    assert (job.account, job.ask.cpu_milli) == ("accounts/demo", 1000)
    assert list(job.package.variants[0].command) == ["echo", "a: [b]\n'c", "a: [b]\n'c-1"]
    assert read(folder, text, account="a", word="w", cpu="2").job.ask.cpu_milli == 2000
    assert read(folder, "task: {gang: {{gang}}}", gang="true").job.task.gang
    assert "job.yaml:1: {{ account }}: has no value: give --set account=VALUE" in refused(folder, text)
    assert "no place {{ colour }}" in refused(folder, text, account="a", word="w", colour="red")


def test_an_axis_of_an_array_is_set_as_a_list_or_a_range(folder: Path) -> None:
    """A script that sweeps other values each time would have to write the file anew."""
    text = "account: demo\ncommand: [a]\narray: {lr: {{ lr }}, seed: {{ seed | 1..2 }}}\n"
    tasks = read(folder, text, lr="[0.10, 'a, b']").job.task
    assert (tasks.count, list(tasks.parameters[0].values)) == (4, ["0.10", "a, b"])
    assert read(folder, text, lr="[1]", seed="1..3").job.task.count == 3
    for wrong in ("[]", "[[1]]", "{a: 1}", "[1", "1,2", "[~]", ""):
        assert "job.yaml:3: array.lr" in refused(folder, text, lr=wrong)


def test_standard_input_is_a_file(folder: Path) -> None:
    """A script that makes job files need not name and remove one each."""
    program = (
        "from pathlib import Path; from suanmesh_cli import jobfile; print(jobfile.load(Path('-')).account, end='')"
    )
    given = subprocess.run(
        [sys.executable, "-c", program], input=b"account: demo\n", capture_output=True, check=True, timeout=60
    )
    assert given.stdout == b"accounts/demo"


def test_lines_that_install_packages_are_packages(folder: Path) -> None:
    """What people write everywhere must work where only a mirror can bring what it names."""
    (folder / "requirements.txt").write_text("# what it needs\nnumpy==2.1  # arrays\n\npandas[excel]>=2,<3\n")
    lines = "pip install -r requirements.txt 'torch ~= 2.1'\npython3 -m pip install tqdm\nmake\npip install ./own\n"
    file = read(folder, f"setup: |\n{textwrap.indent(lines, '  ')}command: [true]\n")
    assert list(file.job.setup.python) == ["numpy==2.1", "pandas[excel]>=2,<3", "torch ~= 2.1", "tqdm"]
    assert list(file.job.setup.run) == ["make", "pip install ./own"]
    assert list(file.job.package.variants[0].command) == ["true"], "a setup is no part of each task"
    assert any("without network" in note.en for note in file.notes)


def test_wheels_travel_with_the_job(folder: Path) -> None:
    """There is no other way to a package where a site has no mirror."""
    (folder / "lib").mkdir()
    wheels = read(folder, "setup: {python: [numpy==2.1], wheels: lib/}\ncommand: [true]\n")
    assert (wheels.wheels, wheels.job.setup.wheels) == (folder / "lib", ".wheels")
    given = read(folder, "setup: {python: [numpy==2.1], wheels: datasets/lib@2}\ncommand: [true]\n")
    assert given.wheels is None
    assert [(each.dataset, each.mount) for each in given.job.inputs] == [("datasets/lib@2", ".wheels")]


@pytest.mark.parametrize(
    ("setup", "where"),
    [
        ("{pip: [numpy]}", "setup.pip"),
        ("{python: none.txt}", "setup.python"),
        ("{run: {a: b}}", "setup.run"),
        ("pip install -r evil.txt", "setup"),
    ],
)
def test_a_wrong_setup_is_named_where_it_stands(folder: Path, setup: str, where: str) -> None:
    """A job that waits for an hour to find out that a file is missing is an hour lost."""
    (folder / "evil.txt").write_text("--index-url https://example.org\n")
    with pytest.raises(InvalidArgument) as refused:
        read(folder, f"command: [true]\nsetup: {setup}\n")
    assert (refused.value.facts["field"], refused.value.facts["line"]) == (where, "2")


def test_a_folder_goes_with_the_job_as_it_is(folder: Path) -> None:
    """A script that lost its bit, or a link that was followed out of the folder, fails far away or tells too much."""
    code = folder / "code"
    (code / "data").mkdir(parents=True)
    (code / "run.sh").write_text("#!/bin/sh\n")
    (code / "run.sh").chmod(0o755)
    (code / "data" / "notes.tmp").write_text("no")
    (code / "data" / "keep.tmp").write_text("yes")
    (code / ".suanignore").write_text("*.tmp\n!keep.tmp\n")
    (code / ".git").mkdir()
    (code / ".git" / "config").write_text("token")
    (code / "inner").symlink_to("run.sh")
    (code / "outer").symlink_to("/etc/passwd")
    file = read(folder, "workdir: code\ncommand: ./run.sh\n")
    found = {each.path: (each.content, each.executable) for each in file.job.package.variants[0].artefacts}
    script = (b"#!/bin/sh\n", True)
    assert found == {"run.sh": script, "inner": script, "data/keep.tmp": (b"yes", False)}
    assert [note.en for note in file.notes] == ["workdir: left out, no files of it: outer"]


def test_a_large_folder_is_brought_before_the_job(folder: Path) -> None:
    """Code of any size goes with a job; what the job itself holds has a bound."""
    (folder / "model.bin").write_bytes(b"x" * 6000)
    large = read(folder, "workdir: .\nsetup: echo ready\ncommand: [python3, train.py]\n")
    (variant,) = large.job.package.variants
    assert (large.workdir, list(variant.artefacts)) == (folder, [])
    assert list(large.job.setup.run) == [LAY_OUT, "echo ready"]
    assert list(variant.command[:2]) == ["/bin/sh", "-c"]
    assert list(variant.command[-2:]) == ["python3", "train.py"]
    (folder / ".suanignore").write_text("*.bin\n")
    small = read(folder, "workdir: .\ncommand: [python3, train.py]\n")
    (variant,) = small.job.package.variants
    assert small.workdir is None
    assert [each.path for each in variant.artefacts] == ["train.py"], "the job file itself stays at home"


def test_every_short_form_and_field_is_in_the_schema() -> None:
    """An editor would else mark as wrong what is right."""
    schema = yaml.safe_load(Path(jobfile.__file__).with_name("job.schema.json").read_text())
    fields = {field.name for field in Job.DESCRIPTOR.fields} - SET_BY_SERVICE
    assert fields | SHORT | {"max_duration"} == set(schema["properties"])
    assert all(each.get("description") for each in schema["properties"].values())
