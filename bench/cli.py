"""How long people wait for `suan`: `python bench/cli.py [--jobs 10000] [--rounds 15]`.

A whole node on this machine holds so many jobs. Each command is a new process; they take turns with a bare interpreter,
which is the least that any of them can take. Prints one JSON object a line: the median of the wall time, that of the
processor time, and the wall time of the bare interpreter of the same rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from suanmesh.scheduler.v1 import scheduler_service_pb2 as pb
from suanmesh_local import trials
from suanmesh_local.node import Node
from suanmesh_sdk import Mesh

BATCH = 100
NOWHERE_MILLI = 9_000_000
"""More cores than any site has: the jobs are decided and stay."""
SUAN = str(Path(sys.executable).parent / "suan")
BARE = [sys.executable, "-c", "pass"]
COMMANDS = {
    "help": [SUAN, "--help"],
    "version": [SUAN, "--version"],
    "job_list": [SUAN, "job", "list"],
    "job_list_of_a_state": [SUAN, "job", "list", "--state", "PENDING"],
    "job_list_where_none_is_kept": [SUAN, "job", "list", "--state", "DONE"],
}
OPEN = {f"SUANMESH_SCHEDULER_{name}": "1000000" for name in ("LIVE_JOBS_MAX", "JOBS_PER_S", "JOBS_BURST")}


class Taken(NamedTuple):
    """What one process took, in milliseconds."""

    wall_ms: float
    cpu_ms: float


async def main(jobs: int, rounds: int) -> None:
    """Measure on a fresh node."""
    with tempfile.TemporaryDirectory() as folder:
        async with Node(Path(folder), 1, overrides=OPEN) as node, node.mesh() as user:
            for first in range(0, jobs, BATCH):
                await submit(user, first)
            environment = {**os.environ, "SUANMESH_CONFIG": str(node.folder / "config.toml")}
            for name, command in COMMANDS.items():
                turns = [
                    (
                        await asyncio.to_thread(timed, command, environment),
                        await asyncio.to_thread(timed, BARE, environment),
                    )
                    for _ in range(rounds)
                ]
                tell(name, turns)


async def submit(user: Mesh, first: int) -> None:
    """A hundred jobs that fit nowhere."""
    job = trials.job("", cpu_milli=NOWHERE_MILLI)
    items = [pb.SubmitJob(job_id=f"stored-{first + index}", job=job) for index in range(BATCH)]
    answer = await user.scheduler.SubmitJobs(pb.SubmitJobsRequest(items=items), timeout=60)
    assert not any(result.HasField("error") for result in answer.results), answer.results[0]


def timed(command: list[str], environment: dict[str, str]) -> Taken:
    """Run it once, its output read by nobody."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    wall_s, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Taken(wall_s * 1000, (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1000)


def tell(name: str, turns: list[tuple[Taken, Taken]]) -> None:
    """One line."""
    wall_ms, cpu_ms = (statistics.median(getattr(each, field) for each, _ in turns) for field in Taken._fields)
    bare_ms = statistics.median(bare.wall_ms for _, bare in turns)
    told = {"name": name, "value": round(wall_ms), "unit": "ms", "cpu_ms": round(cpu_ms), "baseline": round(bare_ms)}
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    asyncio.run(main(given.jobs, given.rounds))
