"""How the tasks of a placement are run on whatever engine a site has."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from suanmesh_agent.domain.retrying import NO_RETRY, Retrying
from suanmesh_agent.domain.tasks import TaskKey, TaskSpec, TaskState
from suanmesh_agent.engines.memory import MemoryEngine
from suanmesh_agent.task_run import TaskRun, until_over
from suanmesh_kernel.clock import HandClock

Commands = list[tuple[str, ...]]


@dataclass
class World:
    """A run of tasks that do what their words say, on a clock moved by hand."""

    words: Commands
    at_once: int = 2
    keep_going: bool = False
    retrying: Retrying = NO_RETRY
    clock: HandClock = field(default_factory=HandClock)
    permitted: bool = True
    stopped: bool = False
    told: int = 0
    most: int = 0

    def __post_init__(self) -> None:
        self.engine = MemoryEngine(self.clock)
        self.keys = [TaskKey("p", index) for index in range(len(self.words))]

    def run(self) -> TaskRun:
        return TaskRun(
            self.engine,
            self.keys,
            at_once=self.at_once,
            keep_going=self.keep_going,
            retrying=self.retrying,
            spec=lambda key: TaskSpec(key, ("simulate", *self.words[key.index])),
            may_start=self._may_start,
            stopped=lambda: self.stopped,
            begun=self._tell,
            traceparent="",
            site="sites/a",
        )

    async def states(self) -> list[TaskState]:
        return [look.state for look in await self.engine.inspect(self.keys)]

    async def to_the_end(self) -> None:
        """Let time pass until the run is over, however many tasks wait for others."""
        running = asyncio.create_task(self.run().to_the_end())
        while not running.done():
            await settled()
            self.most = max(self.most, (await self.states()).count(TaskState.RUNNING))
            self.clock.advance(1)
            self.engine.settle()
        await running

    async def _may_start(self) -> bool:
        return self.permitted

    async def _tell(self, traceparent: str) -> None:
        self.told += 1


async def settled() -> None:
    """Everything that can happen at this time has."""
    for _ in range(20):
        await asyncio.sleep(0)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=12), st.integers(1, 4))
def test_every_task_runs_within_the_room_there_is(seconds: list[int], at_once: int) -> None:
    """More at a time than the placement holds would take what its neighbours paid for."""

    async def check() -> None:
        world = World([(f"seconds={each}",) for each in seconds], at_once)
        await world.to_the_end()
        assert await world.states() == [TaskState.ENDED] * len(seconds)
        assert world.most <= at_once
        assert world.told == 1

    asyncio.run(check())


async def test_once_a_task_fails_no_other_begins() -> None:
    """What cannot become a result any more must not be paid for."""
    world = World([("exit=1", "seconds=1"), ("seconds=900",), (), ()])
    await world.to_the_end()
    looks = await world.engine.inspect(world.keys)
    assert [look.exit_status for look in looks[:2]] == [1, 143]
    assert looks[1].failure == "CANCELLED"
    assert [look.state for look in looks[2:]] == [TaskState.ABSENT] * 2


async def test_tasks_that_are_to_keep_going_do() -> None:
    """One failing sample of a thousand must not cost the other nine hundred and ninety-nine."""
    world = World([("exit=1",), ("exit=2",), (), ()], keep_going=True)
    await world.to_the_end()
    assert [look.exit_status for look in await world.engine.inspect(world.keys)] == [1, 2, 0, 0]


async def test_what_cannot_be_started_ends_the_run_and_says_why() -> None:
    """A site with a full disk would else begin a thousand tasks one after the other, in vain."""
    world = World([("seconds=900",), ("refuse=no disk",), (), ()])
    run = world.run()
    await run.to_the_end()
    assert str(run.start_fault) == "no disk"
    assert await world.states() == [TaskState.ENDED, *[TaskState.ABSENT] * 3]


async def test_what_waits_in_a_queue_has_not_begun() -> None:
    """The mesh would count a run that never was as an attempt, and bill from a start that was none."""
    world = World([("queue=5",), ("queue=9", "seconds=2")])
    running = asyncio.create_task(world.run().to_the_end())
    await settled()
    assert (world.told, await world.states()) == (0, [TaskState.QUEUED] * 2)
    world.clock.advance(6)
    world.engine.settle()
    await settled()
    assert world.told == 1
    world.clock.advance(6)
    world.engine.settle()
    await running
    first, second = await world.engine.inspect(world.keys)
    assert first.succeeded
    assert (second.succeeded, second.usage.elapsed_us) == (True, 2_000_000)


async def test_what_is_stopped_in_the_queue_has_never_run() -> None:
    """A cancelled job must not wait for its site's queue, nor be billed for it."""
    world = World([("queue=500",)])
    running = asyncio.create_task(world.run().to_the_end())
    await settled()
    world.stopped = True
    await world.engine.cancel(world.keys)
    await running
    (look,) = await world.engine.inspect(world.keys)
    assert (look.failure, look.start_time, look.usage.elapsed_us, world.told) == ("CANCELLED", None, 0, 0)


async def test_without_permission_nothing_begins() -> None:
    """The mesh may have placed the job elsewhere: a task that begins now is the second of its kind."""
    world = World([(), ()], permitted=False)
    await world.run().to_the_end()
    assert await world.states() == [TaskState.ABSENT] * 2
    assert world.told == 0


async def test_a_stop_lets_what_waits_be() -> None:
    """A cancelled job of a thousand tasks must not go through all of them to end."""
    world = World([("seconds=900",), ("seconds=900",), ()])
    running = asyncio.create_task(world.run().to_the_end())
    await settled()
    world.stopped = True
    await world.engine.cancel(world.keys)
    await running
    assert await world.states() == [TaskState.ENDED, TaskState.ENDED, TaskState.ABSENT]


async def test_a_run_goes_on_where_another_agent_left_it() -> None:
    """An agent that comes back must neither run a task again nor leave one out."""
    world = World([("seconds=5",), ("seconds=5",), ("seconds=5",), ()])
    first = asyncio.create_task(world.run().to_the_end())
    await settled()
    first.cancel()
    await asyncio.wait([first])
    before = await world.engine.inspect(world.keys[:2])
    world.clock.advance(1)
    await world.to_the_end()
    after = await world.engine.inspect(world.keys)
    assert [look.start_time for look in after[:2]] == [look.start_time for look in before]
    assert {look.state for look in after} == {TaskState.ENDED}


async def test_only_the_task_that_failed_is_run_again() -> None:
    """Nine hours of ten tasks would be paid for twice because one met a server that was down."""
    world = World([(), ("exit=75", "fails=2"), (), ()], retrying=Retrying(times=3))
    await world.to_the_end()
    looks = await world.engine.inspect([TaskKey("p", 1, retry) for retry in range(4)])
    assert [look.exit_status for look in looks] == [75, 75, 0, None]
    others = [TaskKey("p", index, 1) for index in (0, 2, 3)]
    assert {look.state for look in await world.engine.inspect(others)} == {TaskState.ABSENT}
    assert await world.states() == [TaskState.ENDED] * 4


async def test_a_task_that_fails_as_often_as_it_may_has_failed() -> None:
    """A job that never works would else run until its money is gone."""
    world = World([("exit=75",), ("seconds=900",)], at_once=1, retrying=Retrying(times=2))
    await world.to_the_end()
    looks = await world.engine.inspect([TaskKey("p", 0, retry) for retry in range(4)])
    assert [look.exit_status for look in looks] == [75, 75, 75, None]


async def test_what_waits_to_be_run_again_is_not_once_another_has_failed() -> None:
    """A stop of all must stop what waits, too."""
    retrying = Retrying(times=1, backoff_s=3600, exit_statuses=frozenset({75}))
    world = World([("exit=75",), ("exit=1", "seconds=1")], retrying=retrying)
    async with asyncio.timeout(60):
        await world.to_the_end()
    assert (await world.engine.inspect([TaskKey("p", 0, 1)]))[0].state is TaskState.ABSENT


async def test_an_agent_that_comes_back_counts_on() -> None:
    """A restart of the agent must not give a failing task all its tries again."""
    world = World([("exit=75", "seconds=1")], retrying=Retrying(times=1))
    for retry in (0, 1):
        await world.engine.submit([TaskSpec(TaskKey("p", 0, retry), ("simulate", "exit=75"))])
    await world.to_the_end()
    assert (await world.engine.inspect([TaskKey("p", 0, 2)]))[0].state is TaskState.ABSENT


async def test_only_the_tasks_named_are_waited_for() -> None:
    """Who winds up one task must not wait for hours of another."""
    world = World([("seconds=1",), ("seconds=900",)])
    await world.engine.submit([TaskSpec(key, ("simulate", *world.words[key.index])) for key in world.keys])
    waiting = asyncio.create_task(until_over(world.engine, world.keys[:1]))
    await settled()
    assert not waiting.done()
    world.clock.advance(1)
    world.engine.settle()
    assert (await waiting)[0].succeeded
