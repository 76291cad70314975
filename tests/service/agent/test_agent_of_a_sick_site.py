"""A site that cannot begin what it is sent: it says so, gives the run back, and tells its operator what is wrong."""

from __future__ import annotations

import errno
import shutil
import sqlite3
from collections import namedtuple
from contextlib import closing
from pathlib import Path

import pytest

from suanmesh_agent.engines.memory import MemoryEngine
from suanmesh_agent.engines.process.layout import Layout
from suanmesh_agent.health import DISK_FREE_BYTES_MIN, Health
from suanmesh_agent.journal import Journal
from suanmesh_agent.testing import FakeSite, State, a_placement
from suanmesh_kernel.clock import HandClock
from suanmesh_kernel.quantities import Capacity
from suanmesh_kernel.reasons import StateReason

NAME = "placements/p1"
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def world(tmp_path: Path) -> FakeSite:
    return FakeSite(tmp_path)


async def test_a_full_disk_gives_the_run_back(world: FakeSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not the job that failed: reported so, it burned all its attempts at the cheapest site."""

    def full(layout: Layout, spec: object, cards: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Layout, "lay_out", full)
    world.scheduler.put(a_placement("pass"))
    async with world.agent():
        report = await world.scheduler.reported(NAME, State.STATE_REFUSED)
        assert report.reason.code == "TASK_NOT_STARTED"
        assert "No space left on device" in report.reason.facts["detail"]
        assert "No space left on device" in world.engine.start_fault


async def test_paths_that_collide_are_the_jobs_own_fault(world: FakeSite) -> None:
    """Else one such job would be sent to every site, and each would be left alone for it."""
    placement = a_placement("pass")
    placement.work.variant.artefacts.add(path="out", content=b"x")
    world.scheduler.put(placement)
    async with world.agent():
        report = await world.scheduler.reported(NAME, State.STATE_FAILED)
        assert report.reason.code == "LAYOUT_INVALID"
        assert world.engine.start_fault == ""


def test_what_is_wrong_is_told_and_forgotten_when_it_is_mended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator who looks at the site must read what to mend, and no longer than it is so."""
    clock, journal = HandClock(), Journal(tmp_path / "agent.db")
    engine = MemoryEngine(clock)
    health = Health(tmp_path, journal, clock, engine)
    free = [DISK_FREE_BYTES_MIN]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, free[0]))
    assert not health.reason()
    assert health.really_free(Capacity(scratch_bytes=2**40)).scratch_bytes == DISK_FREE_BYTES_MIN
    free[0] -= 1
    assert health.reason().code == "DISK_FULL"
    free[0] += 1
    engine.start_fault = "the shim did not start"
    assert health.reason() == StateReason("TASK_NOT_STARTED", {"detail": "the shim did not start"})

    def broken(key: str, value: str) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    clock.advance(60)
    monkeypatch.setattr(journal, "remember", broken)
    assert health.reason().code == "JOURNAL_FAULT"
    journal.close()


@pytest.mark.parametrize("whole", [False, True])
def test_a_folder_that_is_removed_under_a_running_agent_is_told(tmp_path: Path, *, whole: bool) -> None:
    """Jobs went on coming to it, and each ended for a reason that had nothing to do with what was wrong."""
    clock, folder = HandClock(), tmp_path / "guiyang"
    folder.mkdir()
    journal = Journal(folder / "agent.db")
    health = Health(folder, journal, clock, MemoryEngine(clock))
    assert not health.reason()
    shutil.rmtree(folder)
    if not whole:
        folder.mkdir()  # as the next task does

    told = health.reason()

    assert (told.code, "agent.db is gone" in told.facts["detail"]) == ("JOURNAL_FAULT", True)
    assert health.really_free(Capacity(scratch_bytes=1)).scratch_bytes == (0 if whole else 1)
    journal.close()


def test_what_is_remembered_already_needs_no_disk(tmp_path: Path) -> None:
    """An agent that starts again on a full disk, at the port that it had, would end and leave its tasks alone."""
    journal = Journal(tmp_path / "agent.db")
    journal.remember("data_port", "4711")
    file = tmp_path / "agent.db"
    with closing(sqlite3.connect(file)) as other, closing(sqlite3.connect(file, timeout=0)) as third:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError):
            third.execute("BEGIN IMMEDIATE")  # nobody else can write
        journal.remember("data_port", "4711")
    journal.close()
