"""What is read ahead and what is made in threads comes in its order and whole, and leaves nothing open."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Generator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suanmesh_sdk.read_ahead import ReadAhead, in_threads


class Source:
    """Gives numbers, and says how many it was asked for."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.asked = 0
        self.closed = False

    async def numbers(self) -> AsyncGenerator[int, None]:
        for number in range(self.most):
            self.asked += 1
            await asyncio.sleep(0)
            yield number

    def steps(self) -> Generator[int, None, None]:
        try:
            for number in range(self.most):
                self.asked += 1
                yield number
        finally:
            self.closed = True


@given(st.integers(0, 20))
def test_nothing_is_lost_or_changes_places(most: int) -> None:
    """Every second megabyte of a folder would be zeros at the site."""

    async def gone_through() -> tuple[list[int], list[int]]:
        ahead = [number async for number in ReadAhead(Source(most).numbers())]
        return ahead, [number async for number in in_threads(Source(most).steps())]

    assert asyncio.run(gone_through()) == (list(range(most)), list(range(most)))


async def test_one_message_is_read_ahead_and_no_more() -> None:
    """A gateway would gather what a slow site does not take, of every stream."""
    source = Source(10)
    ahead = ReadAhead(source.numbers())
    assert await anext(ahead) == 0
    for _ in range(20):
        await asyncio.sleep(0)
    assert source.asked == 2
    ahead.close()


async def test_what_is_not_read_to_its_end_leaves_no_task() -> None:
    """A stream that broke off must not be waited for by a process that serves for months."""

    async def silent() -> AsyncGenerator[int, None]:
        yield 0
        await asyncio.Event().wait()
        yield 1

    ahead = ReadAhead(silent())
    assert await anext(ahead) == 0
    ahead.close()
    while len(asyncio.all_tasks()) > 1:  # noqa: ASYNC110 - of the loop's own tasks there is no event
        await asyncio.sleep(0)


async def test_a_failure_comes_where_it_belongs() -> None:
    """What came before it is whole, and must be kept."""

    async def failing() -> AsyncGenerator[int, None]:
        yield 0
        raise OSError("gone")

    ahead = ReadAhead(failing())
    assert await anext(ahead) == 0
    with pytest.raises(OSError, match="gone"):
        await anext(ahead)


async def test_work_in_a_thread_is_closed_once_no_thread_is_at_it() -> None:
    """A file that is closed while it is read may be another by then, and its bytes somebody else's."""
    at_it, go_on = threading.Event(), threading.Event()
    closed_meanwhile: list[bool] = []

    def work() -> Generator[int, None, None]:
        try:
            at_it.set()
            go_on.wait()
            closed_meanwhile.append(False)
            yield 0
        finally:
            closed_meanwhile.append(True)

    waiting = asyncio.ensure_future(anext(in_threads(work())))
    await asyncio.to_thread(at_it.wait)
    waiting.cancel()
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert closed_meanwhile == [False, True]
