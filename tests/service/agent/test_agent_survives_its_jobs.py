"""Whatever one job leaves behind, and whatever the agent gets wrong about it, is that job's trouble alone."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from suanmesh.accounting.v1 import accounting_service_pb2 as pb
from suanmesh.accounting.v1.usage_pb2 import UsageRecord
from suanmesh.type.v1.signed_pb2 import Signed
from suanmesh_agent import delivery, replicas
from suanmesh_agent.domain.stages import Stage
from suanmesh_agent.engines.process.engine import ProcessEngine
from suanmesh_agent.journal import Journal
from suanmesh_agent.meter import Meter
from suanmesh_agent.placements import Placements
from suanmesh_agent.testing import FakeAccounting, FakeSite, State, a_placement
from suanmesh_agent.trees import remove_tree
from suanmesh_kernel.refusals import Refusal, ResourceExhausted

NAME = "placements/p1"
OTHER = "placements/p2"
THIRD = "placements/p3"
DIG = "import os\nos.chdir('{where}')\nfor _ in range({depth}):\n os.mkdir({name}); os.chdir({name})\n"
DEEP, LONG = {"depth": 1500, "name": "'a'"}, {"depth": 30, "name": "'a' * 250"}
STRANGE_OUTPUTS = {
    "loop": (
        "import os; os.rmdir('out'); os.symlink('out', 'out')",
        "out is reached over a link that leads out of the working folder, or in a circle",
    ),
    "gone": ("import os; os.rmdir('out')", "it is not a folder that can be read: No such file or directory"),
}
"""What leaves no folder to take results from."""
LEFT_OUT = {
    "deep": (DIG.format(where="out", **DEEP), "lies too many folders deep"),
    "long": (DIG.format(where="out", **LONG), "its path is too long"),
    "pipe": ("import os; os.mkfifo('out/p')", "'p': neither a file, a folder nor a link"),
    "socket": ("import socket; socket.socket(socket.AF_UNIX).bind('out/s')", "'s': neither a file"),
    "link": ("import os; os.symlink('/etc/passwd', 'out/x')", "'x': a link that leads out of the folder"),
    "holes": ("open('out/holes', 'w').truncate(2**29)", "'holes': larger than the disk it would lie on"),
    "no text": ("import os; os.mkfifo(b'out/\\xff')", "'\\udcff': neither a file"),
}
"""What is no data, and how the log names it."""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[FakeSite]:
    """A site, of whose folder nothing is left: trees this deep are more than pytest's own clearing can bear."""
    yield FakeSite(tmp_path)
    with suppress(OSError):  # where a task that was killed writes to the last
        remove_tree(tmp_path)


async def _ended(world: FakeSite, name: str, state: State.State.ValueType) -> None:
    """The mesh puts a placement down as ended; wait until nothing of it is left but its log."""
    world.scheduler.end(name, state)
    await world.cleared_up()


@pytest.mark.parametrize("tree", [DEEP, LONG], ids=["deep", "long"])
async def test_a_work_folder_of_any_shape_is_cleared_up(world: FakeSite, tree: dict[str, object]) -> None:
    """One tiny job would else end the site's agent for everybody, and again after each restart."""
    world.scheduler.put(a_placement(DIG.format(where=".", **tree)))
    async with world.agent() as journal:
        await world.scheduler.reported(NAME, State.STATE_DELIVERING)
        await _ended(world, NAME, State.STATE_DONE)
        assert not journal.placements()
        world.scheduler.put(a_placement("pass", OTHER))
        await world.scheduler.reported(OTHER, State.STATE_DELIVERING)


@pytest.mark.parametrize("kind", STRANGE_OUTPUTS)
async def test_an_output_of_any_shape_fails_its_placement_alone(world: FakeSite, kind: str) -> None:
    """Its user learns what is wrong with it, and nothing of where the site keeps things; others go on."""
    code, reason = STRANGE_OUTPUTS[kind]
    world.scheduler.put(a_placement(code))
    async with world.agent():
        report = await world.scheduler.reported(NAME, State.STATE_FAILED)
        await _ended(world, NAME, State.STATE_FAILED)
        world.scheduler.put(a_placement("open('out/x', 'w')", OTHER))
        await world.scheduler.reported(OTHER, State.STATE_DELIVERING)
    detail = report.reason.facts["detail"]
    assert report.reason.code == "OUTPUT_INVALID"
    assert detail.startswith("result: ")
    assert reason in detail
    assert str(world.folder) not in detail


@pytest.mark.parametrize("kind", LEFT_OUT)
async def test_what_is_no_data_is_left_out_of_an_output_and_named(
    world: FakeSite, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything else is delivered, and its user learns what was not, and nothing of where the site keeps things."""
    for module in (delivery, replicas):
        monkeypatch.setattr(module, "disk_bytes", lambda folder: 2**28)
    code, told = LEFT_OUT[kind]
    world.scheduler.put(a_placement(f"open('out/model', 'w').write('weights')\n{code}"))
    async with world.agent():
        await world.scheduler.reported(NAME, State.STATE_DELIVERING)
    result = world.replicas.files(world.transport.datasets["datasets/j1-result"].digest)
    log = world.replicas.files(world.transport.datasets["datasets/j1-log"].digest) / "task-0.log"
    assert (result / "model").read_text() == "weights"
    assert "[output result: left out " in log.read_text()
    assert told in log.read_text()
    assert str(world.folder) not in log.read_text()


@pytest.mark.parametrize("where", ["out", "."])
@pytest.mark.parametrize("stage", [Stage.METERED, Stage.REPORTED])
async def test_an_agent_that_comes_back_to_such_a_placement_stays(world: FakeSite, where: str, stage: Stage) -> None:
    """A journal that kills whoever reads it would cost the site until somebody edits it by hand."""
    world.scheduler.put(a_placement(DIG.format(where=where, **DEEP)))
    await world.killed_at(stage)
    async with world.agent() as journal:
        await world.scheduler.reported(NAME, State.STATE_DELIVERING)
        await _ended(world, NAME, State.STATE_DONE)
        assert not journal.placements()


async def test_what_was_left_before_a_restart_is_cleared_up(world: FakeSite) -> None:
    """A site that was killed while it cleared up would else keep the folder for good."""
    world.scheduler.put(a_placement(DIG.format(where=".", **DEEP)))
    async with world.agent() as journal:
        await world.scheduler.reported(NAME, State.STATE_DELIVERING)
        del world.scheduler.placements[NAME]
        journal.forget_placement(NAME)
    async with world.agent():
        await world.cleared_up()


async def test_one_file_of_two_names_is_delivered_under_both(world: FakeSite) -> None:
    """Programs link instead of copying, and the other name must not be a way into the delivered data."""
    code = "import os; open('out/one', 'w').write('42'); os.link('out/one', 'out/two'); os.link('out/one', 'kept')"
    world.scheduler.put(a_placement(code))
    async with world.agent():
        await world.scheduler.reported(NAME, State.STATE_DELIVERING)
        files = world.replicas.files(world.transport.datasets["datasets/j1-result"].digest)
        assert [(files / name).read_text() for name in ("one", "two")] == ["42", "42"]
        (world.folder / "tasks" / "p1" / "0" / "work" / "kept").write_text("other")
        assert (files / "one").read_text() == "42"


async def test_a_folder_that_cannot_be_removed_does_not_hold_its_placement(
    world: FakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fails must not keep a job from its end; what stays is removed once that works."""

    def stuck(engine: ProcessEngine, placement: str) -> None:
        raise OSError(5, "Input/output error")

    world.scheduler.put(a_placement("pass"))
    with monkeypatch.context() as disk:
        disk.setattr(ProcessEngine, "forget_work", stuck)
        async with world.agent() as journal:
            await world.scheduler.reported(NAME, State.STATE_DELIVERING)
            world.scheduler.end(NAME, State.STATE_DONE)
            world.scheduler.put(a_placement("pass", OTHER))
            await world.scheduler.reported(OTHER, State.STATE_DELIVERING)
            assert [name for name, _, _ in journal.placements()] == [OTHER]
    world.scheduler.end(OTHER, State.STATE_DONE)
    async with world.agent():
        await world.cleared_up()


@pytest.mark.parametrize("stop", [False, True])
async def test_a_defect_of_the_agent_ends_the_placement_that_met_it(world: FakeSite, stop: bool) -> None:
    """One document that a line of ours cannot bear would else end the site, and again after each restart."""
    world.transport.defect = ZeroDivisionError("ours")
    world.scheduler.put(a_placement("import time; time.sleep(60)" if stop else "pass"))
    async with world.agent():
        if stop:
            await world.scheduler.reported(NAME, State.STATE_RUNNING)
            world.scheduler.request_stop(NAME)
        report = await world.scheduler.reported(NAME, State.STATE_CANCELLED if stop else State.STATE_FAILED)
        assert report.reason.code == "AGENT_DEFECT"
        assert report.reason.facts["defect"] == "ZeroDivisionError"
        await world.accounting.has(lambda record: record.final)
        world.transport.defect = None
        world.scheduler.put(a_placement("pass", OTHER))
        await world.scheduler.reported(OTHER, State.STATE_DELIVERING)


async def test_a_defect_over_one_placement_that_is_shown_ends_no_other(
    world: FakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One message that we do not know what to do with would end the whole site, and every time it starts again."""
    carry = Placements._carry

    def carry_right(placements: Placements, placement: State, tasks: asyncio.TaskGroup) -> None:
        if placement.name == NAME:
            raise ZeroDivisionError("ours")
        carry(placements, placement, tasks)

    monkeypatch.setattr(Placements, "_carry", carry_right)
    world.scheduler.put(a_placement("pass"))
    world.scheduler.put(a_placement("pass", OTHER))
    async with world.agent():
        await world.scheduler.reported(OTHER, State.STATE_DELIVERING)
        monkeypatch.undo()
        world.scheduler.put(a_placement("pass", THIRD))
        await world.scheduler.reported(THIRD, State.STATE_DELIVERING)


@pytest.mark.parametrize("times", [1, 2], ids=["while it runs", "when it is wound up too"])
async def test_a_defect_while_tasks_run_stops_and_meters_them(
    world: FakeSite, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """A task that nobody follows any more must not go on eating the site, and what it used is still owed."""
    record, defects = Meter.record_tasks, list[Exception]()

    async def first_wrong(meter: Meter, *facts: Any, **more: Any) -> None:
        if defects:
            raise defects.pop()
        await record(meter, *facts, **more)

    monkeypatch.setattr(Meter, "record_tasks", first_wrong)
    world.scheduler.put(a_placement("import time; time.sleep(60)"))
    async with world.agent():
        await world.scheduler.reported(NAME, State.STATE_RUNNING)
        defects += [ZeroDivisionError("ours")] * times
        report = await world.scheduler.reported(NAME, State.STATE_FAILED)
        assert report.reason.code == "AGENT_DEFECT"
        assert world.engine.running() == []
        await world.accounting.has(lambda record: record.final)


async def test_a_full_disk_at_the_site_puts_a_placement_off(world: FakeSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that was paid for must not fail because a site had no room in its journal for a moment."""
    keep, times = Journal.keep_placement, [1, 2]
    small = sqlite3.connect(":memory:", check_same_thread=False)
    small.execute("CREATE TABLE things (content)")
    small.execute("PRAGMA max_page_count = 3")

    def first_full(journal: Journal, name: str, message: bytes) -> None:
        if times:
            times.pop()
            small.execute("INSERT INTO things VALUES (zeroblob(100000))")
        keep(journal, name, message)

    monkeypatch.setattr(Journal, "keep_placement", first_full)
    world.scheduler.put(a_placement("pass"))
    async with world.agent():
        await world.scheduler.reported(NAME, State.STATE_DELIVERING)
    small.close()

    assert times == []
    assert State.STATE_FAILED not in [report.state for report in world.scheduler.reports]


async def test_usage_that_could_not_be_sent_for_a_defect_is_sent_again(world: FakeSite) -> None:
    """A full disk of a moment must cost the provider neither its site nor what it is owed."""
    world.accounting.defects = [ZeroDivisionError("ours")]
    world.scheduler.put(a_placement("pass"))
    async with world.agent():
        await world.accounting.has(lambda record: record.final)
        await world.scheduler.reported(NAME, State.STATE_DELIVERING)


@pytest.mark.parametrize("poisoned", [1, 3], ids=["one", "more than a batch"])
async def test_usage_goes_on_behind_a_record_that_cannot_be_read(
    world: FakeSite, monkeypatch: pytest.MonkeyPatch, poisoned: int
) -> None:
    """One bad block on a disk would else keep from a provider all that it is owed after it."""
    monkeypatch.setattr("suanmesh_agent.meter.BATCH_RECORDS", 2)
    placement = a_placement("pass")
    world.scheduler.put(placement)
    async with world.agent() as journal:
        with journal.together():
            for _ in range(poisoned):
                journal.add_usage(journal.next_sequence(), b"\xff", placement.traceparent)
        final = await world.accounting.has(lambda record: record.final)
        await world.scheduler.reported(NAME, State.STATE_DELIVERING)
        world.scheduler.put(a_placement("pass", OTHER))
        last = await world.accounting.has(lambda record: record.final and record.placement == OTHER)
        await world.scheduler.reported(OTHER, State.STATE_DELIVERING)
    assert poisoned < final.sequence < last.sequence
    assert sorted(world.accounting.records) == list(range(poisoned + 1, last.sequence + 1))
    assert world.accounting.taken == len(world.accounting.records)


async def test_a_defect_over_one_record_of_a_call_leaves_the_others_theirs(world: FakeSite) -> None:
    """Usage of one trace goes in one call: the good records of a call must not share the fate of the bad one."""
    placement = a_placement("import time\nwhile time.process_time() < 0.7: pass")
    world.scheduler.put(placement)
    world.accounting.down = True
    async with world.agent() as journal:
        await world.scheduler.reported(NAME, State.STATE_DELIVERING)
        with journal.together():
            poisoned = journal.next_sequence()
            journal.add_usage(poisoned, b"\xff", placement.traceparent)
        world.accounting.down = False
        final = await world.accounting.has(lambda record: record.final)
        await left_to_send(journal, [])
    assert final.sequence == poisoned - 1 > 1
    assert sorted(world.accounting.records) == list(range(1, poisoned))
    assert world.accounting.taken == poisoned - 1


async def test_usage_that_was_kept_as_it_was_signed_is_sent(world: FakeSite) -> None:
    """A site that is brought up to date with usage on its way is owed that usage."""
    record = UsageRecord(site="sites/a", epoch="e", sequence=1, placement=NAME)
    signed = Signed(payload=record.SerializeToString(), signature=b"s").SerializeToString()
    old = sqlite3.connect(world.folder / "agent.db")
    with old:
        old.execute("CREATE TABLE usage (sequence INTEGER PRIMARY KEY, record BLOB, traceparent TEXT)")
        old.execute("INSERT INTO usage VALUES (1, ?, '')", (signed,))
    old.close()
    async with world.agent() as journal:
        assert await world.accounting.has(lambda sent: sent.placement == NAME) == record
        await left_to_send(journal, [])


async def left_to_send(journal: Journal, sequences: list[int]) -> None:
    """Wait until nothing but these is left: what was taken is written down after its answer."""
    while [row[0] for row in journal.unsent_usage(1000)] != sequences:  # noqa: ASYNC110 - a file, written by a thread
        await asyncio.sleep(0.01)


class FullAccounting(FakeAccounting):
    """Sends records back for want of room."""

    def __init__(self, no_room_for: set[int]) -> None:
        super().__init__()
        self.no_room_for = no_room_for

    async def record_usage(self, request: pb.RecordUsageRequest) -> list[Refusal | None]:
        """Take those there is room for."""
        numbers = [UsageRecord.FromString(raw).sequence for raw in request.records]
        fitting = [raw for raw, number in zip(request.records, numbers, strict=True) if number not in self.no_room_for]
        taken = iter(await super().record_usage(pb.RecordUsageRequest(records=fitting)))
        full = ResourceExhausted("QUARANTINE_FULL", "no room")
        return [full if number in self.no_room_for else next(taken) for number in numbers]


async def test_usage_that_accounting_has_no_room_for_is_kept_and_holds_up_nothing(
    world: FakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is sent back for want of room is owed all the same; what comes after it must not wait for it."""
    monkeypatch.setattr("suanmesh_agent.meter.BATCH_RECORDS", 1)
    accounting = world.accounting = FullAccounting({1, 2})
    placement = a_placement("pass")
    world.scheduler.put(placement)
    async with world.agent() as journal:
        await world.scheduler.reported(NAME, State.STATE_DELIVERING)
        for name in (OTHER, THIRD):
            world.scheduler.put(a_placement("pass", name))
            await world.scheduler.reported(name, State.STATE_DELIVERING)
        await world.accounting.has(lambda record: record.final and record.placement == THIRD)
        await left_to_send(journal, [1, 2])
        calls = world.accounting.calls
        accounting.no_room_for.clear()
        await world.accounting.has(lambda record: record.sequence == 1)
        await world.accounting.has(lambda record: record.sequence == 2)
    assert world.accounting.calls - calls <= 4
    assert world.accounting.taken == len(world.accounting.records)
