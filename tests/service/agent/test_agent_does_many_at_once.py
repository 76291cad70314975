"""What an agent writes down and tells for many placements goes together, and what fails of it fails alone."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from functools import partial
from pathlib import Path

import pytest
from scenario.virtual_time import run

from suanmesh_agent.batching import Batcher
from suanmesh_agent.domain.stages import Stage
from suanmesh_agent.journal import Journal
from suanmesh_kernel.refusals import Unavailable

COUNT = 50


class Counting(Journal):
    """A journal that counts its writes to disk, and notes whether the event loop made one."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.commits, self.by_loop = 0, False
        self._loop_thread = threading.get_ident()
        self._writer.set_trace_callback(self._traced)

    def _traced(self, statement: str) -> None:
        self.commits += statement == "COMMIT"
        self.by_loop = self.by_loop or threading.get_ident() == self._loop_thread


async def test_steps_that_come_together_are_one_write(tmp_path: Path) -> None:
    """A disk takes some hundred writes a second, and nothing else is done while the event loop waits for one."""
    journal = Counting(tmp_path / "agent.db")
    names = [f"placements/p{index}" for index in range(COUNT)]
    await asyncio.gather(*(journal.commit(partial(journal.keep_placement, name, b"x")) for name in names))
    assert [name for name, _, _ in journal.placements()] == sorted(names)
    assert journal.commits <= 3
    assert not journal.by_loop
    journal.close()


async def test_a_step_that_fails_leaves_no_trace_and_takes_no_other_with_it(tmp_path: Path) -> None:
    """One placement's defect must not undo what was written down of all others."""
    journal = Journal(tmp_path / "agent.db")

    def wrong() -> None:
        journal.keep_placement("placements/wrong", b"x")
        journal.go_on("placements/wrong", Stage.METERED)

    steps = [journal.commit(partial(journal.keep_placement, "placements/right", b"x")), journal.commit(wrong)]
    right, failed = await asyncio.gather(*steps, return_exceptions=True)
    assert right is None
    assert isinstance(failed, ValueError)
    assert [name for name, _, _ in journal.placements()] == ["placements/right"]
    journal.close()


async def test_a_write_that_fails_is_told_to_all_whose_steps_it_held(tmp_path: Path) -> None:
    """A step that is thought to be on disk and is not would be done twice, or never, after a restart."""
    journal = Journal(tmp_path / "agent.db")
    journal._writer.execute("PRAGMA max_page_count = 1")
    steps = [journal.commit(partial(journal.keep_placement, f"placements/p{i}", bytes(100_000))) for i in range(3)]
    faults = await asyncio.gather(*steps, return_exceptions=True)
    assert all(isinstance(fault, sqlite3.OperationalError) for fault in faults)
    assert journal.placements() == []
    journal.close()


async def test_a_read_sees_nothing_that_is_not_on_disk(tmp_path: Path) -> None:
    """Capacity would be given away on the word of a step that is undone."""
    journal = Journal(tmp_path / "agent.db")
    within, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        journal.keep_placement("placements/p", b"x")
        within.set()
        go_on.wait(10)

    step = asyncio.create_task(journal.commit(slow))
    await asyncio.to_thread(within.wait, 10)
    assert journal.placements() == []
    go_on.set()
    await step
    assert len(journal.placements()) == 1
    journal.close()


async def test_what_is_asked_during_a_call_goes_with_the_next() -> None:
    """A thousand reports were a thousand calls, each of which costs as much as one of a hundred reports."""
    calls: list[list[int]] = []
    release = asyncio.Event()

    async def call(items: list[int]) -> list[int]:
        calls.append(items)
        await release.wait()
        return [item * 10 for item in items]

    batcher = Batcher(call, items_max=4)
    asked = [asyncio.create_task(batcher.ask(item)) for item in range(6)]
    await asyncio.sleep(0)
    release.set()
    assert await asyncio.gather(*asked) == [0, 10, 20, 30, 40, 50]
    assert calls == [[0], [1, 2, 3, 4], [5]] or calls == [[0, 1, 2, 3], [4, 5]]


def test_what_comes_one_after_the_other_goes_together() -> None:
    """Placements are reported milliseconds apart, and each call costs every service on its way."""
    calls: list[list[int]] = []

    async def call(items: list[int]) -> list[int]:
        calls.append(items)
        return items

    async def steadily() -> None:
        batcher = Batcher(call, items_max=100, apart_s=0.055)
        asked = []
        for item in range(10):
            asked.append(asyncio.create_task(batcher.ask(item)))
            await asyncio.sleep(0.01)
        assert await asyncio.gather(*asked) == list(range(10))

    run(steadily())
    assert calls == [[0], [1, 2, 3, 4, 5], [6, 7, 8, 9]]


async def test_a_call_is_no_larger_than_it_may_be() -> None:
    """Reports of large jobs together are more than a message may hold."""
    calls: list[list[int]] = []

    async def call(sizes: list[int]) -> list[int]:
        calls.append(sizes)
        await asyncio.sleep(0)
        return sizes

    batcher = Batcher(call, items_max=100, size=lambda size: size, bytes_max=10)
    await asyncio.gather(*(batcher.ask(size) for size in (4, 4, 4, 30, 1)))
    assert sorted(size for sizes in calls for size in sizes) == [1, 4, 4, 4, 30]
    assert all(sum(sizes) <= 10 or len(sizes) == 1 for sizes in calls)


async def test_a_call_that_fails_fails_for_each_and_one_given_up_for_none() -> None:
    """A placement that is let go must not take the reports of others with it."""
    under_way, release = asyncio.Event(), asyncio.Event()

    async def call(items: list[str]) -> list[str]:
        under_way.set()
        await release.wait()
        if "bad" in items:
            raise Unavailable("NOT_READY", "away")
        return items

    batcher = Batcher(call, items_max=10)
    given_up = asyncio.create_task(batcher.ask("first"))
    await under_way.wait()
    others = [asyncio.create_task(batcher.ask(item)) for item in ("second", "third")]
    await asyncio.sleep(0)
    given_up.cancel()
    release.set()
    assert await asyncio.gather(*others) == ["second", "third"]
    with pytest.raises(Unavailable):
        await batcher.ask("bad")
