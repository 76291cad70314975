"""One at a time under one name."""

from __future__ import annotations

import asyncio

from suanmesh_agent.named_locks import NamedLocks


async def test_who_comes_while_another_waits_waits_too() -> None:
    """Two uploads of the same content at once: one would write to files that the other has found to be whole."""
    locks, inside, most = NamedLocks(), 0, 0
    ends = [asyncio.Event() for _ in range(3)]

    async def enter(end: asyncio.Event) -> None:
        nonlocal inside, most
        async with locks.alone("a"):
            inside += 1
            most = max(most, inside)
            await end.wait()
            inside -= 1

    async def looked() -> None:
        for _ in range(10):
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as tasks:
        for end in ends[:2]:
            tasks.create_task(enter(end))
        await looked()
        ends[0].set()  # the first has left, the second has its turn
        await looked()
        tasks.create_task(enter(ends[2]))
        await looked()
        assert locks.names == {"a"}
        for end in ends[1:]:
            end.set()

    assert (most, inside, locks.names) == (1, 0, set())


async def test_another_name_waits_for_nobody() -> None:
    """One large upload would keep those of everybody else."""
    locks = NamedLocks()
    async with locks.alone("a"), locks.alone("b"):
        assert locks.names == {"a", "b"}
