"""What the store keeps when real processes are stopped and killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from suanmesh.scheduler.v1.job_pb2 import Job
from suanmesh_etcd3 import Client, connect
from suanmesh_kernel.clock import SystemClock, system_rng
from suanmesh_kernel.refusals import Unavailable
from suanmesh_local.etcd import EtcdCluster
from suanmesh_store import Create, Held, Leadership, Store, Update, open_mirror
from suanmesh_store.etcd import EtcdStore, elect
from suanmesh_store.layout import Kind, election_key

JOBS = Kind("scheduler", "jobs", Job)
"""A kind as any."""

WRITES = 300


def a_store(client: Client, leadership: Leadership | None = None) -> Store:
    return EtcdStore(client, "scheduler", SystemClock(), system_rng, leadership)


@asynccontextmanager
async def a_client(cluster: EtcdCluster) -> AsyncIterator[Client]:
    async with connect(cluster.endpoints) as client:
        await client.delete_prefix("/suanmesh/")
        yield client


async def test_a_process_stopped_past_its_lease_can_commit_nothing(etcd_cluster: EtcdCluster) -> None:
    """A scheduler that the machine froze would wake up and sell what its successor has sold already."""
    script = Path(__file__).with_name("leader_process.py")
    async with asyncio.timeout(60), a_client(etcd_cluster) as client:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(script),
            ",".join(etcd_cluster.endpoints),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            assert await process.stdout.readline() == b"leads\n"
            os.kill(process.pid, signal.SIGSTOP)
            successor = await elect(client, "scheduler", "127.0.0.1:2", 2)
            done = await a_store(client, successor).commit(Create(JOBS, "jobs/sold", Job(name="jobs/sold")))
            os.kill(process.pid, signal.SIGCONT)
            process.stdin.write(b"wake\n")
            told = json.loads(await process.stdout.readline())
        finally:
            os.kill(process.pid, signal.SIGCONT)
            process.kill()
            await process.wait()

        assert told == ["NOT_LEADER 127.0.0.1:2"] * 2
        snapshot = await a_store(client).snapshot(JOBS)
        assert [held.name for held in snapshot.held] == ["jobs/before", "jobs/sold"]
        assert snapshot.held[1] == done.held[0]
        await successor.resign()


async def test_a_member_killed_while_writing_loses_and_doubles_nothing(etcd_cluster: EtcdCluster) -> None:
    """A booking that was acknowledged and is gone, or is there twice, is paid for by a provider or a user."""
    async with asyncio.timeout(60), a_client(etcd_cluster) as client:
        term = await elect(client, "scheduler", "127.0.0.1:1", 10)
        store = a_store(client, term)
        held = (await store.commit(Create(JOBS, "jobs/counter", Job(name="jobs/counter")))).held[0]
        mirror = await open_mirror(store, JOBS)
        async with asyncio.TaskGroup() as tasks:
            following = tasks.create_task(mirror.run())
            victims = tasks.create_task(killed_in_turn(etcd_cluster, at=held.mod_revision, client=client))
            acknowledged, unknown = await counted(store, held)
            await victims
            current = await store.get(JOBS, "jobs/counter")
            assert current is not None
            await mirror.wait_for(current.mod_revision)
            assert mirror.get("jobs/counter") == current
            following.cancel()

        assert acknowledged >= WRITES - 20
        assert 1 + acknowledged <= current.version <= 1 + acknowledged + unknown
        await term.resign()


async def counted(store: Store, held: Held[Job]) -> tuple[int, int]:
    """Count a document up; how many writes were acknowledged, and of how many it is not known."""
    acknowledged = unknown = 0
    while acknowledged < WRITES:
        try:
            held = (await store.commit(Update(held, Job(name=held.name, account=f"accounts/{acknowledged}")))).held[0]
            acknowledged += 1
        except Unavailable as refusal:
            unknown += refusal.reason == "OUTCOME_UNKNOWN"
            current = await store.get(JOBS, held.name)
            assert current is not None
            held = current
    return acknowledged, unknown


async def killed_in_turn(cluster: EtcdCluster, *, at: int, client: Client) -> None:
    """Kill -9 each member once, the leader among them, each after some more writes; bring it back."""
    for index in range(3):
        at += WRITES // 5
        async with aclosing(client.watch(JOBS.prefix, after_revision=at)) as further:
            await anext(further)
        cluster.kill(index)
        await cluster.restart(index)


async def test_a_candidate_outlives_a_restart_of_all_of_etcd(etcd_cluster: EtcdCluster) -> None:
    """A power cut must not leave an area without a leader once etcd is back."""
    async with asyncio.timeout(60), a_client(etcd_cluster) as client, a_client(etcd_cluster) as other:
        first = await elect(client, "scheduler", "127.0.0.1:1", 2)
        async with asyncio.TaskGroup() as tasks:
            async with aclosing(a_store(client).watch_tokens(election_key("scheduler"), first.fence)) as candidates:
                waiting = tasks.create_task(elect(other, "scheduler", "127.0.0.1:2", 2))
                await anext(candidates)
            for index in range(3):
                etcd_cluster.kill(index)
            await first.lost.wait()
            with pytest.raises(Unavailable) as refused:
                await a_store(client, first).commit(Create(JOBS, "jobs/a", Job(name="jobs/a")))
            assert refused.value.reason == "NOT_LEADER"
            for member in etcd_cluster.members:
                member.start()
            await etcd_cluster.healthy()
            second = await waiting
        assert second.fence > first.fence
        await a_store(other, second).commit(Create(JOBS, "jobs/a", Job(name="jobs/a")))
        await second.resign()
