"""What becomes of a task with its pod and its node: whatever ends them, and whatever others put beside it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest
from kubernetes_cluster import StandIn
from kubernetes_site import LONG_S, Hurried, Site, site_on

from suanmesh_agent.domain.tasks import TaskState


@pytest.fixture
async def site(kubernetes_stand_in: StandIn) -> AsyncGenerator[Site, None]:
    """One that is gone afterwards."""
    async with site_on(kubernetes_stand_in) as made:
        yield made


@pytest.mark.parametrize("by_eviction", [True, False])
async def test_what_the_cluster_ends_is_not_the_jobs_failure(site: Site, by_eviction: bool) -> None:
    """An operator who drains a node, or deletes a pod, would else cost the user an attempt, and the blame."""
    await site.engine.submit([site.task(0, f"sleep {LONG_S}")])
    await site.until(0, lambda look: look.state is TaskState.RUNNING)
    if by_eviction:
        site.cluster.call("POST", f"{site.pod()}/eviction", {})
    else:
        site.cluster.call("DELETE", site.pod())
    over = await site.until(0, lambda look: look.over)
    assert over.failure == "SITE_STOPPED"
    assert over.usage.elapsed_us > 0


async def test_a_node_that_is_gone_takes_its_tasks_with_it_and_says_so(site: Site) -> None:
    """Nobody is left there to write down how a task ended; its user must not wait for it for good."""
    labels = {"suanmesh.mesh/try": site.placement}
    node = site.cluster.node("gone", labels=labels)
    node.start()
    site.engine.close()
    site.engine = site.opened(node_selector=tuple(labels.items()))
    try:
        await site.engine.submit([site.task(0, f"sleep {LONG_S}")])
        await site.until(0, lambda look: look.state is TaskState.RUNNING)
        node.kill()
        site.cluster.kill_pods("gone")
        site.cluster.call("DELETE", "/api/v1/nodes/gone")
        over = await site.until(0, lambda look: look.over)
        assert over.failure == "SITE_STOPPED"
    finally:
        node.end()


async def test_what_waits_on_a_node_that_went_is_handed_to_another(site: Site) -> None:
    """Nobody is left there to say that its pod is gone: it is to go for good, and the task would wait for good."""
    labels = {"suanmesh.mesh/try": site.placement}
    gone, other = (site.cluster.node(name, labels=labels) for name in ("gone", "other"))
    gone.start()
    site.engine.close()
    site.engine = site.opened(Hurried(), node_selector=tuple(labels.items()))
    try:
        site.cluster.until(lambda: bool(site.cluster.call("GET", "/api/v1/nodes/gone")))
        gone.kill()
        await site.engine.submit([site.task(0, "echo run >> out/runs")])
        await asyncio.to_thread(site.cluster.until, lambda: bool(site.pods_on("gone")))
        site.cluster.hurt(node_silent_s=2)
        other.start()
        assert (await site.ends(1))[0].succeeded
        assert site.runs(1) == [1]
    finally:
        site.cluster.call("DELETE", "/api/v1/nodes/gone")
        site.cluster.hurt(node_silent_s=30)
        other.end()
        site.cluster.call("DELETE", "/api/v1/nodes/other")


async def test_a_pod_with_others_containers_ends_with_its_task(site: Site) -> None:
    """What a service mesh puts beside it goes on: the node would be taken, and paid for, until the pod's deadline."""
    site.cluster.hurt(sidecar=True)
    await site.engine.submit([site.task(0, "echo run >> out/runs")])
    assert (await site.ends(1))[0].succeeded
    async with asyncio.timeout(60):
        while site.jobs():  # noqa: ASYNC110 - another process deletes it
            await asyncio.sleep(0.05)
    assert site.runs(1) == [1]


async def test_a_pod_that_is_killed_for_its_memory_says_so(site: Site) -> None:
    """The kernel ends the shim with the task, and "lost" would send the job to another site to fail there."""
    waste = 'python3 -c "import time; kept = bytearray(300 << 20); time.sleep(60)"'
    await site.engine.submit([site.task(0, waste, memory_bytes=64 << 20)])
    over = await site.until(0, lambda look: look.over)
    assert over.failure == "OUT_OF_MEMORY"
