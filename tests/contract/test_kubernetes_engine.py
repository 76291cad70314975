"""What an engine on Kubernetes promises besides: tasks that wait say why, and nothing is lost, or run twice, with what
comes between: servers that are away, answers that are lost, watches that break off, nodes that go."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

import pytest
from kubernetes_cluster import CPUS, StandIn
from kubernetes_site import JOBS, LONG_S, SITE, Site, site_on

from suanmesh_agent.domain.tasks import TaskState
from suanmesh_agent.engines.kubernetes import jobs as jobs_of
from suanmesh_agent.task_run import until_over

ALL_CPU_MILLI = CPUS * 1000


@pytest.fixture
async def site(kubernetes_stand_in: StandIn) -> AsyncGenerator[Site, None]:
    """One that is gone afterwards."""
    async with site_on(kubernetes_stand_in) as made:
        yield made


async def test_what_waits_says_why_and_has_used_nothing(site: Site) -> None:
    """A user would else pay for the cluster's queue, and take a full site for a broken one."""
    await site.engine.submit([site.task(0, "true", ALL_CPU_MILLI + 1)])
    waiting = await site.until(0, lambda look: look.waits_for.code == "QUEUE_RESOURCES")
    assert "Insufficient cpu" in waiting.waits_for.facts["said"]
    assert (waiting.state, waiting.start_time, waiting.usage.elapsed_us) == (TaskState.QUEUED, None, 0)
    await site.engine.cancel([site.key()])
    (over,) = await site.ends(1)
    assert (over.failure, over.start_time) == ("CANCELLED", None)
    async with asyncio.timeout(60):
        while site.jobs():  # noqa: ASYNC110 - another process deletes it
            await asyncio.sleep(0.05)


async def test_a_full_namespace_is_a_queue(site: Site) -> None:
    """A quota lets others have their share: what is over it has not failed."""
    site.cluster.hurt(jobs_max=0)
    assert await site.engine.submit([site.task(0, "echo run >> out/runs")]) == [None]
    waiting = await site.until(0, lambda look: look.waits_for.code == "QUEUE_LIMIT")
    assert "exceeded quota" in waiting.waits_for.facts["said"]
    site.cluster.hurt(jobs_max=None)
    assert [look.succeeded for look in await site.ends(1)] == [True]
    assert site.runs(1) == [1]


async def test_a_job_without_a_pod_says_why(site: Site) -> None:
    """The Job is there and nothing happens: only an event of the cluster tells why."""
    site.cluster.hurt(pods_max=0)
    await site.engine.submit([site.task(0, "true")])
    waiting = await site.until(0, lambda look: look.waits_for.code == "QUEUE_LIMIT")
    assert "exceeded quota" in waiting.waits_for.facts["said"]


async def test_a_job_that_is_held_back_says_so_and_runs_when_it_is_let_go(site: Site) -> None:
    """Queues such as Kueue suspend a Job until its turn comes; its user must not take that for a broken site."""
    site.cluster.hurt(pods_max=0)
    await site.engine.submit([site.task(0, "echo run >> out/runs")])
    await site.until(0, lambda look: look.waits_for.code == "QUEUE_LIMIT")
    site.suspend(suspended=True)
    site.cluster.hurt(pods_max=None)
    waiting = await site.until(0, lambda look: look.waits_for.code == "QUEUE_HELD")
    assert waiting.waits_for.facts["said"] == "Job suspended"
    site.suspend(suspended=False)
    assert (await site.ends(1))[0].succeeded
    assert site.runs(1) == [1]


async def test_a_task_whose_job_is_suspended_is_ended_and_runs_no_second_time(site: Site) -> None:
    """The cluster takes its pod away and makes another when it goes on: by then the task is somewhere else."""
    await site.engine.submit([site.task(0, f"echo run >> out/runs; sleep {LONG_S}")])
    await site.until(0, lambda look: look.state is TaskState.RUNNING)
    site.suspend(suspended=True)
    over = await site.until(0, lambda look: look.over)
    assert over.failure == "SITE_STOPPED"
    site.suspend(suspended=False)
    async with asyncio.timeout(60):
        while not any(each["status"].get("succeeded") for each in site.jobs()):  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.05)
    assert site.runs(1) == [1]


async def test_jobs_that_went_while_the_agent_was_away_are_neither_lost_nor_run_twice(site: Site) -> None:
    """Ended Jobs are kept for ten minutes; an agent may be away for a night."""
    await site.engine.submit([site.task(0, "echo run >> out/runs"), site.task(1, "true", ALL_CPU_MILLI + 1)])
    assert (await site.until(0, lambda look: look.over)).succeeded
    await site.until(1, lambda look: look.waits_for.code == "QUEUE_RESOURCES")
    site.engine.close()
    for each in site.jobs():
        site.cluster.call("DELETE", f"{JOBS}/{each['metadata']['name']}")
    async with asyncio.timeout(60):
        while site.jobs():  # noqa: ASYNC110 - another process deletes it
            await asyncio.sleep(0.05)
    site.engine = site.opened()
    await site.until(1, lambda look: look.waits_for.code == "QUEUE_RESOURCES")  # its Job is there again
    assert (await site.engine.inspect([site.key()]))[0].succeeded
    assert site.runs(1) == [1]
    assert len(site.jobs()) == 1


async def test_a_server_that_is_away_costs_nothing(site: Site) -> None:
    """API servers are upgraded and restarted: a paid task must neither be lost with one nor run a second time."""
    command = "echo run >> out/runs; sleep 1"
    assert await site.engine.submit([site.task(0, command)]) == [None]
    await site.until(0, lambda look: look.state is TaskState.RUNNING)
    site.cluster.server.kill()
    assert await site.engine.submit([site.task(1, command)]) == [None]
    silent = await site.until(1, lambda _: site.engine.start_fault.startswith("Kubernetes does not answer"))
    assert (silent.state, silent.waits_for.code) == (TaskState.QUEUED, "QUEUE_SILENT")
    assert (await site.until(0, lambda look: look.over)).succeeded
    site.cluster.start_server()
    assert all(look.succeeded for look in await site.ends(2))
    assert site.runs(2) == [1, 1]


async def test_a_lost_answer_makes_no_second_job(site: Site) -> None:
    """Whether a Job was made is not known where the answer is lost: it is made again, and must be found to be there."""
    site.cluster.hurt(lose_answer=True)
    assert await site.engine.submit([site.task(0, "echo run >> out/runs")]) == [None]
    assert (await site.ends(1))[0].succeeded
    assert site.runs(1) == [1]
    assert len(site.jobs()) == 1


async def test_a_quota_that_two_are_counted_in_at_once_costs_no_job(site: Site) -> None:
    """The cluster answers as where there is one of that name already, and none is: it is asked once more."""
    site.cluster.hurt(conflict=True)
    assert await site.engine.submit([site.task(0, "echo run >> out/runs")]) == [None]
    assert (await site.ends(1))[0].succeeded
    assert site.runs(1) == [1]


async def test_a_server_that_is_away_when_a_pod_begins_loses_no_node(site: Site) -> None:
    """What ran there would be gone with the node, and what was sent there would wait for good."""
    site.cluster.hurt(lose_starts=2)
    await site.engine.submit([site.task(0, "echo run >> out/runs; sleep 1")])
    assert (await site.ends(1))[0].succeeded
    assert site.runs(1) == [1]
    assert all(node.status is None for node in site.cluster.nodes.values())


async def test_a_server_that_is_busy_is_asked_again(site: Site) -> None:
    """A cluster under load refuses what it would take a second later."""
    site.cluster.hurt(refuse=3, refuse_with=429, retry_after_s=1)
    assert await site.engine.submit([site.task(0, "echo run >> out/runs")]) == [None]
    assert (await site.ends(1))[0].succeeded
    assert site.runs(1) == [1]


async def test_a_name_that_somebody_else_has_is_left_alone(site: Site) -> None:
    """What is not ours is neither taken for a task nor deleted."""
    name = jobs_of.job_name(SITE, site.key(), 1)
    pod = {"restartPolicy": "Never", "containers": [{"name": "theirs", "image": "theirs", "command": ["sleep", "1"]}]}
    theirs = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {"template": {"spec": pod}}}
    theirs["spec"]["template"]["metadata"] = {}
    site.cluster.call("POST", JOBS, theirs)
    (fault,) = await site.engine.submit([site.task(0, "true")])
    assert fault is not None
    assert "somebody else" in str(fault)
    assert any(each["metadata"]["name"] == name for each in site.cluster.jobs())


@pytest.mark.parametrize("compact", [False, True])
async def test_a_watch_that_breaks_off_misses_nothing(site: Site, compact: bool) -> None:
    """Connections end and histories are cut short all the time; what happened between is looked up."""
    await site.engine.submit([site.task(0, "true", ALL_CPU_MILLI + 1)])
    await site.until(0, lambda look: look.waits_for.code == "QUEUE_RESOURCES")
    site.cluster.server.kill()
    site.cluster.start_server()
    site.cluster.hurt(compact=compact, cut=True)
    for each in site.jobs():
        site.cluster.call("DELETE", f"{JOBS}/{each['metadata']['name']}")
    (look,) = await site.ends(1)
    assert (look.failure, look.start_time) == ("SITE_STOPPED", None)


async def test_an_agent_that_comes_back_finds_what_waits_and_what_runs(site: Site) -> None:
    """A paid task must neither be lost with the agent nor run a second time."""
    command = "echo run >> out/runs; sleep 2"
    tasks = [site.task(index, command) for index in range(2)]
    await site.engine.submit(tasks)
    await site.until(0, lambda look: look.state is TaskState.RUNNING)
    site.engine.close()
    site.engine = site.opened()
    assert await site.engine.submit(tasks) == [None, None]
    assert all(look.succeeded for look in await site.ends(2))
    assert site.runs(2) == [1, 1]


async def test_an_image_that_is_not_to_be_had_is_the_sites_to_mend(site: Site) -> None:
    """The task waits, and both its user and the site's health say for what."""
    site.engine.close()
    site.engine = site.opened(image="absent/it")
    await site.engine.submit([site.task(0, "true")])
    waiting = await site.until(0, lambda look: look.waits_for.code == "QUEUE_HELD")
    assert waiting.waits_for.facts["said"].startswith("ImagePullBackOff")
    assert site.engine.start_fault.startswith("ImagePullBackOff")


async def test_nodes_are_offered_with_what_others_leave(site: Site) -> None:
    """What is offered and cannot be had makes jobs wait that have a place elsewhere."""
    theirs = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"theirs-{site.placement}"}}
    resources = {"requests": {"cpu": "1500m", "memory": "3Gi"}}
    spec = {"containers": [{"name": "it", "image": "it", "command": ["sleep", "60"], "resources": resources}]}
    site.cluster.call("POST", "/api/v1/namespaces/kube-system/pods", theirs | {"spec": spec | {"nodeName": "n1"}})
    site.cluster.call("PUT", "/api/v1/nodes/n2", _tainted(site.cluster))
    try:
        (node,) = await site.engine.nodes()
        assert (node.name, node.cpu_milli, node.memory_bytes) == ("n1", (CPUS - 2) * 1000, (64 - 3) << 30)
    finally:
        site.cluster.call("PUT", "/api/v1/nodes/n2", _tainted(site.cluster, taints=()))
        site.cluster.call("DELETE", f"/api/v1/namespaces/kube-system/pods/theirs-{site.placement}?gracePeriodSeconds=0")


def _tainted(cluster: StandIn, taints: Sequence[str] = ("theirs",)) -> object:
    node = cluster.call("GET", "/api/v1/nodes/n2")
    node["metadata"].pop("resourceVersion")  # it changes with each heartbeat
    return node | {"spec": {"taints": [{"key": key, "effect": "NoSchedule"} for key in taints]}}


async def test_tasks_with_secrets_are_not_taken(site: Site, tmp_path: Path) -> None:
    """They would have to lie on a disk that all nodes, and whoever runs them, can read."""
    (fault,) = await site.engine.submit([site.task(0, "true", secrets=tmp_path)])
    assert fault is not None
    assert not site.engine.capabilities().keeps_secrets


@pytest.mark.kubernetes
@pytest.mark.timeout(900)
async def test_tasks_survive_twenty_kills_of_the_server_and_ten_of_the_agent(site: Site) -> None:
    """None lost, none run twice, and each metered as its shim has counted."""
    count, command = 120, "echo run >> out/runs; sleep 0.5"
    tasks = [site.task(index, command) for index in range(count)]

    async def hurt() -> None:
        for number in range(20):
            await asyncio.sleep(1)
            site.cluster.server.kill()
            await asyncio.sleep(0.5)
            site.cluster.server.start()
            await asyncio.to_thread(site.cluster.until, lambda: bool(site.cluster.call("GET", "/version")))
            site.cluster.hurt(compact=number % 3 == 0, cut=True, lose_answer=number % 2 == 0)

    async def use() -> None:
        for number in range(10):
            begin = number * count // 10
            assert await site.engine.submit(tasks[begin : begin + count // 10]) == [None] * (count // 10)
            await asyncio.sleep(2)
            site.engine.close()
            site.engine = site.opened()

    async with asyncio.TaskGroup() as group:
        group.create_task(hurt())
        group.create_task(use())
    async with asyncio.timeout(600):
        looks = await until_over(site.engine, [task.key for task in tasks])
    assert Counter(look.failure or str(look.exit_status) for look in looks) == {"0": count}
    assert Counter(site.runs(count)) == {1: count}
