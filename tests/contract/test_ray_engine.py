"""What an engine on Ray promises besides: what waits says why, and what Ray forgets, ends or loses runs once."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import uuid
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from executor_kinds import RUNTIMES
from ray_cluster import CPUS, LastingRay, access_to, ray_engine

from suanmesh_agent.domain.tasks import TaskKey, TaskLook, TaskSpec, TaskState
from suanmesh_agent.engines.batched.engine import BatchedEngine
from suanmesh_agent.engines.ray import client
from suanmesh_agent.engines.ray.asking import RaySilent
from suanmesh_agent.engines.ray.listing import Entry
from suanmesh_agent.engines.ray.refusing import refusal_of
from suanmesh_agent.engines.ray.scheduler import Ray, RayAccess
from suanmesh_agent.task_run import until_over
from suanmesh_local.ray import LocalRay

LONG_S = 300
ALL_CPU_MILLI = CPUS * 1000


class Site:
    """An engine on the cluster, and one placement of it."""

    def __init__(self, rays: LocalRay, ray: LastingRay, folder: Path) -> None:
        self.rays = rays
        self.ray = ray
        self.folder = folder
        self.placement = f"test-{uuid.uuid4().hex[:8]}"
        self.engine = self.opened()

    def opened(self) -> BatchedEngine[Entry]:
        """What an agent that comes back opens."""
        return ray_engine(self.ray, self.folder, RUNTIMES)

    def task(self, index: int, command: str, cpu_milli: int = 1000) -> TaskSpec:
        """A task of the placement."""
        key = TaskKey(self.placement, index)
        return TaskSpec(key, ("sh", "-c", command), cpu_milli=cpu_milli, max_duration_s=600, outputs=("out",))

    async def until(self, index: int, holds: Callable[[TaskLook], bool]) -> TaskLook:
        """How a task stands once that holds."""
        async with asyncio.timeout(200), aclosing(self.engine.watch(self.placement)) as batches:
            await anext(batches)  # somebody has to watch, so that Ray is asked
            while True:
                (look,) = await self.engine.inspect([TaskKey(self.placement, index)])
                if holds(look):
                    return look
                await asyncio.sleep(0.1)

    def runs(self, index: int) -> int:
        """How often a task that writes a line of it was run."""
        (file,) = self.engine.collect(TaskKey(self.placement, index), "out")
        return file.size_bytes // len("run\n")


@pytest.fixture
async def site(rays: LocalRay, ray: LastingRay, tmp_path: Path) -> AsyncGenerator[Site, None]:
    """Nothing of it stays with Ray."""
    made = Site(rays, ray, tmp_path / "tasks")
    yield made
    if running := made.engine.running():
        await made.engine.cancel(running)
        await until_over(made.engine, running)
    made.engine.close()


async def test_what_waits_says_why_and_has_used_nothing(site: Site) -> None:
    """A user would else pay for the site's queue, and take a full site for a broken one."""
    await site.engine.submit([site.task(0, f"sleep {LONG_S}", ALL_CPU_MILLI)])
    await site.until(0, lambda look: look.state is TaskState.RUNNING)
    await site.engine.submit([site.task(1, "true"), site.task(2, "true", ALL_CPU_MILLI + 1)])
    waiting = await site.until(1, lambda look: look.waits_for.code == "QUEUE_RESOURCES")
    assert (waiting.state, waiting.start_time, waiting.usage.elapsed_us) == (TaskState.QUEUED, None, 0)
    await site.until(2, lambda look: look.waits_for.code == "QUEUE_NODES")
    keys = [TaskKey(site.placement, index) for index in (1, 2)]
    await site.engine.cancel(keys)
    for over in await until_over(site.engine, keys):
        assert (over.failure, over.start_time, over.usage.elapsed_us) == ("CANCELLED", None, 0)


async def test_an_agent_that_comes_back_finds_what_waits_and_what_runs(site: Site) -> None:
    """A paid task must neither be lost with the agent nor run a second time."""
    command = "echo run >> out/runs; sleep 2"
    specs = [site.task(index, command, ALL_CPU_MILLI) for index in range(2)]
    await site.engine.submit(specs)
    await site.until(0, lambda look: look.state is TaskState.RUNNING)
    site.engine.close()
    _kill_what_asks(site.rays)
    site.engine = site.opened()
    assert await site.engine.submit(specs) == [None, None]
    assert all(look.succeeded for look in await until_over(site.engine, [spec.key for spec in specs]))
    assert [site.runs(index) for index in range(2)] == [1, 1]


async def test_what_its_worker_leaves_behind_is_ended(site: Site) -> None:
    """Ray gives the processors of a worker that has died to the next task: two would share them, and one be billed."""
    nobody_elses = f"{LONG_S}.{uuid.uuid4().int}"
    await site.engine.submit([site.task(0, f"sleep {nobody_elses} & sleep {nobody_elses}")])
    await site.until(0, lambda look: look.state is TaskState.RUNNING)
    site.rays.kill(site.rays.head, "ray::run_shim")
    over = await site.until(0, lambda look: look.over)
    assert over.failure == "SITE_STOPPED" or over.state is TaskState.LOST
    async with asyncio.timeout(60):
        while True:
            if ["sleep", nobody_elses] not in [each.info["cmdline"] for each in psutil.process_iter(["cmdline"])]:
                break
            await asyncio.sleep(0.1)


async def test_what_a_killed_head_has_forgotten_runs_once_and_what_it_ran_never_again(site: Site) -> None:
    """Ray keeps all it knows in the memory of its head: nobody would ever hear of what waited there again."""
    running, waiting = (TaskKey(site.placement, index) for index in range(2))
    await site.engine.submit([site.task(0, f"echo run >> out/runs; sleep {LONG_S}", ALL_CPU_MILLI)])
    await site.until(0, lambda look: look.state is TaskState.RUNNING)
    await site.engine.submit([site.task(1, "echo run >> out/runs", ALL_CPU_MILLI)])
    for program in ("gcs_server", "raylet"):
        site.rays.kill(site.rays.head, program)
    over = await site.until(0, lambda look: look.over)
    assert over.failure == "SITE_STOPPED" or over.state is TaskState.LOST
    (still,) = await site.engine.inspect([waiting])
    assert still.state is TaskState.QUEUED
    site.rays.stop()
    site.rays.start()
    assert (await until_over(site.engine, [waiting]))[0].succeeded
    assert [site.runs(index) for index in range(2)] == [1, 1]
    assert await site.engine.inspect([running]) == [over]
    assert site.engine.start_fault == ""


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"address": "127.0.0.2:1"}, "RAY_UNREACHABLE"),
        ({"address": "nowhere"}, "RAY_UNREACHABLE"),
        ({"token_file": None}, "RAY_DENIED"),
        ({"python": Path("/nowhere/python3")}, "RAY_ABSENT"),
    ],
)
async def test_a_ray_that_cannot_be_asked_is_refused_for_what_is_to_be_mended(
    rays: LocalRay, changed: dict[str, object], code: str
) -> None:
    """Who joins would else spend the invite, and find out from a task that never runs."""
    access = replace(access_to(rays), **changed)
    assert await _refused(access) == code


@pytest.fixture
def bare_python(tmp_path: Path) -> Path:
    """A Python with nothing installed."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True)
    return tmp_path / "bare" / "bin" / "python"


async def test_a_python_without_ray_is_refused(rays: LocalRay, bare_python: Path) -> None:
    """An agent that was installed without it would start well, and run nothing."""
    assert await _refused(replace(access_to(rays), python=bare_python)) == "RAY_ABSENT"


@pytest.mark.parametrize(
    ("field", "code"), [("ray_version", "RAY_VERSION_DIFFERS"), ("python_version", "RAY_PYTHON_DIFFERS")]
)
def test_the_words_of_rays_own_check_are_understood(field: str, code: str) -> None:
    """They are words: another Ray may choose others, and whoever joins would be sent to look at the network."""
    program = f"""
from ray._private import utils
cluster = dict(zip(("ray_version", "python_version"), utils.compute_version_info())) | {{"{field}": "1.2.3"}}
try:
    utils.check_version_info(cluster, "a node")
except RuntimeError as fault:
    print(fault)
"""
    said = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    found, passed_on = client.told(said, "RuntimeError")
    assert found == code
    assert passed_on.startswith("1.2.3, ")


def test_what_ray_prints_is_no_answer() -> None:
    """It tells on standard output when a worker has died: whoever asked next would be answered by that."""
    program = """
import os
from suanmesh_agent.engines.ray.client import speaker
say = speaker()
print("a worker died", flush=True)
os.write(1, b"from a library in C")
say({"answer": 1})
"""
    said = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    assert json.loads(said.stdout) == {"answer": 1}


async def _refused(access: RayAccess) -> str:
    ray = Ray(access, "test")
    try:
        with pytest.raises(RaySilent) as caught:
            await ray.nodes()
    finally:
        ray.close()
    return refusal_of(caught.value, access).reason


def _kill_what_asks(rays: LocalRay) -> None:
    for child in psutil.Process().children():
        with suppress(psutil.Error):  # another child has ended meanwhile
            if client.__file__ in child.cmdline() and rays.address in child.cmdline():
                child.kill()
