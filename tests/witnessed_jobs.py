"""Jobs at a site whose own scheduler is killed: what became of each, how often it was started, what was billed."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from suanmesh.accounting.v1 import accounting_service_pb2 as accounting
from suanmesh.scheduler.v1 import job_pb2
from suanmesh.scheduler.v1 import scheduler_service_pb2 as scheduler
from suanmesh.type.v1 import money_pb2
from suanmesh_kernel.refusals import Refusal
from suanmesh_local import trials
from suanmesh_sdk import Mesh
from suanmesh_sdk.status import refusal_of

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


def judged(jobs: list[job_pb2.Job], witness: Witness, billed: Counter[str]) -> dict[str, int]:
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


async def submitted(mesh: Mesh, count: int, code: str, site: str) -> list[str]:
    """Submit so many jobs; their names."""
    described = trials.job(code, cpu_milli=1000)
    described.max_attempts = 10
    described.max_duration_s = 600
    items = [scheduler.SubmitJob(job_id=f"{site}-{number}", job=described) for number in range(count)]
    names = []
    for begin in range(0, count, 50):
        answer = await mesh.scheduler.SubmitJobs(scheduler.SubmitJobsRequest(items=items[begin : begin + 50]))
        for result in answer.results:
            if result.HasField("error"):
                raise refusal_of(result.error)
            names.append(result.job.name)
    return names


async def ended(mesh: Mesh, name: str) -> job_pb2.Job:
    """A job at its end, however often nobody answers until then."""
    while True:
        try:
            return await trials.ended(mesh, name)
        except Refusal as refusal:
            if refusal.code not in ("UNAVAILABLE", "DEADLINE_EXCEEDED"):
                raise
            await asyncio.sleep(trials.LOOK_AGAIN_S)


async def settled(mesh: Mesh) -> None:
    """Wait until nothing is held any more, so that every usage is charged."""
    while True:
        accounts = (await mesh.accounting.ListAccounts(accounting.ListAccountsRequest())).accounts
        if all(account.held_micros == 0 for account in accounts):
            return
        await asyncio.sleep(trials.LOOK_AGAIN_S)


async def billed_cpu_us(mesh: Mesh, job: job_pb2.Job) -> Counter[str]:
    """By placement, the processor time that a job is billed, each usage once."""
    bill = await mesh.accounting.GetBill(accounting.GetBillRequest(account=job.account, job=job.name))
    lines = Counter((charge.usage, charge.meter, charge.price_version) for charge in bill.charges)
    assert all(count == 1 for count in lines.values()), lines
    billed = Counter[str]()
    for charge in bill.charges:
        if charge.meter == money_pb2.METER_CPU_US:
            billed[charge.placement.rpartition("/")[2]] += charge.quantity
    return billed
