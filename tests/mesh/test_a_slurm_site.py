"""Jobs at a site that runs Slurm, while slurmctld and the agent are killed: none lost, none run twice or billed twice.

`make test` runs a few; `make test-slurm` runs two hundred with ten kills of each, and says what it found.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from slurm_cluster import slurm_cluster
from witnessed_jobs import TASK, Witness, billed_cpu_us, ended, judged, settled, submitted

from suanmesh_local import world
from suanmesh_local.node import Node
from suanmesh_local.slurm import LocalSlurm

pytestmark = pytest.mark.mesh

SITE = world.PLACES[0].site
CPUS = 64
SETTLE_S = 12
"""How long slurmctld may take to have on disk what it has begun."""
PATIENCE_S = 900


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalSlurm]:
    """More processors than the machine has: the tasks are idle most of the time."""
    with slurm_cluster(CPUS, absent=2) as started:
        yield started


async def test_jobs_survive_a_kill_of_slurmctld_and_of_the_agent(cluster: LocalSlurm, tmp_path: Path) -> None:
    """A site's own scheduler is one more thing that forgets: what a user has paid for must not be lost with it."""
    found = await _play(cluster, tmp_path, jobs=8, kills=1, settle_s=0, seconds=1, pause_s=1)
    assert found["lost"] == found["run twice"] == found["billed otherwise"] == 0


@pytest.mark.slurm
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("settle_s", [0, SETTLE_S])
async def test_two_hundred_jobs_survive_ten_kills_of_each(cluster: LocalSlurm, tmp_path: Path, settle_s: int) -> None:
    """With time to settle not one task is ended by Slurm, so none has to run again."""
    found = await _play(cluster, tmp_path, jobs=200, kills=10, settle_s=settle_s, seconds=2, pause_s=2 + settle_s / 3)
    print(json.dumps({"settle_s": settle_s} | found))
    assert found["lost"] == found["run twice"] == found["billed otherwise"] == 0
    assert found["placed again"] == 0 or not settle_s


async def _play(
    cluster: LocalSlurm, folder: Path, *, jobs: int, kills: int, settle_s: int, seconds: int, pause_s: float
) -> dict[str, int]:
    overrides = {"SUANMESH_AGENT_SLURM_SETTLE_S": str(settle_s)}
    async with Node(folder / "node", 1, overrides=overrides, slurm=cluster) as node, node.mesh() as mesh:
        witness = Witness(node.folder / "sites" / SITE / "tasks")
        async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
            watching = [group.create_task(witness.watch()), group.create_task(_operate(cluster))]
            killing = group.create_task(_kill(cluster, node, kills, pause_s))
            names = await submitted(mesh, jobs, TASK.format(seconds=seconds), "slurm")
            over = [await ended(mesh, name) for name in names]
            await killing
            for each in watching:
                each.cancel()
        witness.look()
        await settled(mesh)
        billed = Counter[str]()
        for job in over:
            billed += await billed_cpu_us(mesh, job)
        return judged(over, witness, billed)


async def _kill(cluster: LocalSlurm, node: Node, kills: int, pause_s: float) -> None:
    for _ in range(kills):
        for victim in (cluster.controller, node.agents[SITE]):
            await asyncio.sleep(pause_s)
            victim.kill()
            await asyncio.sleep(1)
            victim.start()


async def _operate(cluster: LocalSlurm) -> None:
    """Slurm drains a node that still has a job under a number that is given anew: its operator takes it back."""
    while True:
        await asyncio.sleep(3)
        with contextlib.suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(cluster.resume)
