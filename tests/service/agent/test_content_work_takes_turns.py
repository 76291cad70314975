"""Hashing and copying of one job's large output holds nobody else's small one up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator
from pathlib import Path

import pytest

from suanmesh_agent.folder_files import files_of
from suanmesh_agent.replicas import Replicas
from suanmesh_agent.testing import FakeSite, State, a_placement, write_numbers
from suanmesh_agent.turns import TURN_BYTES, Turns
from suanmesh_content import read_folder

HOLES = "import os; open('out/x', 'w').write('1'); os.truncate('out/x', {size})"
GIB = 1 << 30


class Steps:
    """Work of so many steps of a whole turn each."""

    def __init__(self, steps: int) -> None:
        self.left = steps
        self.closed = False

    def work(self) -> Generator[int, None, str]:
        try:
            while self.left:
                self.left -= 1
                yield TURN_BYTES
        finally:
            self.closed = True
        return "done"


async def test_short_work_is_done_before_long_work_that_began_earlier() -> None:
    """A job of a second must not wait for one of an hour."""
    turns, long, short = Turns(1), [Steps(10_000) for _ in range(8)], Steps(1)
    async with asyncio.TaskGroup() as group:
        begun = [group.create_task(turns.run(each.work())) for each in long]
        await asyncio.sleep(0)
        assert await turns.run(short.work()) == "done"
        assert all(each.left > 9_900 for each in long)
        for task in begun:
            task.cancel()
    assert all(each.closed or each.left == 10_000 for each in long)


async def test_what_work_refuses_is_told_to_who_waits_for_it() -> None:
    """A folder that is no dataset must fail its job, not hang it."""

    def failing() -> Generator[int, None, None]:
        yield 1
        raise ValueError("ours")

    with pytest.raises(ValueError, match="ours"):
        await Turns().run(failing())


async def test_an_import_that_is_broken_off_leaves_nothing(tmp_path: Path) -> None:
    """A placement that is put down while its output is read must not fill the disk."""
    replicas = Replicas(tmp_path / "site")
    folder = write_numbers(tmp_path / "data", 4, 40 << 20)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(Turns().run(replicas.taking_in({"": files_of(folder)})))
        while not list((tmp_path / "site" / "incoming").iterdir()):  # noqa: ASYNC110 - made by a thread
            await asyncio.sleep(0)
        task.cancel()
    assert list((tmp_path / "site" / "incoming").iterdir()) == []
    assert list((tmp_path / "site" / "replicas").iterdir()) == []


async def test_work_is_closed_however_often_its_caller_is_cancelled() -> None:
    """A folder that is being read would stay open, and what was half copied on the disk, until the agent ends."""
    begun, go_on, closed = threading.Event(), threading.Event(), []

    def work() -> Generator[int, None, None]:
        try:
            begun.set()
            go_on.wait()
            yield TURN_BYTES
        finally:
            closed.append(True)

    task = asyncio.get_running_loop().create_task(Turns().run(work()))
    await asyncio.to_thread(begun.wait)
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert closed == [True]


async def test_a_sparse_output_is_delivered_sparse(tmp_path: Path) -> None:
    """What a program left out is no data: it takes neither the site's disk nor its time to write."""
    world = FakeSite(tmp_path)
    world.scheduler.put(a_placement(HOLES.format(size=GIB // 4)))
    async with world.agent():
        await world.scheduler.reported("placements/p1", State.STATE_DELIVERING)
    digest = world.transport.datasets["datasets/j1-result"].digest
    made = world.replicas.files(digest) / "x"
    assert made.stat().st_size == GIB // 4
    assert made.stat().st_blocks * 512 <= 1 << 20
    assert world.transport.datasets["datasets/j1-result"].bytes == GIB // 4


async def test_a_hole_counts_for_the_bound_of_an_output(tmp_path: Path) -> None:
    """What is nothing but holes is refused before the first of them is hashed."""
    world = FakeSite(tmp_path)
    placement = a_placement(HOLES.format(size=GIB))  # no file passes what a task without scratch of its own asked for
    placement.work.outputs[0].max_bytes = GIB // 2
    world.scheduler.put(placement)
    async with world.agent(), asyncio.timeout(60):
        report = await world.scheduler.reported("placements/p1", State.STATE_FAILED)
    assert (report.reason.code, report.reason.facts["bytes"]) == ("OUTPUT_TOO_LARGE", str(GIB))


def test_an_import_of_holes_is_sparse(tmp_path: Path) -> None:
    """`publish` copies; a copy with the holes filled would need the disk that the original did not."""
    (tmp_path / "data").mkdir()
    with (tmp_path / "data" / "x").open("wb") as file:
        file.truncate(GIB // 4)
    replicas = Replicas(tmp_path / "site")
    manifest = replicas.take_in({"": tmp_path / "data"})
    assert (replicas.files(manifest.digest) / "x").stat().st_blocks * 512 <= 1 << 20
    assert manifest.digest == read_folder(tmp_path / "data").digest
