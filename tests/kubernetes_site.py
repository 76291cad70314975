"""An engine on a Kubernetes for a test, with one placement of it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

from kubernetes_cluster import NAMESPACE, StandIn

from suanmesh_agent.domain.tasks import TaskKey, TaskLook, TaskSpec
from suanmesh_agent.engines.kubernetes import jobs as jobs_of
from suanmesh_agent.engines.kubernetes.engine import KubernetesEngine
from suanmesh_agent.task_run import until_over
from suanmesh_kernel.clock import Clock, SystemClock

LONG_S = 300
SITE = "test"
JOBS = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"
_PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"


class Site:
    """An engine on the cluster, and one placement of it."""

    def __init__(self, cluster: StandIn, folder: Path) -> None:
        self.cluster = cluster
        self.folder = folder / uuid.uuid4().hex[:8]
        self.folder.mkdir()
        self.placement = f"test-{uuid.uuid4().hex[:8]}"
        self.engine = self.opened()

    def opened(self, clock: Clock | None = None, **of_pods: object) -> KubernetesEngine:
        """What an agent that comes back opens."""
        return self.cluster.engine(self.folder.parent, SITE, folder=self.folder, clock=clock, **of_pods)

    def key(self, index: int = 0) -> TaskKey:
        return TaskKey(self.placement, index)

    def task(self, index: int, command: str, cpu_milli: int = 100, **more: object) -> TaskSpec:
        """A task of the placement."""
        words, bounds = ("sh", "-c", command), {"max_duration_s": 600, "outputs": ("out",)}
        return TaskSpec(self.key(index), words, cpu_milli=cpu_milli, **bounds | more)  # type: ignore[arg-type]

    async def until(self, index: int, holds: Callable[[TaskLook], bool]) -> TaskLook:
        """How a task stands once that holds."""
        async with asyncio.timeout(120), aclosing(self.engine.watch(self.placement)) as batches:
            await anext(batches)  # somebody has to watch, so that the cluster is minded
            while True:
                (look,) = await self.engine.inspect([self.key(index)])
                if holds(look):
                    return look
                await asyncio.sleep(0.05)

    async def ends(self, count: int) -> list[TaskLook]:
        """Of the first tasks, once all are over."""
        async with asyncio.timeout(200):
            return await until_over(self.engine, [self.key(index) for index in range(count)])

    def runs(self, count: int) -> list[int]:
        """How often each of the first tasks has said that it ran."""
        return [_size(self.engine, self.key(index)) // len("run\n") for index in range(count)]

    def jobs(self) -> list[dict[str, Any]]:
        """Those of the placement that the cluster has."""
        found = self.cluster.jobs()
        return [each for each in found if each["metadata"].get("labels", {}).get(jobs_of.PLACEMENT) == self.placement]

    def suspend(self, *, suspended: bool) -> None:
        """Its Jobs, as a queue of the cluster's does."""
        for each in self.jobs():
            changed = each | {"spec": each["spec"] | {"suspend": suspended}}
            changed["metadata"].pop("resourceVersion")
            self.cluster.call("PUT", f"{JOBS}/{each['metadata']['name']}", changed)

    def pods_on(self, node: str) -> list[dict[str, Any]]:
        """Those that a node was given."""
        return [each for each in self.cluster.pods() if each["spec"].get("nodeName") == node]

    def pod(self) -> str:
        """Path of the pod of its task that runs."""
        (name,) = [
            each["metadata"]["name"]
            for each in self.cluster.pods()
            if each["metadata"]["labels"][jobs_of.PLACEMENT] == self.placement and each["status"]["phase"] == "Running"
        ]
        return f"{_PODS}/{name}"


class Hurried(SystemClock):
    """A minute goes by in two seconds."""

    def monotonic(self) -> float:
        return 30 * super().monotonic()


def _size(engine: KubernetesEngine, key: TaskKey) -> int:
    return sum(file.size_bytes for file in engine.collect(key, "out"))


@asynccontextmanager
async def site_on(cluster: StandIn) -> AsyncGenerator[Site, None]:
    """Nothing of it stays in the cluster, and what was hurt is whole again."""
    made = Site(cluster, cluster.volume)
    yield made
    cluster.hurt(
        jobs_max=None, pods_max=None, refuse=0, lose_answer=False, lose_starts=0, sidecar=False, conflict=False
    )
    if running := made.engine.running():
        await made.engine.cancel(running)
        await until_over(made.engine, running)
    made.engine.close()
