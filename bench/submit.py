"""What it costs to submit jobs: `python bench/submit.py`.

A whole node on this machine, its etcd durable. Prints one JSON object a line, {"name", "value", "unit"}: accepted jobs
a second from one and from many clients that submit batches of a hundred, each the next as soon as it is answered; then
what becomes of a hundred batches that come at once, and how long one user waits meanwhile who only asks for a job.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from suanmesh.scheduler.v1 import scheduler_service_pb2 as pb
from suanmesh_kernel.refusals import Refusal
from suanmesh_local import trials
from suanmesh_local.node import Node
from suanmesh_sdk import Mesh

BATCH = 100
SECONDS = 10.0
AT_ONCE = 100
PATIENCE_S = 60.0
NOWHERE_MILLI = 9_000_000
"""More cores than any site has: the jobs are decided, but hold nothing and run nowhere."""


async def main() -> None:
    """Measure on a fresh node."""
    overrides = {
        "SUANMESH_SCHEDULER_LIVE_JOBS_MAX": "1000000",
        "SUANMESH_SCHEDULER_JOBS_PER_S": "1000000",
        "SUANMESH_SCHEDULER_JOBS_BURST": "1000000",
    }
    with tempfile.TemporaryDirectory() as folder:
        async with Node(Path(folder), 3, overrides=overrides) as node, node.mesh() as user:
            tell("etcd_begun", node_bytes(node), "bytes")
            for clients in (1, 20):
                tell(f"submitted_{clients}_clients", await rate(user, clients), "jobs/s")
            await at_once(user)
            tell("etcd_ended", node_bytes(node), "bytes")


async def rate(user: Mesh, clients: int) -> float:
    """Jobs accepted a second."""
    until = time.monotonic() + SECONDS
    accepted: Counter[str] = Counter()

    async def submit() -> None:
        while time.monotonic() < until:
            accepted.update(await batch(user))

    begun = time.monotonic()
    await asyncio.gather(*(submit() for _ in range(clients)))
    print(dict(accepted), file=sys.stderr)
    return accepted["OK"] / (time.monotonic() - begun)


async def at_once(user: Mesh) -> None:
    """A hundred batches, and one who asks for a job."""
    name = await trials.submit(user, "", trials.job("", cpu_milli=NOWHERE_MILLI))
    waits: list[float] = []
    over = asyncio.Event()

    async def ask() -> None:
        while not over.is_set():
            begun = time.monotonic()
            try:
                await user.scheduler.GetJob(pb.GetJobRequest(name=name), timeout=30)
            except Refusal as refusal:
                print("GetJob", refusal.reason, file=sys.stderr)
            waits.append(time.monotonic() - begun)
            await asyncio.sleep(0.05)

    asking = asyncio.create_task(ask())
    begun = time.monotonic()
    answers = await asyncio.gather(*(batch(user) for _ in range(AT_ONCE)))
    tell("at_once_took", round(time.monotonic() - begun, 2), "s")
    over.set()
    await asking
    for reason, count in sum(answers, Counter[str]()).items():
        tell(f"at_once.{reason}", count, "jobs")
    tell("at_once_get_job_p99", round(1000 * statistics.quantiles(waits, n=100)[98], 1), "ms")


async def batch(user: Mesh) -> Counter[str]:
    """Submit one batch; how many of its jobs were accepted, or why not."""
    items = [pb.SubmitJob(job=trials.job("", cpu_milli=NOWHERE_MILLI)) for _ in range(BATCH)]
    try:
        answer = await user.scheduler.SubmitJobs(pb.SubmitJobsRequest(items=items), timeout=PATIENCE_S)
    except Refusal as refusal:
        return Counter({refusal.reason: BATCH})
    return Counter("OK" if result.HasField("job") else str(result.error.code) for result in answer.results)


def node_bytes(node: Node) -> int:
    """Size of etcd's database."""
    return (node.folder / "etcd" / "etcd" / "data" / "member" / "snap" / "db").stat().st_size


def tell(name: str, value: float, unit: str) -> None:
    """One figure."""
    print(json.dumps({"name": name, "value": round(value, 2), "unit": unit}), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
