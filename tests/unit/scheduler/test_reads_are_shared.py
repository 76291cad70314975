"""Many decisions at once read once, and nobody's failure is another's."""

from __future__ import annotations

import asyncio

from suanmesh_scheduler.sharing import Shared


class Source:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.reads = 0
        self.go_on = asyncio.Event()
        self.fails = 0

    async def read(self) -> int:
        self.reads += 1
        mine = self.reads
        await self.go_on.wait()
        if mine <= self.fails:
            raise LookupError(mine)
        return mine


async def test_those_who_ask_at_once_share_one_read() -> None:
    """Sixteen decisions would ask every other area sixteen times for the same."""
    shared, source = Shared[int](), Source()
    asking = asyncio.gather(*(shared.read("a", source.read) for _ in range(16)), shared.read("b", source.read))
    await asyncio.sleep(0)
    source.go_on.set()
    assert await asking == [1] * 16 + [2]
    assert await shared.read("a", source.read) == 3


async def test_a_read_that_fails_is_made_by_the_next() -> None:
    """One caller who runs out of time, or goes away, must not fail those who waited with it."""
    shared, source = Shared[int](), Source()
    source.fails = 1
    asking = [asyncio.ensure_future(shared.read("a", source.read)) for _ in range(3)]
    await asyncio.sleep(0)
    source.go_on.set()
    failed, *others = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(failed, LookupError)
    assert others == [2, 3]

    source.go_on.clear()
    asking = [asyncio.ensure_future(shared.read("a", source.read)) for _ in range(2)]
    await asyncio.sleep(0)
    asking[0].cancel()
    await asyncio.sleep(0)
    source.go_on.set()
    assert await asking[1] == 5
