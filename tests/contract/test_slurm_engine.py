"""What an engine on Slurm promises besides: tasks that wait say why, and what Slurm forgets or ends is not lost."""

from __future__ import annotations

import asyncio
import json
import shutil
import uuid
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path

import pytest
from executor_kinds import RUNTIMES
from slurm_cluster import CPUS, slurm_engine

from suanmesh_agent.domain.tasks import TaskKey, TaskLook, TaskSpec, TaskState
from suanmesh_agent.engines.batched.engine import BatchedEngine
from suanmesh_agent.engines.slurm.listing import Entry
from suanmesh_agent.task_run import until_over
from suanmesh_kernel.cards import DeviceAsk
from suanmesh_kernel.quantities import Device
from suanmesh_local.slurm import LocalSlurm

LONG_S = 300
ALL_CPU_MILLI = CPUS * 1000


class Site:
    """An engine on the cluster, and one placement of it."""

    def __init__(self, cluster: LocalSlurm, folder: Path) -> None:
        self.cluster = cluster
        self.folder = folder
        self.placement = f"test-{uuid.uuid4().hex[:8]}"
        self.engine = self.opened()

    def opened(self) -> BatchedEngine[Entry]:
        """What an agent that comes back opens."""
        return slurm_engine(self.cluster, self.folder, RUNTIMES)

    def task(self, index: int, command: str, cpu_milli: int = 1000, card: str = "") -> TaskSpec:
        """A task of the placement."""
        asks = (DeviceAsk("gpu", (card,), 1, 0),) if card else ()
        key, words = TaskKey(self.placement, index), ("sh", "-c", command)
        return TaskSpec(key, words, cpu_milli=cpu_milli, devices=asks, max_duration_s=600, outputs=("out",))

    def let_go(self, index: int) -> None:
        """Have a task end that waits for it."""
        (self.folder / self.placement / str(index) / "work" / "out" / "go").touch()

    def tries(self, index: int) -> int:
        """How often a task has been handed over, as far as that has been its turn."""
        facts = json.loads((self.folder / self.placement / str(index) / "shim" / "queued.json").read_text())
        return int(facts["times"])

    async def says(self, index: int) -> str:
        """The first line that a task writes."""
        async with asyncio.timeout(120):
            while not (said := self._said(index)).endswith("\n"):  # noqa: ASYNC110 - another process writes it
                await asyncio.sleep(0.1)
        return said.removesuffix("\n")

    def _said(self, index: int) -> str:
        log = self.engine.open_log(TaskKey(self.placement, index))
        return log.read(0, 999)[1].decode() if log else ""

    async def until(self, index: int, holds: Callable[[TaskLook], bool]) -> TaskLook:
        """How a task stands once that holds."""
        async with asyncio.timeout(120), aclosing(self.engine.watch(self.placement)) as batches:
            await anext(batches)  # somebody has to watch, so that Slurm is asked
            while True:
                (look,) = await self.engine.inspect([TaskKey(self.placement, index)])
                if holds(look):
                    return look
                await asyncio.sleep(0.1)


@pytest.fixture
async def site(cluster: LocalSlurm, tmp_path: Path) -> AsyncGenerator[Site, None]:
    """Nothing of it stays in the queue."""
    made = Site(cluster, tmp_path / "tasks")
    yield made
    if running := made.engine.running():
        await made.engine.cancel(running)
        await until_over(made.engine, running)
    made.engine.close()


async def test_what_waits_says_why_and_has_used_nothing(site: Site) -> None:
    """A user would else pay for the site's queue, and take a full site for a broken one."""
    await site.engine.submit([site.task(0, f"sleep {LONG_S}", ALL_CPU_MILLI)])
    await site.until(0, lambda look: look.state is TaskState.RUNNING)
    await site.engine.submit([site.task(1, "true")])
    waiting = await site.until(1, lambda look: look.waits_for.code == "QUEUE_RESOURCES")
    assert (waiting.state, waiting.start_time, waiting.usage.elapsed_us) == (TaskState.QUEUED, None, 0)
    await site.engine.cancel([TaskKey(site.placement, 1)])
    (over,) = await until_over(site.engine, [TaskKey(site.placement, 1)])
    assert (over.failure, over.start_time, over.usage.elapsed_us) == ("CANCELLED", None, 0)
    assert site.engine.open_log(TaskKey(site.placement, 1)) is None


async def test_what_slurm_has_forgotten_is_handed_over_again_and_runs_once(site: Site) -> None:
    """A slurmctld that is killed soon after it took a job has lost it, and nobody would ever hear of the task again."""
    site.cluster.controller.kill()
    await site.engine.submit([site.task(0, "echo run >> out/runs")])
    assert "Slurm does not answer" in site.engine.start_fault
    site.cluster.node.end()  # which knows too well which numbers jobs have had
    for known in ("state", "spool"):
        shutil.rmtree(site.cluster.folder / known)
    site.cluster.start()
    (look,) = await until_over(site.engine, [TaskKey(site.placement, 0)])
    assert look.succeeded
    assert site.engine.start_fault == ""
    (file,) = site.engine.collect(TaskKey(site.placement, 0), "out")
    assert file.size_bytes == len("run\n")


async def test_an_agent_that_comes_back_finds_what_waits_and_what_runs(site: Site) -> None:
    """A paid task must neither be lost with the agent nor run a second time."""
    command = "echo run >> out/runs; sleep 3"
    await site.engine.submit([site.task(0, command), site.task(1, command)])
    await site.until(0, lambda look: look.state is TaskState.RUNNING)
    site.engine.close()
    site.engine = site.opened()
    assert await site.engine.submit([site.task(0, command), site.task(1, command)]) == [None, None]
    keys = [TaskKey(site.placement, index) for index in range(2)]
    assert all(look.succeeded for look in await until_over(site.engine, keys))
    for key in keys:
        (file,) = site.engine.collect(key, "out")
        assert file.size_bytes == len("run\n")


async def test_what_the_site_ends_is_not_the_jobs_failure(site: Site) -> None:
    """An operator who clears a node would else cost the user an attempt, and the blame."""
    await site.engine.submit([site.task(0, f"sleep {LONG_S}", ALL_CPU_MILLI)])
    await site.until(0, lambda look: look.state is TaskState.RUNNING)
    await site.engine.submit([site.task(1, "true")])
    await site.until(1, lambda look: bool(look.waits_for.facts))
    for state in ("PENDING", "RUNNING"):
        site.cluster.call("scancel", f"--state={state}", "--user=root")
    running, waiting = [await site.until(index, lambda look: look.over) for index in range(2)]
    assert running.failure == "SITE_STOPPED"
    assert running.usage.elapsed_us > 0
    assert (waiting.failure, waiting.start_time) == ("SITE_STOPPED", None)


LIMITED = """#!/bin/sh
# An sbatch of a site whose users may have two jobs handed in: that limit is in a database which no Slurm here has.
for word in "$@"; do case $word in --array=0-*) more=${word#--array=0-};; esac; done
if [ $(($(squeue -h -r | wc -l) + more + 1)) -gt 2 ]; then
  echo 'sbatch: error: QOSMaxSubmitJobPerUserLimit' >&2
  echo 'sbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit, ...)' >&2
  exit 1
fi
exec /usr/bin/sbatch "$@"
"""


async def test_a_limit_on_jobs_handed_in_is_a_queue(site: Site, tmp_path: Path) -> None:
    """A user of a site with a QOS would else lose the job to a limit that is gone an hour later."""
    (tmp_path / "sbatch").write_text(LIMITED)
    (tmp_path / "sbatch").chmod(0o755)
    site.engine = slurm_engine(site.cluster, site.folder, RUNTIMES, programs=f"{tmp_path}:/usr/bin:/bin")
    command = "echo run >> out/runs; until [ -e out/go ]; do sleep 0.1; done"
    specs = [site.task(index, command) for index in range(4)]
    assert await site.engine.submit(specs) == [None] * 4
    waiting = await site.until(3, lambda look: look.waits_for.code == "QUEUE_LIMIT")
    assert (waiting.state, waiting.waits_for.facts["said"]) == (TaskState.QUEUED, "QOSMaxSubmitJobPerUserLimit")
    assert not site.engine.start_fault
    for index in range(4):
        await site.until(index, lambda look: look.state is TaskState.RUNNING)
        site.let_go(index)
    assert all(look.succeeded for look in await until_over(site.engine, [spec.key for spec in specs]))
    for spec in specs:
        (file,) = (each for each in site.engine.collect(spec.key, "out") if each.path == "runs")
        assert file.size_bytes == len("run\n")


BUSY = """#!/bin/sh
# An sbatch of a Slurm that has as many jobs as MaxJobCount says, until the file `room` is there.
[ -e FOLDER/room ] && exec /usr/bin/sbatch "$@"
echo 'sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying' >&2
echo asked >> FOLDER/asked
exec sleep 300
"""


async def test_a_slurm_with_as_many_jobs_as_it_takes_is_a_queue_and_stops_nobody(site: Site, tmp_path: Path) -> None:
    """Its sbatch would wait for minutes, and with it the news of every task of the site."""
    (tmp_path / "sbatch").write_text(BUSY.replace("FOLDER", str(tmp_path)))
    (tmp_path / "sbatch").chmod(0o755)
    site.engine = slurm_engine(site.cluster, site.folder, RUNTIMES, programs=f"{tmp_path}:/usr/bin:/bin")
    specs = [site.task(index, "echo run >> out/runs") for index in range(8)]
    assert await site.engine.submit(specs) == [None] * 8
    asked = (tmp_path / "asked").read_text().count("asked")
    assert asked == len((8, 4, 2, 1))
    waiting = await site.until(7, lambda look: look.waits_for.code == "QUEUE_LIMIT")
    assert "temporarily unable to accept" in waiting.waits_for.facts["said"]
    assert not site.engine.start_fault
    assert [site.tries(index) for index in range(8)] == [0] * 8  # or a queue that is full for long fails the first
    (tmp_path / "room").touch()
    assert all(look.succeeded for look in await until_over(site.engine, [spec.key for spec in specs]))
    for spec in specs:
        (file,) = site.engine.collect(spec.key, "out")
        assert file.size_bytes == len("run\n")


async def test_a_time_that_the_partition_does_not_give_is_a_reason_to_wait(site: Site) -> None:
    """It would wait for good, and its user must read for what."""
    site.engine = slurm_engine(site.cluster, site.folder, RUNTIMES, partition="short")
    await site.engine.submit([site.task(0, "true")])
    waiting = await site.until(0, lambda look: look.waits_for.code == "QUEUE_LIMIT")
    assert waiting.waits_for.facts["said"] == "PartitionTimeLimit"


async def test_a_drained_node_is_taken_off_and_what_waits_says_so(site: Site) -> None:
    """What is offered and cannot be had makes jobs wait that have a place elsewhere."""
    (node,) = await site.engine.nodes()
    site.cluster.call("scontrol", "update", f"NodeName={node.name}", "State=DRAIN", "Reason=fans")
    try:
        assert await site.engine.nodes() == []
        await site.engine.submit([site.task(0, "true")])
        await site.until(0, lambda look: look.waits_for.code == "QUEUE_NODES")
    finally:
        site.cluster.call("scontrol", "update", f"NodeName={node.name}", "State=RESUME")
    assert (await site.until(0, lambda look: look.over)).succeeded
    assert [each.name for each in await site.engine.nodes()] == [node.name]


@pytest.mark.parametrize("act", ["requeue", "requeuehold"])
async def test_what_slurm_puts_back_into_its_queue_runs_once(site: Site, act: str) -> None:
    """An operator, or a job that goes first, may send a job back: its user pays for one run."""
    await site.engine.submit([site.task(0, "echo run >> out/runs; until [ -e out/go ]; do sleep 0.1; done")])
    await site.until(0, lambda look: look.state is TaskState.RUNNING)
    for job in site.cluster.call("squeue", "-h", "-r", "-t", "RUNNING", "-o", "%A").split():
        site.cluster.call("scontrol", act, job)
    site.let_go(0)
    over = await site.until(0, lambda look: look.over)
    assert over.succeeded or over.failure == "SITE_STOPPED"
    (file,) = (each for each in site.engine.collect(TaskKey(site.placement, 0), "out") if each.path == "runs")
    assert file.size_bytes == len("run\n")


async def test_what_slurm_will_never_take_is_said_at_once(site: Site) -> None:
    """A task of a site whose partition is gone would wait for good."""
    site.engine = slurm_engine(site.cluster, site.folder, RUNTIMES, partition="gone")
    (fault,) = await site.engine.submit([site.task(0, "true")])
    assert fault is not None
    assert (await site.engine.inspect([TaskKey(site.placement, 0)]))[0].state is TaskState.ABSENT


async def test_tasks_with_secrets_are_not_taken(site: Site, tmp_path: Path) -> None:
    """They would have to lie on a disk that all nodes, and whoever runs them, can read."""
    spec = site.task(0, "true")
    (fault,) = await site.engine.submit([TaskSpec(spec.key, spec.command, secrets=tmp_path)])
    assert fault is not None
    assert not site.engine.capabilities().keeps_secrets


async def test_tasks_have_cards_of_their_own_and_see_no_others(site: Site) -> None:
    """Two tasks on one card run out of its memory, and each could read what the other has there."""
    (node,) = await site.engine.nodes()
    assert node.devices == (Device("gpu", "a100", 2), Device("gpu", "l4", 1))
    looks = f'cd /dev && echo nvidia* "$CUDA_VISIBLE_DEVICES" && sleep {LONG_S}'
    specs = [site.task(index, looks, card=card) for index, card in enumerate(("a100", "a100", "l4", ""))]
    assert await site.engine.submit(specs) == [None] * 4
    assert {await site.says(0), await site.says(1)} == {"nvidia0 0", "nvidia1 0"}
    assert [await site.says(2), await site.says(3)] == ["nvidia2 0", "nvidia* "]
    assert await site.engine.submit([site.task(4, looks, card="a100")]) == [None]
    assert (await site.until(4, lambda look: look.waits_for.code == "QUEUE_RESOURCES")).state is TaskState.QUEUED
    await site.engine.cancel([TaskKey(site.placement, 0)])
    assert (await site.says(4)).endswith(" 0")


async def test_a_task_for_cards_that_no_node_has_is_not_taken(site: Site) -> None:
    """It would wait in Slurm's queue for good."""
    (fault,) = await site.engine.submit([site.task(0, "true", card="h100")])
    assert fault is not None
    assert (await site.engine.inspect([TaskKey(site.placement, 0)]))[0].state is TaskState.ABSENT
