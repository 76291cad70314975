"""One site's agent with services on paper: from a committed placement to delivered datasets and signed usage."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest

from suanmesh.scheduler.v1.job_pb2 import TaskSpec
from suanmesh.scheduler.v1.scheduler_service_pb2 import TaskReport
from suanmesh.transport.v1 import dataset_pb2
from suanmesh.transport.v1 import transport_service_pb2 as pb
from suanmesh.type.v1 import money_pb2
from suanmesh_agent.domain.stages import Stage
from suanmesh_agent.testing import FakeSite, State, a_placement
from suanmesh_kernel.reasons import NO_REASON, StateReason
from suanmesh_sdk.state_reasons import reason_from

NAME = "placements/p1"


@pytest.fixture
def world(tmp_path: Path) -> FakeSite:
    return FakeSite(tmp_path)


async def test_a_placement_runs_and_is_delivered(world: FakeSite) -> None:
    """The main promise: what was asked for runs, and its results and its log become data of the party."""
    world.scheduler.put(a_placement("print('hello'); open('out/answer', 'w').write('42')"))
    async with world.agent():
        report = await world.scheduler.reported(NAME, State.STATE_DELIVERING)
        assert list(report.output_datasets) == ["datasets/j1-result", "datasets/j1-log"]
        assert report.tasks[0].exit_status == 0
        answer = world.replicas.files(world.transport.datasets["datasets/j1-result"].digest) / "answer"
        assert answer.read_text() == "42"
        assert world.transport.datasets["datasets/j1-result"].party == "parties/acme"
        log = world.replicas.files(world.transport.datasets["datasets/j1-log"].digest) / "task-0.log"
        assert log.read_text() == "hello\n"
    states = [report.state for report in world.scheduler.reports]
    assert states == [State.STATE_ACCEPTED, State.STATE_RUNNING, State.STATE_DELIVERING]


async def test_usage_adds_up_and_is_numbered_without_gaps(world: FakeSite) -> None:
    """A bill is the sum of its lines: intervals must neither overlap nor leave anything out."""
    code = "import time\nwhile time.process_time() < 1.0: pass"
    world.scheduler.put(a_placement(code))
    async with world.agent():
        final = await world.accounting.has(lambda record: record.final)
        assert world.engine.running() == []
    records = [world.accounting.records[number] for number in sorted(world.accounting.records)]
    assert [record.sequence for record in records] == list(range(1, len(records) + 1))
    assert len(records) >= 2
    assert final.sequence == len(records)
    for earlier, later in pairwise(records):
        assert earlier.end_time.ToNanoseconds() == later.start_time.ToNanoseconds()
    cpu_us = sum(r.quantity for record in records for r in record.readings if r.meter == money_pb2.METER_CPU_US)
    assert 950_000 <= cpu_us <= 1_300_000


async def test_usage_waits_for_accounting(world: FakeSite) -> None:
    """A site must be paid for what it gave, also when accounting was away."""
    world.accounting.down = True
    world.scheduler.put(a_placement("pass"))
    async with world.agent() as journal:
        await world.scheduler.reported(NAME, State.STATE_DELIVERING)
        assert journal.unsent_usage(10)
    world.accounting.down = False
    async with world.agent() as journal:
        await world.accounting.has(lambda record: record.final)
    assert sorted(world.accounting.records) == list(range(1, len(world.accounting.records) + 1))


def told(report: TaskReport) -> str:
    return str(reason_from(report.reason))


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"cpu": 3000}, "CAPACITY_TAKEN (missing 1000, quantity cpu_milli)"),
        ({"memory": 2**31}, "CAPACITY_TAKEN (missing 1073741824, quantity memory_bytes)"),
        ({"runtime": "matlab"}, "RUNTIME_MISSING (runtime matlab)"),
        ({"mount": "../../etc"}, "PATH_INVALID (path ../../etc)"),
    ],
)
async def test_what_does_not_fit_is_refused_with_the_numbers(
    world: FakeSite, fields: dict[str, object], code: str
) -> None:
    """The owner keeps control of its site, and the scheduler learns why at once."""
    placement = a_placement("pass")
    placement.work.ask.cpu_milli = int(str(fields.get("cpu", 1000)))
    placement.work.ask.memory_bytes = int(str(fields.get("memory", 2**28)))
    placement.work.variant.runtime = str(fields.get("runtime", "python3"))
    placement.work.outputs[0].mount = str(fields.get("mount", "out"))
    world.scheduler.put(placement)
    async with world.agent():
        report = await world.scheduler.reported(NAME, State.STATE_REFUSED)
    assert told(report) == code


async def test_a_stranger_is_refused_where_there_is_no_sandbox(world: FakeSite) -> None:
    """Without walls a stranger's program reads the site's keys: the job is decided anew for a site that has them."""
    placement = a_placement("pass")
    placement.party = "parties/stranger"
    world.scheduler.put(placement)
    async with world.agent():
        report = await world.scheduler.reported(NAME, State.STATE_REFUSED)
    assert told(report) == "SANDBOX_MISSING (party parties/stranger)"


async def test_capacity_that_is_taken_is_not_given_twice(world: FakeSite) -> None:
    """Two jobs on the cores of one is a promise broken to both."""
    first = a_placement("import time; time.sleep(60)")
    first.work.ask.cpu_milli = 1500
    second = a_placement("pass")
    second.name = "placements/p2"
    world.scheduler.put(first)
    async with world.agent():
        await world.scheduler.reported(NAME, State.STATE_RUNNING)
        world.scheduler.put(second)
        report = await world.scheduler.reported("placements/p2", State.STATE_REFUSED)
        assert told(report) == "CAPACITY_TAKEN (missing 500, quantity cpu_milli)"
        world.scheduler.request_stop(NAME)
        await world.scheduler.reported(NAME, State.STATE_CANCELLED)


async def test_a_failed_task_fails_the_placement_with_its_log(world: FakeSite) -> None:
    """Somebody with a failing job reads why from its log, also after the site has cleared up."""
    world.scheduler.put(a_placement("print('on my way'); raise SystemExit(7)"))
    async with world.agent():
        report = await world.scheduler.reported(NAME, State.STATE_FAILED)
    assert told(report) == "EXIT_STATUS (exit_status 7, task 0)"
    assert (list(report.output_datasets), report.log_dataset) == ([], "datasets/j1-log")
    assert "datasets/j1-log" in world.transport.datasets
    assert "datasets/j1-result" not in world.transport.datasets


async def test_one_failed_task_of_a_gang_stops_the_others(world: FakeSite) -> None:
    """The tasks of a gang need each other: what is left of it only costs money."""
    code = "import os, sys, time\nif os.environ['SUANMESH_TASK_INDEX'] == '1': sys.exit(5)\ntime.sleep(60)"
    placement = a_placement(code, count=2)
    world.scheduler.put(placement)
    async with world.agent():
        report = await world.scheduler.reported(NAME, State.STATE_FAILED)
    assert told(report) == "EXIT_STATUS (exit_status 5, task 1)"
    assert [task.state_reason.code for task in report.tasks] == ["STOPPED_BY_TASK", "EXIT_STATUS"]
    assert dict(report.tasks[0].state_reason.facts) == {"task": "0", "by": "1"}


async def test_a_failed_task_leaves_the_others_their_results_where_they_keep_going(world: FakeSite) -> None:
    """A sweep of hours would be thrown away for one bad parameter."""
    code = "import os; n = os.environ['SUANMESH_TASK_INDEX']; open('out/n', 'w').write(n); raise SystemExit(n == '1')"
    placement = a_placement(code, count=3, on_failure=TaskSpec.ON_FAILURE_KEEP_GOING)
    placement.legs.add(pool="sites/a/pools/cpu").hosts.add(host="h", tasks=1)
    world.scheduler.put(placement)
    async with world.agent():
        report = await world.scheduler.reported(NAME, State.STATE_DELIVERING)
        made = world.replicas.files(world.transport.datasets["datasets/j1-result"].digest)
        results = {path.parent.name: path.read_text() for path in made.rglob("n")}
    assert told(report) == "EXIT_STATUS (exit_status 1, failed 1, task 1, tasks 3)"
    assert list(report.output_datasets) == ["datasets/j1-result", "datasets/j1-log"]
    failed = StateReason("EXIT_STATUS", {"task": "1", "exit_status": "1"})
    assert [reason_from(task.state_reason) for task in report.tasks] == [NO_REASON, failed, NO_REASON]
    assert results == {"task-0": "0", "task-2": "2"}


async def test_more_tasks_than_there_is_room_for_run_in_waves(world: FakeSite) -> None:
    """A job of many small tasks must neither be refused for its number nor take more of the site than it was given."""
    code = "import os, time; began = time.time(); time.sleep(0.3); open('out/t', 'w').write(f'{began} {time.time()}')"
    placement = a_placement(code, count=5)
    placement.legs.add(pool="sites/a/pools/cpu").hosts.add(host="h", tasks=2)
    world.scheduler.put(placement)
    async with world.agent():
        report = await world.scheduler.reported(NAME, State.STATE_DELIVERING)
        made = world.replicas.files(world.transport.datasets["datasets/j1-result"].digest)
        times = [tuple(map(float, path.read_text().split())) for path in sorted(made.rglob("t"))]
    assert [task.exit_status for task in report.tasks] == [0] * 5
    assert len(times) == 5
    assert max(sum(begin <= moment < end for begin, end in times) for moment, _ in times) <= 2


async def test_a_wave_after_a_failed_task_is_not_started(world: FakeSite) -> None:
    """Who pays for a job that has failed already must not pay for the rest of it."""
    placement = a_placement("raise SystemExit(3)", count=4)
    placement.legs.add(pool="sites/a/pools/cpu").hosts.add(host="h", tasks=1)
    world.scheduler.put(placement)
    async with world.agent():
        report = await world.scheduler.reported(NAME, State.STATE_FAILED)
    assert told(report) == "EXIT_STATUS (exit_status 3, task 0)"
    assert [task.index for task in report.tasks] == [0]


async def test_a_job_is_cancelled_while_it_runs(world: FakeSite) -> None:
    """Who cancels stops paying: the task ends, its usage until then is told as final."""
    world.scheduler.put(a_placement("import time; time.sleep(60)"))
    async with world.agent():
        await world.scheduler.reported(NAME, State.STATE_RUNNING)
        world.scheduler.request_stop(NAME)
        await world.scheduler.reported(NAME, State.STATE_CANCELLED)
        await world.accounting.has(lambda record: record.final)


async def test_a_job_is_cancelled_while_it_waits_for_its_input(world: FakeSite) -> None:
    """A job whose data never comes must still be cancellable."""
    placement = a_placement("pass")
    placement.work.inputs.add(dataset="datasets/far", mount="in")
    await world.transport.create_dataset(a_dataset("far", "0" * 64))
    world.scheduler.put(placement)
    async with world.agent():
        await world.scheduler.reported(NAME, State.STATE_ACCEPTED)
        world.scheduler.request_stop(NAME)
        await world.scheduler.reported(NAME, State.STATE_CANCELLED)


async def test_a_placement_the_mesh_gave_up_is_stopped(world: FakeSite) -> None:
    """A site that was lost and comes back must not run what runs elsewhere by now."""
    world.scheduler.put(a_placement("import time; time.sleep(60)"))
    async with world.agent():
        await world.scheduler.reported(NAME, State.STATE_RUNNING)
        world.scheduler.end(NAME, State.STATE_LOST)
        await world.accounting.has(lambda record: record.final)
        assert world.engine.running() == []


async def test_inputs_that_are_here_are_mounted(world: FakeSite, tmp_path: Path) -> None:
    """Data that lies at the site already needs no transfer."""
    (tmp_path / "numbers").mkdir()
    (tmp_path / "numbers" / "n").write_text("20 22")
    placement = a_placement("print(sum(map(int, open('in/numbers/n').read().split())))")
    placement.work.inputs.add(dataset="datasets/numbers", mount="in/numbers")
    async with world.agent():
        manifest = world.replicas.take_in({"": tmp_path / "numbers"})
        await world.delivery.publish("numbers", "parties/acme", manifest)
        world.scheduler.put(placement)
        await world.scheduler.reported(NAME, State.STATE_DELIVERING)
        log = world.replicas.files(world.transport.datasets["datasets/j1-log"].digest) / "task-0.log"
        assert log.read_text() == "42\n"


async def test_an_output_that_is_gone_fails_the_placement(world: FakeSite) -> None:
    """A result that is not there must not pass for an empty one."""
    world.scheduler.put(a_placement("import os; os.rename('out', 'o2')"))
    async with world.agent():
        report = await world.scheduler.reported(NAME, State.STATE_FAILED)
    assert (report.reason.code, report.log_dataset) == ("OUTPUT_INVALID", "datasets/j1-log")


async def test_an_output_that_is_gone_keeps_no_other_away(world: FakeSite) -> None:
    """One task of a sweep that tidies up too much, or one folder with a typo, must not cost a night's results."""
    code = (
        "import os; n = os.environ['SUANMESH_TASK_INDEX']; open('out/n', 'w').write(n)\n"
        "if n == '1': os.rename('out', 'o2')"
    )
    placement = a_placement(code, count=3)
    placement.legs.add(pool="sites/a/pools/cpu").hosts.add(host="h", tasks=1)
    placement.work.outputs.add(output_id="extra", mount="extra")
    world.scheduler.put(placement)
    async with world.agent():
        report = await world.scheduler.reported(NAME, State.STATE_DELIVERING)
    assert (report.reason.code, report.reason.facts["task"]) == ("OUTPUT_INVALID", "1")
    assert list(report.output_datasets) == ["datasets/j1-result", "datasets/j1-extra", "datasets/j1-log"]
    made = world.replicas.files(world.transport.datasets["datasets/j1-result"].digest)
    assert {path: (made / path / "n").read_text() for path in ("task-0", "task-2")} == {"task-0": "0", "task-2": "2"}
    log = world.replicas.files(world.transport.datasets["datasets/j1-log"].digest)
    assert "[output result: left out whole: " in (log / "task-1.log").read_text()


async def test_an_output_that_is_too_large_keeps_no_other_away(world: FakeSite) -> None:
    """The checkpoints were larger than thought; the metrics beside them are small, and paid for."""
    placement = a_placement("open('out/big', 'wb').write(bytes(1001)); open('extra/small', 'w').write('0.98')")
    placement.work.outputs[0].max_bytes = 1000
    placement.work.outputs.add(output_id="extra", mount="extra")
    world.scheduler.put(placement)
    async with world.agent():
        report = await world.scheduler.reported(NAME, State.STATE_DELIVERING)
    assert report.reason.code == "OUTPUT_TOO_LARGE"
    kept = world.replicas.files(world.transport.datasets["datasets/j1-extra"].digest)
    assert (kept / "small").read_text() == "0.98"
    assert world.transport.datasets["datasets/j1-result"].files == 0


async def test_what_is_too_large_of_one_task_keeps_no_other_task_s_away(world: FakeSite) -> None:
    """One of sixty runs that wrote too much would cost the other fifty-nine."""
    placement = a_placement(
        "import os; n = int(os.environ['SUANMESH_TASK_INDEX']); open('out/n', 'wb').write(bytes(1 + 1000 * (n == 1)))",
        count=3,
    )
    placement.legs.add(pool="sites/a/pools/cpu").hosts.add(host="h", tasks=1)
    placement.work.outputs[0].max_bytes = 1000
    world.scheduler.put(placement)
    async with world.agent():
        report = await world.scheduler.reported(NAME, State.STATE_DELIVERING)
    assert (report.reason.code, report.reason.facts["bytes"]) == ("OUTPUT_TOO_LARGE", "1003")
    made = world.replicas.files(world.transport.datasets["datasets/j1-result"].digest)
    assert {path.name for path in made.iterdir()} == {"task-0", "task-2"}
    log = world.replicas.files(world.transport.datasets["datasets/j1-log"].digest)
    assert "[output result: left out whole: " in (log / "task-1.log").read_text()


@pytest.mark.parametrize(("size", "end"), [(1000, State.STATE_DELIVERING), (1001, State.STATE_FAILED)])
async def test_a_result_keeps_to_the_bound_its_way_was_priced_by(world: FakeSite, size: int, end: int) -> None:
    """What is larger than was reckoned with would be moved at a cost nobody has held."""
    placement = a_placement(
        f"open('out/half', 'wb').write(bytes(500)); open('out/rest', 'wb').write(bytes({size - 500}))"
    )
    placement.work.outputs[0].max_bytes = 1000
    world.scheduler.put(placement)
    async with world.agent():
        report = await world.scheduler.reported(NAME, end)
    too_large = "OUTPUT_TOO_LARGE (bytes 1001, max_bytes 1000, output result)"
    assert told(report) == (too_large if end == State.STATE_FAILED else "")


@pytest.mark.parametrize("killed_at", [Stage.ACCEPTED, Stage.STARTED, Stage.METERED, Stage.REPORTED])
async def test_an_agent_killed_at_any_stage_goes_on(world: FakeSite, killed_at: Stage, tmp_path: Path) -> None:
    """A crash of the agent costs nobody a run: the task runs once, is metered once, and is delivered."""
    placement = a_placement("import time; open('out/runs', 'a').write('x'); time.sleep(0.5)")
    if killed_at is Stage.ACCEPTED:  # there is something to wait for
        placement.work.inputs.add(dataset="datasets/numbers", mount="in/numbers")
        (tmp_path / "numbers").mkdir()
        async with world.agent():
            manifest = world.replicas.take_in({"": tmp_path / "numbers"})
            await world.delivery.publish("numbers", "parties/acme", manifest)
    world.scheduler.put(placement)
    await world.killed_at(killed_at)
    async with world.agent():
        await world.scheduler.reported(NAME, State.STATE_DELIVERING)
        await world.accounting.has(lambda record: record.final)
        runs = world.replicas.files(world.transport.datasets["datasets/j1-result"].digest) / "runs"
        assert runs.read_text() == "x"
    assert [record.final for record in world.accounting.records.values()].count(True) == 1
    assert sorted(world.accounting.records) == list(range(1, len(world.accounting.records) + 1))


@pytest.mark.parametrize("reached", ["staged", "started", "ended"])
async def test_a_journal_of_an_earlier_version_is_gone_on_with(world: FakeSite, reached: str) -> None:
    """A site that takes a new version while jobs run must neither stop at its own journal nor run them again."""
    world.scheduler.put(a_placement("open('out/runs', 'a').write('x')"))
    await world.killed_at(Stage.STARTED)
    with closing(sqlite3.connect(world.folder / "agent.db")) as db, db:
        db.execute("UPDATE placements SET stage = ?", (reached,))
    async with world.agent():
        await world.scheduler.reported(NAME, State.STATE_DELIVERING)
        runs = world.replicas.files(world.transport.datasets["datasets/j1-result"].digest) / "runs"
        assert runs.read_text() == "x"


async def test_work_is_cleared_up_and_the_log_stays(world: FakeSite) -> None:
    """A site that runs for years must not fill up, and a log is still read after the job is done."""
    world.scheduler.put(a_placement("print('bye')"))
    async with world.agent() as journal:
        await world.scheduler.reported(NAME, State.STATE_DELIVERING)
        world.scheduler.end(NAME, State.STATE_DONE)
        await world.cleared_up()
        assert world.engine.ended_placements() == ["p1"]
        assert not journal.placements()


def a_dataset(name: str, digest: str) -> pb.DatasetAsk:
    return pb.DatasetAsk(dataset_id=name, dataset=dataset_pb2.Dataset(party="parties/acme", digest=digest))


@pytest.mark.parametrize("path", ["out", "算" * 100])
async def test_a_folder_that_cannot_be_laid_out_fails_its_placement_alone(world: FakeSite, path: str) -> None:
    """One user's package would otherwise end the agent, and again after every restart, for everybody at the site."""
    placement = a_placement("print('never')")
    placement.work.variant.artefacts.add(path=path, content=b"x")
    world.scheduler.put(placement)
    async with world.agent():
        await world.scheduler.reported(NAME, State.STATE_FAILED)


@pytest.mark.parametrize(
    ("taken", "outcome"),
    [(["j1-result"], State.STATE_DELIVERING), (["j1-result", "j1-result--1"], State.STATE_FAILED)],
)
async def test_a_taken_name_costs_a_result_no_more_than_its_plain_name(
    world: FakeSite, taken: list[str], outcome: State.State.ValueType
) -> None:
    """Anybody who publishes first what a job will be called would keep its site waiting for ever."""
    for name in taken:
        await world.transport.create_dataset(a_dataset(name, "0" * 64))
    world.scheduler.put(a_placement("open('out/answer', 'w').write('42')"))
    async with world.agent():
        report = await world.scheduler.reported(NAME, outcome)
    if outcome == State.STATE_DELIVERING:
        assert list(report.output_datasets) == ["datasets/j1-result--1", "datasets/j1-log"]
    else:
        assert reason_from(report.reason).names_any({"DATASET_EXISTS"})
