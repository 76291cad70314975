"""Jobs at a site that runs Kubernetes, while its API server and the agent are killed and pods are taken away.

`make test` hurts the engine alone; `make test-kubernetes` runs this, and says what it found.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections import Counter
from pathlib import Path

import pytest
from kubernetes_cluster import CLAIM, NAMESPACE, StandIn, stand_in
from witnessed_jobs import TASK, Witness, billed_cpu_us, ended, judged, settled, submitted

from suanmesh_local import world
from suanmesh_local.node import Node

pytestmark = [pytest.mark.mesh, pytest.mark.kubernetes, pytest.mark.timeout(1800)]

SITE = world.PLACES[0].site
PATIENCE_S = 900
LOOK_S = 0.2
_API = {"pods": f"/api/v1/namespaces/{NAMESPACE}/pods", "jobs": f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"}


async def test_jobs_survive_kills_of_the_server_and_of_the_agent(tmp_path: Path) -> None:
    """An owner's cluster is upgraded and drained while jobs run that somebody pays for."""
    found = await _play(tmp_path, jobs=6, rounds=1, seconds=2)
    assert found["lost"] == found["run twice"] == found["billed otherwise"] == 0


async def test_many_jobs_survive_many_kills(tmp_path: Path) -> None:
    """What survives one kill by luck does not survive ten."""
    found = await _play(tmp_path, jobs=40, rounds=5, seconds=6)
    print(json.dumps(found))
    assert found["lost"] == found["run twice"] == found["billed otherwise"] == 0


async def _play(folder: Path, *, jobs: int, rounds: int, seconds: int) -> dict[str, int]:
    shared = folder / "node"
    with stand_in(folder / "kubernetes", shared) as cluster:
        overrides = {
            "SUANMESH_AGENT_ENGINE": "kubernetes",
            "SUANMESH_AGENT_CPU_MILLI": "4000",
            "SUANMESH_AGENT_MEMORY_BYTES": "0",
            "SUANMESH_AGENT_KUBERNETES_CONFIG": cluster.kubeconfig,
            "SUANMESH_AGENT_KUBERNETES_IMAGE": cluster.image,
            "SUANMESH_AGENT_KUBERNETES_PYTHON": cluster.python,
            "SUANMESH_AGENT_KUBERNETES_CLAIM": CLAIM,
            "SUANMESH_AGENT_KUBERNETES_VOLUME": str(shared),
            "SUANMESH_AGENT_RUN_STRANGERS_UNSANDBOXED": "true",
        }
        async with Node(shared, 1, overrides=overrides) as node, node.mesh() as mesh:
            witness = Witness(node.folder / "sites" / SITE / "tasks")
            async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
                watching = group.create_task(witness.watch())
                names = await submitted(mesh, jobs, TASK.format(seconds=seconds), "kubernetes")
                hurting = group.create_task(_hurt(cluster, node, rounds))
                over = [await ended(mesh, name) for name in names]
                await hurting
                watching.cancel()
            witness.look()
            await settled(mesh)
            billed = Counter[str]()
            for job in over:
                billed += await billed_cpu_us(mesh, job)
            return judged(over, witness, billed)


async def _hurt(cluster: StandIn, node: Node, rounds: int) -> None:
    """Kill agent and server, each while the other is away too, and take two pods and a Job out of its hands."""
    agent = node.agents[SITE]
    for _ in range(rounds):
        await _take_away(cluster, "pods", evict=True)
        agent.kill()
        await _take_away(cluster, "pods")
        cluster.server.kill()
        agent.start()
        await asyncio.sleep(1)
        cluster.server.start()
        await asyncio.to_thread(cluster.until, lambda: bool(cluster.call("GET", "/version")))
        cluster.hurt(compact=True, cut=True, lose_answer=True)
        await _take_away(cluster, "jobs")


async def _take_away(cluster: StandIn, resource: str, *, evict: bool = False) -> None:
    """One that runs, as an outsider does; none where there is none any more."""
    for _ in range(int(10 / LOOK_S)):
        told = (await asyncio.to_thread(cluster.call, "GET", _API[resource])).get("items", [])
        if running := [each["metadata"]["name"] for each in told if _runs(each)]:
            path = f"{_API[resource]}/{secrets.choice(running)}"
            await asyncio.to_thread(cluster.call, *(("POST", f"{path}/eviction", {}) if evict else ("DELETE", path)))
            return
        await asyncio.sleep(LOOK_S)


def _runs(told: dict[str, dict[str, object]]) -> bool:
    status = told.get("status", {})  # which a Job does not have before somebody has seen it
    runs = status.get("active") == 1 or status.get("phase") == "Running"
    return runs and "deletionTimestamp" not in told["metadata"]
