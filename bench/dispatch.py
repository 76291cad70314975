"""What it costs to run jobs: `python bench/dispatch.py [--tasks N] [--jobs N]`.

A node of three sites on this machine, as `suan dev` starts it: calls go through the gateway; etcd, ledger and journals
are durable; tasks run in the sandbox that this host offers. Prints one JSON object a line, {"name", "value", "unit"}:
tasks a second of one job of many, then jobs a second of many jobs of one task, from the submission until the last is
done and nothing is held for it any more, which is when all is charged; and for both the processor seconds that each
task, or job, took of all processes of the node together, the tasks themselves included, and those of each program
(`cpu_per_job_scheduler`). A task is `true`.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Sequence
from pathlib import Path

from suanmesh.accounting.v1 import accounting_service_pb2 as accounting
from suanmesh.scheduler.v1 import job_pb2
from suanmesh.scheduler.v1 import scheduler_service_pb2 as pb
from suanmesh_local import trials, world
from suanmesh_local.node import Node
from suanmesh_sdk import Mesh

BATCH = 100
CPU_MILLI = 100
WAIT_S_MAX = 900.0
PAGE = 1000
LOOK_AGAIN_S = 0.25
"""Between two looks at whether money is held; at all jobs only while none is, or one would measure what that costs."""
WARM_UP_TASKS = 20
ACCOUNT = f"accounts/{world.CONSUMER}"
_PR_SET_CHILD_SUBREAPER = 36
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


async def main(tasks: int, jobs: int) -> None:
    """Measure on a fresh node."""
    become_subreaper()
    overrides = {"SUANMESH_SCHEDULER_JOBS_PER_S": "1000000", "SUANMESH_SCHEDULER_JOBS_BURST": "1000000"}
    with tempfile.TemporaryDirectory() as folder:
        async with Node(Path(folder), 3, overrides=overrides) as node, node.mesh() as user:
            await array(user, "warm-up", WARM_UP_TASKS)
            if tasks:
                took_s, cpu_s = await measured(array(user, "array", tasks))
                tell("tasks_end_to_end", tasks / took_s, "tasks/s")
                tell_shares("cpu_per_task", cpu_s, tasks)
            if jobs:
                took_s, cpu_s = await measured(many(user, jobs))
                tell("jobs_end_to_end", jobs / took_s, "jobs/s")
                tell_shares("cpu_per_job", cpu_s, jobs)


def become_subreaper() -> None:
    """What outlives its parent, as a task's shim does, becomes our child: it stays in sight until this process ends."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


async def array(user: Mesh, job_id: str, count: int) -> None:
    """One job of `count` tasks, from its submission until it is charged."""
    described = small_job()
    described.task.count = count
    done = await trials.ended(user, await trials.submit(user, job_id, described))
    if done.state != job_pb2.Job.STATE_DONE:
        raise SystemExit(f"{done.name}: {job_pb2.Job.State.Name(done.state)} {done.state_reason}")
    await charged(user)


async def many(user: Mesh, count: int) -> None:
    """`count` jobs of one task in batches, from the first submission until all are charged."""
    batches = [range(first, min(count, first + BATCH)) for first in range(0, count, BATCH)]
    for batch in batches:
        items = [pb.SubmitJob(job_id=f"one-{index}", job=small_job()) for index in batch]
        answer = await user.scheduler.SubmitJobs(pb.SubmitJobsRequest(items=items), timeout=WAIT_S_MAX)
        if failed := [result.error.message for result in answer.results if result.HasField("error")]:
            raise SystemExit(f"not accepted: {failed[0]}")
    await charged(user)
    while len(ended := [job for job in await all_jobs(user) if job.state in trials.ENDED]) < count:
        await asyncio.sleep(LOOK_AGAIN_S)
        await charged(user)
    if failed := [job.name for job in ended if job.state != job_pb2.Job.STATE_DONE]:
        raise SystemExit(f"{len(failed)} jobs were not done, such as {failed[0]}")
    await charged(user)


async def all_jobs(user: Mesh) -> list[job_pb2.Job]:
    """Every job of one task there is."""
    jobs: list[job_pb2.Job] = []
    request = pb.ListJobsRequest(page_size=PAGE)
    while True:
        answer = await user.scheduler.ListJobs(request)
        jobs += [job for job in answer.jobs if job.name.startswith("jobs/one-")]
        if not answer.next_page_token:
            return jobs
        request.page_token = answer.next_page_token


async def charged(user: Mesh) -> None:
    """Wait until no money is held for anything."""
    while (await user.accounting.GetAccount(accounting.GetAccountRequest(name=ACCOUNT))).held_micros:  # noqa: ASYNC110
        await asyncio.sleep(LOOK_AGAIN_S)


def small_job() -> job_pb2.Job:
    """A job of one task that does nothing."""
    described = trials.job("", cpu_milli=CPU_MILLI)
    described.package.variants[0].command[:] = ["true"]
    return described


async def measured(act: Awaitable[None]) -> tuple[float, Counter[str]]:
    """Seconds that `act` takes, and processor seconds of each program of the node meanwhile."""
    before, begun = cpu_seconds(), time.monotonic()
    async with asyncio.timeout(WAIT_S_MAX):
        await act
    took_s, after = time.monotonic() - begun, cpu_seconds()
    after.subtract(before)
    return took_s, after


def cpu_seconds() -> Counter[str]:
    """What all processes below this one have used by program, those that ended too: they were reaped below, or not at
    all. What has ended counts as its parent's, and a shim is its agent's or ours."""
    processes: dict[int, tuple[int, str, int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            ticks = sum(int(field) for field in fields[11:15])
            processes[int(entry.name)] = (int(fields[1]), program(words), ticks)
    ours, grown = {os.getpid()}, True
    while grown:
        more = {pid for pid, (parent, _, _) in processes.items() if parent in ours} - ours
        ours, grown = ours | more, bool(more)
    used: Counter[str] = Counter()
    for pid in ours - {os.getpid()}:
        _, name, ticks = processes[pid]
        used[name] += ticks / _TICKS_PER_S
    return used


def program(words: Sequence[bytes]) -> str:
    """What a command line runs: `scheduler`, `agent`, `etcd`, or `tasks` for what tasks and their shims are."""
    for word in words[:2]:
        name = word.decode(errors="replace").rpartition("/")[2]
        if name.startswith("suanmesh-") or name == "etcd":
            return name.removeprefix("suanmesh-").replace("-", "_")
    return "tasks"


def tell_shares(name: str, cpu_s: Counter[str], count: int) -> None:
    """Processor seconds for each of `count`, of all programs and of each."""
    tell(name, sum(cpu_s.values()) / count, "CPU-s")
    for each, seconds in cpu_s.most_common():
        tell(f"{name}_{each}", seconds / count, "CPU-s")


def tell(name: str, value: float, unit: str) -> None:
    """One figure."""
    print(json.dumps({"name": name, "value": round(value, 4), "unit": unit}), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=1000)
    options = parser.parse_args()
    sys.exit(asyncio.run(main(options.tasks, options.jobs)))
