"""Jobs at a site that runs Slurm, while slurmctld and the agent are killed: none lost, none run twice or billed twice.

`make test` runs a few; `make test-slurm` runs two hundred with ten kills of each, and says what it found.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from slurm_cluster import slurm_cluster

from suanmesh.accounting.v1 import accounting_service_pb2 as accounting
from suanmesh.scheduler.v1 import job_pb2
from suanmesh.scheduler.v1 import scheduler_service_pb2 as scheduler
from suanmesh.type.v1 import money_pb2
from suanmesh_kernel.refusals import Refusal
from suanmesh_local import trials, world
from suanmesh_local.node import Node
from suanmesh_local.slurm import LocalSlurm
from suanmesh_sdk import Mesh
from suanmesh_sdk.status import refusal_of

pytestmark = pytest.mark.mesh

SITE = world.PLACES[0].site
CPUS = 64
SETTLE_S = 12
"""How long slurmctld may take to have on disk what it has begun."""
PATIENCE_S = 900
TASK = "import time; end = time.time() + {seconds}\nwhile time.time() < end: sum(range(9999)); time.sleep(0.05)"


@dataclass
class Witness:
    """Looks at the folders of tasks all the time: what each was started at, and how it ended."""

    folder: Path
    starts: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))

    async def watch(self) -> None:
        """Until it is cancelled."""
        while True:
            await asyncio.to_thread(self.look)
            await asyncio.sleep(0.2)

    def look(self) -> None:
        """Note every start there is."""
        for placement, facts in self._read("started.json"):
            self.starts[placement].add(facts["start_unix_ns"])

    def ends(self) -> dict[str, dict[str, int]]:
        """By placement, how its task ended."""
        return dict(self._read("exit.json"))

    def _read(self, name: str) -> Iterator[tuple[str, dict[str, int]]]:
        """That file of every task, by placement; of one that is cleared away meanwhile it has been read before."""
        for placement in self.folder.iterdir() if self.folder.exists() else ():
            with contextlib.suppress(FileNotFoundError):
                for path in placement.glob(f"*/shim/{name}"):
                    yield placement.name, json.loads(path.read_text())


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalSlurm]:
    """More processors than the machine has: the tasks are idle most of the time."""
    with slurm_cluster(CPUS, absent=2) as started:
        yield started


async def test_jobs_survive_a_kill_of_slurmctld_and_of_the_agent(cluster: LocalSlurm, tmp_path: Path) -> None:
    """A site's own scheduler is one more thing that forgets: what a user has paid for must not be lost with it."""
    found = await _play(cluster, tmp_path, jobs=8, kills=1, settle_s=0, seconds=1, pause_s=1)
    assert found["lost"] == found["run twice"] == found["billed otherwise"] == 0


@pytest.mark.slurm
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("settle_s", [0, SETTLE_S])
async def test_two_hundred_jobs_survive_ten_kills_of_each(cluster: LocalSlurm, tmp_path: Path, settle_s: int) -> None:
    """With time to settle not one task is ended by Slurm, so none has to run again."""
    found = await _play(cluster, tmp_path, jobs=200, kills=10, settle_s=settle_s, seconds=2, pause_s=2 + settle_s / 3)
    print(json.dumps({"settle_s": settle_s} | found))
    assert found["lost"] == found["run twice"] == found["billed otherwise"] == 0
    assert found["placed again"] == 0 or not settle_s


async def _play(
    cluster: LocalSlurm, folder: Path, *, jobs: int, kills: int, settle_s: int, seconds: int, pause_s: float
) -> dict[str, int]:
    overrides = {"SUANMESH_AGENT_SLURM_SETTLE_S": str(settle_s)}
    async with Node(folder / "node", 1, overrides=overrides, slurm=cluster) as node, node.mesh() as mesh:
        witness = Witness(node.folder / "sites" / SITE / "tasks")
        async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
            watching = [group.create_task(witness.watch()), group.create_task(_operate(cluster))]
            killing = group.create_task(_kill(cluster, node, kills, pause_s))
            names = await _submitted(mesh, jobs, TASK.format(seconds=seconds))
            ended = [await _ended(mesh, name) for name in names]
            await killing
            for each in watching:
                each.cancel()
        witness.look()
        await _settled(mesh)
        billed = Counter[str]()
        for job in ended:
            billed += await _billed_cpu_us(mesh, job)
        return _judged(ended, witness, billed)


def _judged(jobs: list[job_pb2.Job], witness: Witness, billed: Counter[str]) -> dict[str, int]:
    """Of every job what became of it; of every placement that ended well, that its bill is what it has used."""
    ends, starts = witness.ends(), witness.starts
    return {
        "jobs": len(jobs),
        "lost": sum(job.state != job_pb2.Job.STATE_DONE for job in jobs),
        "placed again": sum(job.attempt != 1 for job in jobs),
        "starts": sum(map(len, starts.values())),
        "run twice": sum(len(each) != 1 for each in starts.values()),
        "billed otherwise": sum(billed[name] != end["cpu_us"] for name, end in ends.items() if end["start_unix_ns"]),
    }


async def _kill(cluster: LocalSlurm, node: Node, kills: int, pause_s: float) -> None:
    for _ in range(kills):
        for victim in (cluster.controller, node.agents[SITE]):
            await asyncio.sleep(pause_s)
            victim.kill()
            await asyncio.sleep(1)
            victim.start()


async def _operate(cluster: LocalSlurm) -> None:
    """Slurm drains a node that still has a job under a number that is given anew: its operator takes it back."""
    while True:
        await asyncio.sleep(3)
        with contextlib.suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(cluster.resume)


async def _submitted(mesh: Mesh, count: int, code: str) -> list[str]:
    described = trials.job(code, cpu_milli=1000)
    described.max_attempts = 10
    described.max_duration_s = 600
    items = [scheduler.SubmitJob(job_id=f"slurm-{number}", job=described) for number in range(count)]
    names = []
    for begin in range(0, count, 50):
        answer = await mesh.scheduler.SubmitJobs(scheduler.SubmitJobsRequest(items=items[begin : begin + 50]))
        for result in answer.results:
            if result.HasField("error"):
                raise refusal_of(result.error)
            names.append(result.job.name)
    return names


async def _ended(mesh: Mesh, name: str) -> job_pb2.Job:
    while True:
        try:
            return await trials.ended(mesh, name)
        except Refusal as refusal:
            if refusal.code not in ("UNAVAILABLE", "DEADLINE_EXCEEDED"):
                raise
            await asyncio.sleep(trials.LOOK_AGAIN_S)


async def _settled(mesh: Mesh) -> None:
    """Wait until nothing is held any more, so that every usage is charged."""
    while True:
        accounts = (await mesh.accounting.ListAccounts(accounting.ListAccountsRequest())).accounts
        if all(account.held_micros == 0 for account in accounts):
            return
        await asyncio.sleep(trials.LOOK_AGAIN_S)


async def _billed_cpu_us(mesh: Mesh, job: job_pb2.Job) -> Counter[str]:
    bill = await mesh.accounting.GetBill(accounting.GetBillRequest(account=job.account, job=job.name))
    lines = Counter((charge.usage, charge.meter, charge.price_version) for charge in bill.charges)
    assert all(count == 1 for count in lines.values()), lines
    billed = Counter[str]()
    for charge in bill.charges:
        if charge.meter == money_pb2.METER_CPU_US:
            billed[charge.placement.rpartition("/")[2]] += charge.quantity
    return billed
