"""More jobs at once than a node can take, and jobs made only to be cancelled: it stays quick, and small."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from suanmesh.scheduler.v1 import job_pb2
from suanmesh.scheduler.v1 import scheduler_service_pb2 as pb
from suanmesh_kernel.refusals import Refusal
from suanmesh_local import trials
from suanmesh_local.node import Node
from suanmesh_sdk import Mesh
from suanmesh_sdk.status import refusal_of
from tests.mesh.flooding import under_attack

pytestmark = [pytest.mark.mesh, pytest.mark.attack]

MIB = 1 << 20
NOWHERE_MILLI = 9_000_000
BATCHES, ITEMS = 100, 100
PATIENCE_S = 180.0
TRIES_MAX = 6
"""Calls until a batch is taken, by whoever waits as told each time."""
CIRCLES_S = 60.0
GROWTH_MIB_MAX = 10.0
"""Of etcd's database in a minute of submitting and cancelling as fast as allowed."""
SCHEDULER_MIB_MAX = 20.0
"""Of the scheduler's memory meanwhile, what a process takes to warm up with it."""
TOLD = {"QUEUE_FULL", "RATE_EXCEEDED", "CALLS_OF_CALLER_MAX", "BYTES_OF_CALLER_MAX"}


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node of its own: its etcd is measured, and ten thousand jobs stay behind."""
    node = Node(tmp_path_factory.mktemp("batches"), 3, overrides={"SUANMESH_SCHEDULER_LIVE_JOBS_MAX": "20000"})
    try:
        asyncio.run(node.start())
        yield node
    finally:
        asyncio.run(node.stop())


@pytest.mark.parametrize("content_bytes", [10, 5000], ids=["small", "large"])
async def test_jobs_made_to_be_cancelled_leave_little(fresh: Node, content_bytes: int) -> None:
    """A script that submits and cancels in a circle filled etcd by 86 MiB a minute, until nobody could write."""
    job = trials.job("#" * content_bytes, cpu_milli=NOWHERE_MILLI)
    circles: Counter[str] = Counter()
    async with fresh.mesh() as user, under_attack(fresh, f"circle_{content_bytes}") as measured:
        begun, until = _etcd_bytes(fresh), time.monotonic() + CIRCLES_S
        await asyncio.gather(*(_circle(user, job, until, circles) for _ in range(20)))
        grown = (_etcd_bytes(fresh) - begun) / MIB
    _tell(f"circle_{content_bytes}.circles", circles["done"], "jobs")
    _tell(f"circle_{content_bytes}.etcd_growth", grown, "MiB")
    measured.require()
    assert circles["done"] > 100
    assert grown <= GROWTH_MIB_MAX
    assert measured.peak_bytes["scheduler"] - measured.begun_bytes["scheduler"] <= SCHEDULER_MIB_MAX * MIB


async def test_a_hundred_batches_of_a_hundred_at_once(fresh: Node) -> None:
    """All of them timed out, and a few of their jobs ran; whoever only asked for a job waited for seconds."""
    async with fresh.mesh() as user:
        job = await _submitted(user)
        async with under_attack(fresh, "batches_at_once", job=job) as measured:
            begun = time.monotonic()
            tries = await asyncio.gather(*(_until_taken(fresh) for _ in range(BATCHES)))
            _tell("batches_at_once.took", time.monotonic() - begun, "s")
    _tell("batches_at_once.most_tries", max(tries), "calls")
    measured.require()
    assert max(tries) <= TRIES_MAX


async def _submitted(user: Mesh) -> str:
    """One job, submitted once what went before lets it in."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                return await trials.submit(user, "", trials.job("", cpu_milli=NOWHERE_MILLI))
            except Refusal as refusal:
                await asyncio.sleep(_told_s(refusal))


async def _until_taken(node: Node) -> int:
    """Submit one batch over a connection of its own, and again when told to; how many calls it took."""
    items = [pb.SubmitJob(job=trials.job("", cpu_milli=NOWHERE_MILLI)) for _ in range(ITEMS)]
    request = pb.SubmitJobsRequest(items=items, request_id=f"{id(items):x}")
    async with asyncio.timeout(PATIENCE_S), node.mesh() as user:
        for count in range(1, 100):
            try:
                answer = await user.scheduler.SubmitJobs(request, timeout=10)
            except Refusal as refusal:
                await asyncio.sleep(_told_s(refusal))
            else:
                assert all(result.HasField("job") for result in answer.results)
                return count
    raise AssertionError("never taken")


async def _circle(user: Mesh, job: job_pb2.Job, until: float, circles: Counter[str]) -> None:
    """Submit ten jobs, cancel them, and so on; whoever is refused waits as told."""
    while time.monotonic() < until:
        try:
            items = [pb.SubmitJob(job=job) for _ in range(10)]
            answer = await user.scheduler.SubmitJobs(pb.SubmitJobsRequest(items=items), timeout=10)
            for result in answer.results:
                if result.HasField("error"):
                    raise refusal_of(result.error)
                await user.scheduler.CancelJob(pb.CancelJobRequest(name=result.job.name), timeout=10)
                circles["done"] += 1
        except Refusal as refusal:
            circles[refusal.reason] += 1
            await asyncio.sleep(min(_told_s(refusal), max(0.0, until - time.monotonic())))


def _told_s(refusal: Refusal) -> float:
    """When to come again; any other refusal than one that says so is a failure."""
    if refusal.reason not in TOLD or not refusal.retry_delay_s:
        raise refusal
    return refusal.retry_delay_s


def _etcd_bytes(node: Node) -> int:
    return (node.folder / "etcd" / "etcd" / "data" / "member" / "snap" / "db").stat().st_size


def _tell(name: str, value: float, unit: str) -> None:
    print(json.dumps({"name": name, "value": round(value, 2), "unit": unit}))
