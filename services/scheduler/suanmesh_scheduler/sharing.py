"""Reads that many want at the same time are made once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterable
from typing import Generic, TypeVar

from suanmesh_kernel.refusals import Refusal

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")
S = TypeVar("S")

LOOK_UPS_MAX = 8
"""Look-ups in other areas under way at once for one batch."""


class Shared(Generic[R]):
    """One read for all who ask while it is under way; whoever asks after its end has it made anew.

    An answer may thus be as old as the read takes. What is decided from it is checked again where it is committed.
    """

    def __init__(self) -> None:
        self._under_way: dict[Hashable, asyncio.Future[tuple[R, ...]]] = {}

    async def read(self, key: Hashable, make: Callable[[], Awaitable[R]]) -> R:
        """What `make` answers, made now or by whoever asked first. Raises what the caller's own `make` raises."""
        while (under_way := self._under_way.get(key)) is not None:
            for answer in await asyncio.shield(under_way):
                return answer
        done = self._under_way[key] = asyncio.get_running_loop().create_future()
        answers: tuple[R, ...] = ()
        try:
            answers = (await make(),)
        finally:
            del self._under_way[key]
            done.set_result(answers)  # none where it failed, or its time was up: the next one makes it
        return answers[0]


async def each(look_up: Callable[[K], Awaitable[R]], keys: Iterable[K]) -> dict[K, R | Refusal]:
    """Look each key up once, several at a time: what was found, or why not."""
    answers: dict[K, R | Refusal] = {}
    wanted = list(dict.fromkeys(keys))
    left = iter(wanted)

    async def work() -> None:
        for key in left:
            try:
                answers[key] = await look_up(key)
            except Refusal as refusal:
                answers[key] = refusal

    if len(wanted) <= 1:
        await work()  # what else than a refusal it may raise comes as it is, not in a group
        return answers
    async with asyncio.TaskGroup() as tasks:
        for _ in range(min(LOOK_UPS_MAX, len(wanted))):
            tasks.create_task(work())
    return answers


async def both(one: Awaitable[R], other: Awaitable[S]) -> tuple[R, S]:
    """Two reads side by side. Raises what the first of them raises, as it is, when both are over."""
    answers = await asyncio.gather(one, other, return_exceptions=True)
    if isinstance(answers[0], BaseException):
        raise answers[0]
    if isinstance(answers[1], BaseException):
        raise answers[1]
    return answers[0], answers[1]


def found(read: R | Refusal) -> R:
    """What was read. Raises what it was refused with."""
    if isinstance(read, Refusal):
        raise read
    return read
