"""Taking turns at what changed."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from suanmesh_store import Dirty


async def test_a_name_in_hand_is_handed_to_no_one_else_until_it_is_left() -> None:
    """Two hands on one job would place it twice, or spin while one of them waits for the other."""
    dirty = Dirty(["a", "b"])
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks, AsyncExitStack() as first:
        assert await first.enter_async_context(dirty.turn()) == "a"
        dirty.add(["a"])
        async with dirty.turn() as other:
            assert other == "b"
        waiting = tasks.create_task(dirty.take())
        await asyncio.sleep(0)
        assert not waiting.done()
        await first.aclose()
        assert await waiting == "a"


async def test_one_that_was_not_added_again_comes_no_more() -> None:
    """What is done would be done again for ever."""
    dirty = Dirty(["a"])
    async with dirty.turn():
        dirty.add(["b"])
    async with dirty.turn() as name:
        assert name == "b"
    dirty.add(["c"])
    assert await dirty.take() == "c"
