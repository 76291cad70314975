"""One item's defect is that item's: logged, counted, handed on, and left alone for a while."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Awaitable, Callable
from io import StringIO

import pytest
from prometheus_client import REGISTRY

from suanmesh_chassis import FailureBackoff
from suanmesh_chassis.failure_backoff import PUT_OFF_S_MAX
from suanmesh_kernel.clock import HandClock
from suanmesh_telemetry.logs import configure_logs

WORK = "settle thing"


class Things:
    """Items that are worked on; those in `bad` have a defect."""

    def __init__(self) -> None:
        self.bad: set[str] = set()
        self.tried: list[str] = []
        self.failed: list[tuple[str, str]] = []

    def settle(self, name: str) -> Callable[[], Awaitable[None]]:
        async def act() -> None:
            self.tried.append(name)
            if name in self.bad:
                raise ZeroDivisionError(name)

        return act

    def take(self, name: str) -> Callable[[Exception], Awaitable[None]]:
        async def failed(defect: Exception) -> None:
            self.failed.append((name, type(defect).__name__))

        return failed


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def backoff(clock: HandClock) -> FailureBackoff:
    return FailureBackoff(WORK, clock, pause_first_s=1.0, pause_max_s=4.0)


def counted() -> float:
    return REGISTRY.get_sample_value("suan_defects_total", {"work": WORK}) or 0.0


async def test_a_defect_is_logged_counted_and_handed_on(backoff: FailureBackoff) -> None:
    """A document that one line of ours cannot bear must cost its owner, not everybody who shares the node."""
    lines, before = StringIO(), counted()
    configure_logs("test", "info", lines)
    things = Things()
    things.bad = {"a"}

    assert await backoff.run("a", things.settle("a"), things.take("a"))
    assert await backoff.run("b", things.settle("b"), things.take("b"))

    line = json.loads(lines.getvalue())
    assert (line["event"], line["work"], line["item"]) == ("work failed", WORK, "a")
    assert "ZeroDivisionError" in line["exception"]
    assert counted() == before + 1
    assert things.failed == [("a", "ZeroDivisionError")]


async def test_a_failing_item_is_left_alone_for_longer_each_time(backoff: FailureBackoff, clock: HandClock) -> None:
    """One item that fails for good must not take the turns of those that do not."""
    things = Things()
    things.bad = {"a"}
    pauses = []
    for _ in range(4):
        assert not await backoff.run("a", things.settle("a"))
        pauses.append(backoff.parked_s("a"))
        assert not await backoff.run("a", things.settle("a"))
        clock.advance(backoff.parked_s("a"))
    assert things.tried == ["a"] * 4
    assert pauses == [1.0, 2.0, 4.0, 4.0]


async def test_an_item_that_works_again_begins_anew(backoff: FailureBackoff, clock: HandClock) -> None:
    """What was mended must not pay for its past."""
    things = Things()
    things.bad = {"a"}
    await backoff.run("a", things.settle("a"))
    clock.advance(1.0)
    things.bad = set()
    assert await backoff.run("a", things.settle("a"))
    things.bad = {"a"}
    await backoff.run("a", things.settle("a"))
    assert backoff.parked_s("a") == 1.0


async def test_a_failure_that_cannot_be_told_is_no_end_either(backoff: FailureBackoff) -> None:
    """The second defect on the way must not bring down what the first one did not."""
    things = Things()
    things.bad = {"a"}

    async def failed(defect: Exception) -> None:
        raise KeyError(str(defect))

    assert not await backoff.run("a", things.settle("a"), failed)
    assert backoff.parked_s("a") > 0


async def test_being_told_to_end_is_no_defect(backoff: FailureBackoff) -> None:
    """A process that took its own end for a defect could not be stopped."""

    async def act() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await backoff.run("a", act)
    assert backoff.parked_s("a") == 0.0


async def test_it_is_tried_until_it_is_done() -> None:
    """A follower of one item has nobody else who would come back to it."""
    backoff = FailureBackoff(WORK, HandClock(), pause_first_s=0.0, pause_max_s=0.0)
    tried = []

    async def act() -> None:
        tried.append(1)
        if len(tried) < 3:
            raise ZeroDivisionError

    await backoff.until_done("a", act)
    assert len(tried) == 3


async def test_a_full_disk_puts_work_off_and_is_no_defect(backoff: FailureBackoff, clock: HandClock) -> None:
    """A job whose site has no room for a moment must wait for it, not fail for a defect; nobody is woken for a bug."""
    disk = sqlite3.connect(":memory:")
    disk.execute("CREATE TABLE things (content)")
    disk.execute("PRAGMA max_page_count = 3")
    lines, before, taken = StringIO(), counted(), list[Exception]()
    configure_logs("test", "info", lines)

    async def write() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(asyncio.sleep(0))
            disk.execute("INSERT INTO things VALUES (zeroblob(100000))")

    async def take(fault: Exception) -> None:
        taken.append(fault)

    for _ in range(5):
        assert not await backoff.run("a", write, take)
        assert 0 < backoff.parked_s("a") <= PUT_OFF_S_MAX
        clock.advance(seconds=PUT_OFF_S_MAX)
    disk.execute("PRAGMA max_page_count = 1000")
    assert await backoff.run("a", write, take)

    told = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert {(line["event"], line["level"], line["reason"]) for line in told} == {
        ("work put off", "warning", "DISK_FULL")
    }
    assert (taken, counted() - before) == ([], 0)
    disk.close()
