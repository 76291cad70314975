"""The memory for what is read and not yet taken: bounded in all and for each holder, in turns, and never lost."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suanmesh_chassis.budget import ByteBudget

STEPS = st.lists(
    st.tuples(st.sampled_from(["take", "give", "leave"]), st.sampled_from("abc"), st.integers(1, 14)), max_size=60
)


class Holders:
    """Tasks that hold until they are told to let go."""

    def __init__(self, budget: ByteBudget) -> None:
        self.budget = budget
        self.tasks: list[tuple[str, int, asyncio.Task[None], asyncio.Event]] = []
        self.inside: set[asyncio.Event] = set()

    async def settle(self) -> None:
        for _ in range(6):
            await asyncio.sleep(0)

    async def take(self, holder: str, size: int, group: asyncio.TaskGroup) -> None:
        letting_go = asyncio.Event()

        async def hold() -> None:
            async with self.budget.hold(holder, size):
                self.inside.add(letting_go)
                try:
                    await letting_go.wait()
                finally:
                    self.inside.discard(letting_go)

        self.tasks.append((holder, size, group.create_task(hold()), letting_go))
        await self.settle()

    def held(self, holder: str = "") -> int:
        return sum(min(size, 8) for who, size, _, event in self.tasks if event in self.inside and holder in ("", who))


@given(STEPS)
def test_no_order_of_takers_goes_beyond_a_bound_or_loses_a_byte(steps: list[tuple[str, str, int]]) -> None:
    """A budget that leaks stops everybody in the end; one that is exceeded bounds nothing."""

    async def live() -> None:
        budget = ByteBudget(total_bytes=20, share_bytes=8)
        holders = Holders(budget)
        async with asyncio.TaskGroup() as group:
            for act, holder, size in steps:
                if act == "take":
                    await holders.take(holder, size, group)
                elif holders.tasks:
                    _, _, task, letting_go = holders.tasks[size % len(holders.tasks)]
                    letting_go.set() if act == "give" else task.cancel()
                    await holders.settle()
                assert budget.held_bytes == holders.held() <= 20
                assert all(holders.held(each) <= 8 for each in "abc")
            for _, _, _, letting_go in holders.tasks:
                letting_go.set()
        assert budget.held_bytes == 0

    asyncio.run(live())


async def test_who_holds_its_share_keeps_nobody_else_waiting() -> None:
    """A caller that takes nothing of what it asked for must harm itself alone."""
    budget = ByteBudget(total_bytes=20, share_bytes=8)
    holders = Holders(budget)
    async with asyncio.TaskGroup() as group:
        for _ in range(50):
            await holders.take("hostile", 4, group)
        await holders.take("honest", 4, group)
        assert (holders.held("hostile"), holders.held("honest")) == (8, 4)
        for _, _, task, _ in holders.tasks:
            task.cancel()


async def test_large_takers_are_not_overtaken_for_ever() -> None:
    """Whoever needs much gets it in its turn, however many need little."""
    budget = ByteBudget(total_bytes=8, share_bytes=8)
    holders = Holders(budget)
    async with asyncio.TaskGroup() as group:
        await holders.take("small", 2, group)
        await holders.take("large", 8, group)
        await holders.take("other", 2, group)
        assert (holders.held("large"), holders.held("other")) == (0, 0)
        holders.tasks[0][3].set()
        await holders.settle()
        assert (holders.held("large"), holders.held("other")) == (8, 0)
        for _, _, _, letting_go in holders.tasks:
            letting_go.set()


def test_a_share_is_a_part_of_the_whole() -> None:
    """A setting that lets nobody in must not start."""
    with pytest.raises(ValueError, match="part of the whole"):
        ByteBudget(total_bytes=4, share_bytes=8)
