"""What every engine promises: one suite for processes of this host, Slurm, Ray, Kubernetes, and one in memory."""

from __future__ import annotations

import asyncio
import os
import shlex
import time
import uuid
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest
from executor_kinds import RUNTIMES, make_executor
from nvml_stand_in import StandInCards, device_files
from ray_cluster import ray_engine
from slurm_cluster import slurm_engine

from suanmesh_agent.domain.tasks import Artefact, TaskEvent, TaskKey, TaskLook, TaskSpec, TaskState
from suanmesh_agent.engines.memory import MemoryEngine
from suanmesh_agent.engines.process.engine import ProcessEngine
from suanmesh_agent.engines.queued import QueuedTasks
from suanmesh_agent.nvidia import nvidia_cards
from suanmesh_agent.ports import Engine
from suanmesh_agent.task_run import until_over
from suanmesh_content import FolderError
from suanmesh_kernel.cards import DeviceAsk
from suanmesh_kernel.clock import SystemClock

MANY = 20
LONG_S = 300


class World:
    """An engine, and tasks in its own language that do the same on each."""

    def __init__(self, engine: Engine, command: Callable[..., tuple[str, ...]]) -> None:
        self.engine = engine
        self._command = command
        self.placement = f"test-{uuid.uuid4().hex[:8]}"

    def key(self, index: int = 0) -> TaskKey:
        return TaskKey(self.placement, index)

    def task(self, index: int = 0, *, max_duration_s: int = 60, **script: object) -> TaskSpec:
        command = self._command(**{"seconds": 0, "exit": 0, "log": "", "write": ""} | script)
        return TaskSpec(self.key(index), command, outputs=("out",), max_duration_s=max_duration_s)

    async def run(self, *tasks: TaskSpec) -> list[TaskLook]:
        assert await self.engine.submit(tasks) == [None] * len(tasks)
        return await until_over(self.engine, [task.key for task in tasks])

    async def begin(self, task: TaskSpec) -> TaskLook:
        """Submit a task, and wait until it runs."""
        async with asyncio.timeout(60), aclosing(self.engine.watch(self.placement)) as batches:
            await anext(batches)
            assert await self.engine.submit([task]) == [None]
            async for batch in batches:
                if any(event.key == task.key and event.look.state is TaskState.RUNNING for event in batch):
                    break
        (look,) = await self.engine.inspect([task.key])
        return look


def _shell(*, seconds: float, exit: int, log: str, write: str) -> tuple[str, ...]:
    path, _, content = write.partition(":")
    lines = [f"printf %s {shlex.quote(log)}", f"printf %s {shlex.quote(content)} > {path}" if path else ":"]
    return ("sh", "-c", "; ".join([*lines, f"sleep {seconds}" if seconds else ":", f"exit {exit}"]))


def _script(*, seconds: float, exit: int, log: str, write: str) -> tuple[str, ...]:
    words = [f"seconds={seconds}", f"exit={exit}", f"log={log}"]
    return ("simulate", *words, *([f"write={write}"] if write else []))


@pytest.fixture(params=["memory", "plain", "sandbox-cgroups", "slurm", "ray", "kubernetes"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[World, None]:
    """Each engine over a folder of its own, and nothing of it afterwards."""
    if request.param == "memory":
        yield World(MemoryEngine(SystemClock()), _script)
        return
    engine: ProcessEngine | QueuedTasks
    if request.param == "slurm":
        engine = slurm_engine(request.getfixturevalue("cluster"), tmp_path / "tasks", RUNTIMES)
    elif request.param == "ray":
        engine = ray_engine(request.getfixturevalue("ray"), tmp_path / "tasks", RUNTIMES)
    elif request.param == "kubernetes":
        cluster = request.getfixturevalue("kubernetes")
        engine = cluster.engine(cluster.shared(tmp_path))
    else:
        engine = make_executor(request.param, tmp_path / "tasks")
    world = World(engine, _shell)
    yield world
    await cleared(world, engine)


async def cleared(world: World, engine: ProcessEngine | QueuedTasks) -> None:
    """End what runs, and remove what there is of it."""
    if running := engine.running():
        await engine.cancel(running)
        await until_over(engine, running)
    engine.forget(world.placement)
    engine.close()


CARDS = 3
SHOWS_CARDS = f"cd /dev && echo nvidia[0-9]* end; sleep {LONG_S}"


@pytest.fixture(params=["sandbox", "slurm", "ray"])
async def carded(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[World, None]:
    """Each engine that gives cards to tasks behind walls, with three; nothing of its tasks is left."""
    engine: ProcessEngine | QueuedTasks
    folder, stand_in = tmp_path / "tasks", None
    if request.param == "slurm":
        engine = slurm_engine(request.getfixturevalue("cluster"), folder, RUNTIMES)
    elif request.param == "ray":
        dev = device_files(tmp_path / "dev", CARDS)
        engine = ray_engine(request.getfixturevalue("ray"), folder, RUNTIMES, dev_folder=dev)
        if not any(node.devices for node in await engine.nodes()):
            pytest.skip("gcc is not installed: Ray has no cards to give")
    else:
        stand_in = StandInCards(tmp_path, ("NVIDIA H200",) * CARDS)
        engine = make_executor("sandbox", folder, cards=nvidia_cards(stand_in.dev))
    world = World(engine, _shell)
    yield world
    await cleared(world, engine)
    if stand_in is not None:
        stand_in.close()


def asking_for_cards(world: World, index: int, count: int, model: str = "") -> TaskSpec:
    """A task that says which cards it finds, and stays."""
    asks = (DeviceAsk("gpu", (model,) if model else (), count, 0),) if count else ()
    return replace(world.task(index), command=("sh", "-c", SHOWS_CARDS), devices=asks, max_duration_s=LONG_S)


async def cards_of(world: World, index: int) -> set[str]:
    """The device files of cards that a task finds."""
    async with asyncio.timeout(120):
        while not (said := _said(world, index)).endswith("end\n"):  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(0.05)
    return set(said.split()[:-1]) - {"nvidia[0-9]*"}


def _said(world: World, index: int) -> str:
    log = world.engine.open_log(world.key(index))
    return log.read(0, 999)[1].decode() if log else ""


async def test_each_task_has_the_cards_that_it_asked_for_and_no_others(carded: World) -> None:
    """Two tasks on one card run out of its memory; whoever asked for none would use what another pays for."""
    tasks = [asking_for_cards(carded, index, count) for index, count in enumerate((2, 1, 0))]
    assert await carded.engine.submit(tasks) == [None] * 3
    two, one, none = [await cards_of(carded, index) for index in range(3)]
    assert (len(two), len(one), none) == (2, 1, set())
    assert two | one == {"nvidia0", "nvidia1", "nvidia2"}


async def test_a_task_for_a_card_that_is_not_there_is_not_taken(carded: World) -> None:
    """It would wait for good, and its job has a place elsewhere."""
    (fault,) = await carded.engine.submit([asking_for_cards(carded, 0, 1, "none like it")])
    assert fault is not None
    assert (await carded.engine.inspect([carded.key(0)]))[0].state is TaskState.ABSENT


async def test_many_are_started_at_once_and_each_has_its_own_end(world: World) -> None:
    """A job of a thousand tasks would else be a thousand calls, and one task's end another's."""
    looks = await world.run(*(world.task(index, exit=index) for index in range(MANY)))
    assert [look.exit_status for look in looks] == list(range(MANY))
    assert {look.state for look in looks} == {TaskState.ENDED}
    assert all(look.start_time and look.end_time and look.start_time <= look.end_time for look in looks)


async def test_a_task_that_is_run_again_begins_anew_and_its_first_run_stays_readable(world: World) -> None:
    """What a failed run left would else be taken for the next one's, and why it failed could not be read any more."""
    first = world.task(exit=75, log="first", write="out/a:1")
    again = replace(world.task(log="second", write="out/b:2"), key=world.key().again())
    await world.run(first)
    world.engine.drop_work([first.key])
    (look,) = await world.run(again)
    assert look.succeeded
    assert [file.path for file in world.engine.collect(again.key, "out")] == ["b"]
    with pytest.raises(FolderError):
        list(world.engine.collect(first.key, "out"))
    logs = [world.engine.open_log(key) for key in (first.key, again.key)]
    assert [log and log.read(0, 100)[1] for log in logs] == [b"first", b"second"]
    before, after = await world.engine.inspect([first.key, again.key])
    assert (before.exit_status, after.exit_status) == (75, 0)


@pytest.mark.parametrize(
    ("program", "status", "failure"),
    [("./absent", 127, "COMMAND_NOT_FOUND"), ("./plain", 126, "COMMAND_NOT_EXECUTABLE"), ("./script", 0, "")],
)
async def test_a_command_that_cannot_be_started_has_a_failure_of_its_own(
    world: World, program: str, status: int, failure: str
) -> None:
    """Who is told "exit status 1" looks for the fault in a program that never ran."""
    artefacts = (Artefact("plain", b"#!/bin/sh\n"), Artefact("script", b"#!/bin/sh\n", executable=True))
    (look,) = await world.run(replace(world.task(), command=(program,), artefacts=artefacts))
    assert (look.state, look.exit_status, look.failure) == (TaskState.ENDED, status, failure)


async def test_a_watch_begins_with_how_all_stand_and_ends_with_the_last_end(world: World) -> None:
    """An agent that comes back must not wait for an end that was told before it was there."""
    await world.run(world.task(0, exit=3))
    await world.begin(world.task(1, seconds=LONG_S))
    async with aclosing(world.engine.watch(world.placement)) as batches:
        first = {event.key.index: event.look.state for event in await anext(batches)}
        assert first == {0: TaskState.ENDED, 1: TaskState.RUNNING}
        await world.engine.submit([world.task(2)])
        await world.engine.cancel([world.key(1)])
        ended: dict[int, TaskLook] = {}
        async with asyncio.timeout(60):
            while len(ended) < 2:
                ended |= _over(await anext(batches))
    assert ended[1].failure == "CANCELLED"
    assert ended[2].succeeded


def _over(batch: list[TaskEvent]) -> dict[int, TaskLook]:
    return {event.key.index: event.look for event in batch if event.look.over}


async def test_two_may_watch_and_one_may_leave(world: World) -> None:
    """Who reads a log to its end would else take the end of the task from who is to report it."""
    await world.engine.submit([world.task(seconds=LONG_S)])
    async with aclosing(world.engine.watch(world.placement)) as stays:
        await anext(stays)
        async with aclosing(world.engine.watch(world.placement)) as leaves:
            await anext(leaves)
        await world.engine.cancel([world.key()])
        async with asyncio.timeout(60):
            assert _over(await anext(stays))[0].failure == "CANCELLED"


async def test_a_watch_of_what_was_never_started_begins_with_nothing(world: World) -> None:
    """A placement that was given up before its first task would else hang its agent."""
    async with aclosing(world.engine.watch("never")) as batches:
        assert await anext(batches) == []
    assert [look.state for look in await world.engine.inspect([TaskKey("never", 0)])] == [TaskState.ABSENT]
    assert (await until_over(world.engine, [TaskKey("never", 0)]))[0].state is TaskState.ABSENT
    assert world.engine.open_log(TaskKey("never", 0)) is None


async def test_submitting_again_changes_nothing(world: World) -> None:
    """An agent that comes back submits what it may have submitted before: a paid task must not run a second time."""
    before = await world.begin(world.task(seconds=LONG_S))
    assert await world.engine.submit([world.task(exit=1)]) == [None]
    (after,) = await world.engine.inspect([world.key()])
    assert (after.state, after.start_time) == (TaskState.RUNNING, before.start_time)
    await world.engine.cancel([world.key()])
    await until_over(world.engine, [world.key()])
    assert (await world.run(world.task(exit=1)))[0].failure == "CANCELLED"


async def test_cancelling_what_does_not_run_changes_nothing(world: World) -> None:
    """A stop that comes late must neither undo an end nor fail."""
    await world.run(world.task(exit=3))
    await world.engine.cancel([world.key(), world.key(7)])
    ended, absent = await world.engine.inspect([world.key(), world.key(7)])
    assert (ended.exit_status, ended.failure, absent.state) == (3, "", TaskState.ABSENT)


async def test_a_task_past_its_time_is_ended(world: World) -> None:
    """The time a job was planned and paid for is its bound."""
    (look,) = await world.run(world.task(seconds=LONG_S, max_duration_s=1))
    assert look.failure == "TIMED_OUT"
    assert 1_000_000 <= look.usage.elapsed_us < LONG_S * 1_000_000


async def test_outputs_are_collected_as_files(world: World) -> None:
    """What a task made is what its user paid for."""
    await world.run(world.task(write="out/sum:42"))
    found = {}
    for file in world.engine.collect(world.key(), "out"):
        handle = file.open()
        found[file.path] = (os.read(handle, 100), file.size_bytes, file.executable)
        os.close(handle)
    assert found == {"sum": (b"42", 2, False)}
    with pytest.raises(FolderError):
        list(world.engine.collect(world.key(), "nothing/there"))
    world.engine.forget_work(world.placement)
    with pytest.raises(FolderError):
        list(world.engine.collect(world.key(), "out"))


async def test_a_log_is_read_from_where_it_is_wanted(world: World) -> None:
    """Who follows a log asks for what is new only; it stays when the outputs go."""
    await world.run(world.task(log="hello world"))
    world.engine.forget_work(world.placement)
    log = world.engine.open_log(world.key())
    assert log is not None
    assert [log.read(0, 5), log.read(6, 100), log.read(11, 100)] == [(0, b"hello"), (6, b"world"), (11, b"")]


async def test_of_a_long_log_the_beginning_and_the_end_are_kept(world: World) -> None:
    """With the end alone nobody sees with which values a run began; with the beginning alone not why it failed."""
    before = time.time()
    await world.run(replace(world.task(log="begin" + "." * 70_000 + "end"), log_bytes=40_000))
    log = world.engine.open_log(world.key())
    assert log is not None
    assert (log.read(0, 5), log.read(70_005, 100)) == ((0, b"begin"), (70_005, b"end"))
    jumped, _ = log.read(20_000, 10)
    assert 20_000 < jumped <= 60_008
    [(offset, when), *_] = log.times()
    assert offset == 0
    assert before - 1 <= when / 1000 <= time.time() + 1


async def test_what_is_noted_of_a_task_ends_its_log_once(world: World) -> None:
    """What was left out of a result is told where its user looks; a site that starts anew tells it no second time."""
    await world.run(world.task(log="hello world"))
    world.engine.note(world.key(), ["left out one", "and two"])
    world.engine.note(world.key(), ["left out one", "and two"])
    log = world.engine.open_log(world.key())
    assert log is not None
    assert log.read(0, 100)[1].replace(b"\n", b"") == b"hello worldleft out oneand two"


async def test_what_is_kept_is_known_until_it_is_forgotten(world: World) -> None:
    """A site that runs for years must not fill up with the past, nor forget what it has not cleared."""
    engine, placement = world.engine, world.placement
    await engine.submit([world.task(seconds=LONG_S)])
    assert (engine.idle_placements(), engine.ended_placements()) == ([], [])
    await engine.cancel([world.key()])
    await until_over(engine, [world.key()])
    assert (engine.idle_placements(), engine.ended_placements()) == ([placement], [])
    engine.forget_work(placement)
    assert (engine.idle_placements(), engine.ended_placements()) == ([], [placement])
    engine.forget(placement)
    assert (engine.idle_placements(), engine.ended_placements()) == ([], [])
    assert (await engine.inspect([world.key()]))[0].state is TaskState.ABSENT
