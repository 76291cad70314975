"""A journal restored from an older copy: all usage is charged exactly once, whatever ran before and after."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from suanmesh.accounting.v1 import usage_pb2
from suanmesh.type.v1 import money_pb2
from suanmesh_agent.domain.metering import Allotment, amounts
from suanmesh_agent.domain.tasks import TaskKey
from suanmesh_agent.engines.process.engine import ProcessEngine
from suanmesh_agent.task_run import until_over
from suanmesh_agent.testing import FakeSite, State, a_placement

BURN = "import time\nend = time.process_time() + {seconds}\nwhile time.process_time() < end: pass\n"


class Restored:
    """A site whose `agent.db` is copied and brought back."""

    def __init__(self, folder: Path) -> None:
        self.world = FakeSite(folder)
        self.db = folder / "agent.db"
        self.copy = folder / "copy.db"

    async def runs(self, *names: str, seconds: float = 0.1) -> None:
        """Jobs from their begin to the last record of their usage."""
        async with self.world.agent():
            for name in names:
                self.begin(name, seconds)
            for name in names:
                await self.ended(name)

    def begin(self, name: str, seconds: float, until: Path | None = None) -> None:
        """A task that burns, and then goes on for as long as the file `until` is missing."""
        code = BURN.format(seconds=seconds)
        if until is not None:
            code += f"import pathlib\nwhile not pathlib.Path({str(until)!r}).exists(): time.sleep(0.01)\n"
        placement = a_placement(code, name)
        placement.job, placement.work.ask.memory_bytes = name.replace("placements/", "jobs/"), 2**26
        self.world.scheduler.put(placement)

    async def ended(self, name: str) -> None:
        await self.world.scheduler.reported(name, State.STATE_DELIVERING)
        await self.world.accounting.has(lambda record: record.placement == name and record.final)

    async def let_end(self, name: str, gate: Path) -> None:
        """Let the task end while no agent is there."""
        gate.touch()  # noqa: ASYNC240 - one local file
        with closing(ProcessEngine(self.world.folder / "tasks", sandbox=None, cgroups=None, runtime_path=())) as engine:
            await until_over(engine, [TaskKey(name.removeprefix("placements/"), 0)])

    def keep_copy(self) -> None:
        """As a backup does it, also of an agent that runs."""
        with sqlite3.connect(self.db) as live, sqlite3.connect(self.copy) as kept:
            live.backup(kept)
        live.close()
        kept.close()

    def bring_back(self) -> None:
        for path in (self.db, *self.db.parent.glob("agent.db-*")):
            path.unlink(missing_ok=True)
        self.copy.rename(self.db)

    def charged(self, name: str) -> Counter[int]:
        """What all records of a placement come to, by meter."""
        total: Counter[int] = Counter()
        for record in self.of(name):
            total.update({reading.meter: reading.quantity for reading in record.readings})
        return total

    def of(self, name: str) -> list[usage_pb2.UsageRecord]:
        return [record for record in self.world.accounting.stored.values() if record.placement == name]

    async def require_charged_once(self, *names: str) -> None:
        """Every job has one final record, and its records come to what its task used."""
        for name in names:
            (look,) = await self.world.engine.inspect([TaskKey(name.removeprefix("placements/"), 0)])
            used = amounts(look.usage, Allotment(2**26, 0))
            assert [record.final for record in self.of(name)].count(True) == 1, name
            assert self.charged(name)[money_pb2.METER_CPU_US] == used.cpu_us, name
            assert self.charged(name)[money_pb2.METER_MEMORY_MIB_S] == used.memory_mib_s, name


@pytest.fixture
def site(tmp_path: Path) -> Restored:
    return Restored(tmp_path)


async def test_jobs_before_between_and_after_are_each_charged_once(site: Restored) -> None:
    """Sequence numbers that were used before had everything after a restore thrown away."""
    await site.runs("placements/before")
    site.keep_copy()
    await site.runs("placements/between", "placements/between-2")
    site.bring_back()
    await site.runs("placements/after", "placements/after-2")
    await site.require_charged_once(
        *(f"placements/{n}" for n in ("before", "between", "between-2", "after", "after-2"))
    )
    assert len({record.epoch for record in site.world.accounting.stored.values()}) == 2


async def test_a_job_that_ran_while_the_copy_was_made_is_charged_once(site: Restored) -> None:
    """What it used after the copy stands in the ledger already, and its meter knows nothing of that."""
    async with site.world.agent():
        site.begin("placements/long", 1.5)
        await site.world.accounting.has(lambda record: record.placement == "placements/long")
        site.keep_copy()
        await site.ended("placements/long")
    site.bring_back()
    await site.runs("placements/after")
    await site.require_charged_once("placements/long", "placements/after")


async def test_what_was_written_while_accounting_was_away_is_charged_once(site: Restored) -> None:
    """A site meters on without the mesh; that it was set back is found out only when the mesh is back."""
    await site.runs("placements/before")
    site.keep_copy()
    await site.runs("placements/between")
    site.bring_back()
    site.world.accounting.down = True
    async with site.world.agent():
        site.begin("placements/after", 0.1)
        await site.world.scheduler.reported("placements/after", State.STATE_DELIVERING)
        site.world.accounting.down = False
        await site.ended("placements/after")
    await site.require_charged_once("placements/before", "placements/between", "placements/after")


async def test_the_same_copy_brought_back_twice_harms_nothing(site: Restored) -> None:
    """Whoever restores once, and sees it go wrong, restores again."""
    await site.runs("placements/before")
    for turn in range(2):
        site.keep_copy() if turn == 0 else None
        kept = site.copy.read_bytes()
        await site.runs(f"placements/between-{turn}")
        site.bring_back()
        site.copy.write_bytes(kept)
    await site.runs("placements/after")
    await site.require_charged_once(
        "placements/before", "placements/between-0", "placements/between-1", "placements/after"
    )


async def test_a_restart_begins_no_epoch(site: Restored) -> None:
    """An epoch a restart would hide gaps from whoever audits the sequence numbers."""
    await site.runs("placements/one")
    await site.runs("placements/two")
    assert len({record.epoch for record in site.world.accounting.stored.values()}) == 1
    assert sorted(site.world.accounting.records) == list(range(1, len(site.world.accounting.stored) + 1))


async def test_a_job_the_copy_knows_nothing_of_is_ended_and_charged_once(site: Restored) -> None:
    """It runs on although nobody remembers it; what it used until it is ended was bought by somebody."""
    await site.runs("placements/before")
    site.keep_copy()
    async with site.world.agent():
        site.begin("placements/forgotten", 30)
        await site.world.scheduler.reported("placements/forgotten", State.STATE_RUNNING)
        await site.world.accounting.has(lambda record: record.placement == "placements/forgotten")
    site.bring_back()
    async with site.world.agent():
        report = await site.world.scheduler.reported("placements/forgotten", State.STATE_FAILED)
        assert report.reason.code == "STATE_LOST"
        await site.world.accounting.has(lambda record: record.placement == "placements/forgotten" and record.final)
    await site.require_charged_once("placements/before", "placements/forgotten")


@pytest.mark.parametrize("ended", [False, True], ids=["it runs on", "it ended meanwhile"])
async def test_a_job_that_had_only_just_begun_is_delivered_and_charged_once(site: Restored, ended: bool) -> None:
    """The mesh has not heard yet that it runs, and the restored journal knows nothing of it; it is found all the same.

    What it made was cleared up as nobody's where it had ended before the mesh named it.
    """
    gate = site.world.folder / "gate"
    await site.runs("placements/before")
    site.keep_copy()
    async with site.world.agent():
        site.begin("placements/begun", 0.5, until=gate)
        await site.world.accounting.has(lambda record: record.placement == "placements/begun")
    if ended:
        await site.let_end("placements/begun", gate)
    site.world.scheduler.placements["placements/begun"].state = State.STATE_ACCEPTED
    site.bring_back()
    async with site.world.agent():
        gate.touch()
        await site.ended("placements/begun")
    await site.require_charged_once("placements/before", "placements/begun")
