"""Jobs at a site that runs Ray, while Ray's head and the agent are killed: none lost, none run twice or billed twice.

`make test` kills them beneath the engine alone; `make test-ray` runs this, and says what it found.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray_cluster import ray_cluster
from witnessed_jobs import TASK, Witness, billed_cpu_us, ended, judged, settled, submitted

from suanmesh_local import world
from suanmesh_local.node import Node
from suanmesh_local.ray import LocalRay

pytestmark = [pytest.mark.mesh, pytest.mark.ray, pytest.mark.timeout(1800)]

SITE = world.PLACES[0].site
CPUS = 8
JOBS, KILLS, PATIENCE_S = 60, 4, 1500


@pytest.fixture
def cluster() -> Iterator[LocalRay]:
    """More processors than the machine has: the tasks are idle most of the time."""
    with ray_cluster(CPUS) as started:
        yield started


async def test_jobs_survive_kills_of_rays_head_and_of_the_agent(cluster: LocalRay, tmp_path: Path) -> None:
    """Ray forgets all with its head, and runs on without the agent: what a user has paid for must not be lost."""
    overrides = {
        "SUANMESH_AGENT_ENGINE": "ray",
        "SUANMESH_AGENT_RAY_ADDRESS": cluster.address,
        "SUANMESH_AGENT_RAY_TOKEN_FILE": str(cluster.token_file),
        "SUANMESH_AGENT_CPU_MILLI": "0",
        "SUANMESH_AGENT_MEMORY_BYTES": "0",
    }
    async with Node(tmp_path / "node", 1, overrides=overrides) as node, node.mesh() as mesh:
        witness = Witness(node.folder / "sites" / SITE / "tasks")
        async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
            watching = group.create_task(witness.watch())
            names = await submitted(mesh, JOBS, TASK.format(seconds=2), "ray")
            killing = group.create_task(_kill(cluster, node))
            over = [await ended(mesh, name) for name in names]
            await killing
            watching.cancel()
        witness.look()
        await settled(mesh)
        billed = Counter[str]()
        for job in over:
            billed += await billed_cpu_us(mesh, job)
        found = judged(over, witness, billed)
    print(json.dumps(found))
    assert found["lost"] == found["run twice"] == found["billed otherwise"] == 0


async def _kill(cluster: LocalRay, node: Node) -> None:
    for _ in range(KILLS):
        await asyncio.sleep(3)
        node.agents[SITE].kill()
        await asyncio.sleep(1)
        node.agents[SITE].start()
        await asyncio.sleep(3)
        for program in ("gcs_server", "raylet"):
            cluster.kill(cluster.head, program)
        cluster.stop()
        cluster.start()
