"""What a task with accelerator cards finds, and what no other task does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from executor_kinds import ProcessExecutor, a_task, log_says, make_executor
from nvml_stand_in import StandInCards

from suanmesh_agent.domain.tasks import TaskKey, TaskSpec
from suanmesh_agent.nvidia import NvidiaCards, nvidia_cards
from suanmesh_agent.ports import TaskNotStarted
from suanmesh_kernel.cards import DeviceAsk

LOOKS = """
import json, os, stat, sys
found = sorted(name for name in os.listdir("/dev") if name.startswith("nvidia"))
for name in found:
    assert stat.S_ISCHR(os.stat(f"/dev/{name}").st_mode)
    with open(f"/dev/{name}", "wb") as file:
        file.write(b"x")
print(json.dumps([found, os.environ.get("CUDA_VISIBLE_DEVICES"), os.environ.get("NVIDIA_VISIBLE_DEVICES")]))
"""
WAITS = LOOKS + "sys.stdout.flush(); sys.stdin.read(); import time; time.sleep(60)"


@pytest.fixture
def stand_in(tmp_path: Path) -> Iterator[StandInCards]:
    """Two cards of one model."""
    made = StandInCards(tmp_path, ("NVIDIA H200", "NVIDIA H200"))
    yield made
    made.close()


@pytest.fixture
def cards(stand_in: StandInCards) -> NvidiaCards:
    found = nvidia_cards(stand_in.dev)
    assert found is not None
    return found


@pytest.fixture
def executor(tmp_path: Path, cards: NvidiaCards) -> Iterator[ProcessExecutor]:
    """In the best walls this host offers."""
    with closing(make_executor("sandbox", tmp_path / "tasks", cards=cards)) as made:
        yield made
        for key in made.running():
            made.stop(key)


def asking(code: str, count: int = 1, model: str = "") -> TaskSpec:
    return a_task(code, devices=(DeviceAsk("gpu", (model,) if model else (), count, 0),))


async def found_by(executor: ProcessExecutor, key: TaskKey) -> list[object]:
    await log_says(executor, key, b"]\n")
    found: list[object] = json.loads(executor.read_log(key, 0, 1000)[1])
    return found


async def test_tasks_have_cards_of_their_own(executor: ProcessExecutor) -> None:
    """Two tasks on one card run out of its memory, and each could read what the other has there."""
    one, other, third = asking(WAITS), asking(WAITS), asking(LOOKS)
    await executor.start(one)
    await executor.start(other)
    assert await found_by(executor, one.key) == [["nvidia0", "nvidiactl"], "GPU-0", "GPU-0"]
    assert await found_by(executor, other.key) == [["nvidia1", "nvidiactl"], "GPU-1", "GPU-1"]
    with pytest.raises(TaskNotStarted, match="cards"):
        await executor.start(third)
    executor.stop(one.key)
    await executor.over(one.key)
    await executor.start(third)
    assert await found_by(executor, third.key) == [["nvidia0", "nvidiactl"], "GPU-0", "GPU-0"]
    assert (await executor.over(third.key)).succeeded
    executor.stop(other.key)
    await executor.over(other.key)


async def test_a_task_that_asked_for_none_finds_none(executor: ProcessExecutor) -> None:
    """Whoever did not ask does not pay, and would use a card that is another's."""
    task = a_task(LOOKS)
    await executor.start(task)
    assert await found_by(executor, task.key) == [[], "", "void"]
    assert (await executor.over(task.key)).succeeded


async def test_several_cards_go_to_one_task(executor: ProcessExecutor) -> None:
    """A task that asked for two is given both, by the model it named."""
    task = asking(LOOKS, 2, "NVIDIA H200")
    await executor.start(task)
    assert await found_by(executor, task.key) == [["nvidia0", "nvidia1", "nvidiactl"], "GPU-0,GPU-1", "GPU-0,GPU-1"]
    await executor.over(task.key)


async def test_an_agent_that_comes_back_knows_what_is_given_out(
    executor: ProcessExecutor, cards: NvidiaCards, tmp_path: Path
) -> None:
    """Tasks outlive the agent: the next one must not give their cards to others."""
    task, both, one = asking(WAITS), asking(LOOKS, 2), asking(LOOKS)
    await executor.start(task)
    await found_by(executor, task.key)
    with closing(make_executor("sandbox", tmp_path / "tasks", cards=cards)) as again:
        with pytest.raises(TaskNotStarted, match="cards"):
            await again.start(both)
        await again.start(one)
        assert (await found_by(again, one.key))[1] == "GPU-1"
        await again.over(one.key)
        again.stop(task.key)
        await again.over(task.key)


async def test_a_card_with_a_fault_is_given_to_nobody(executor: ProcessExecutor, stand_in: StandInCards) -> None:
    """A job sent to it fails through no fault of its own."""
    stand_in.tell(lost=frozenset({0}))
    task = asking(LOOKS)
    await executor.start(task)
    assert (await found_by(executor, task.key))[1] == "GPU-1"
    await executor.over(task.key)
