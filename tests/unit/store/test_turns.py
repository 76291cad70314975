"""Taking turns at what changed."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from suanmesh_store import WorkQueue


async def test_a_name_in_hand_is_handed_to_no_one_else_until_it_is_left() -> None:
    """Two hands on one job would place it twice, or spin while one of them waits for the other."""
    queue = WorkQueue(["a", "b"])
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks, AsyncExitStack() as first:
        assert await first.enter_async_context(queue.turn()) == "a"
        queue.add(["a"])
        async with queue.turn() as other:
            assert other == "b"
        waiting = tasks.create_task(queue.take())
        await asyncio.sleep(0)
        assert not waiting.done()
        await first.aclose()
        assert await waiting == "a"


async def test_one_that_was_not_added_again_comes_no_more() -> None:
    """What is done would be done again for ever."""
    queue = WorkQueue(["a"])
    async with queue.turn():
        queue.add(["b"])
    async with queue.turn() as name:
        assert name == "b"
    queue.add(["c"])
    assert await queue.take() == "c"
