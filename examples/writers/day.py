"""The same day as a program: samples in, sixty trainings over three sites, models out, the bill by label.

    python day.py SAMPLES MODELS

Uses the current context, and that of the operator, who drains one of the sites meanwhile. Progress goes to standard
error, the bill to standard output.
"""

from __future__ import annotations

import asyncio
import csv
import sys
from collections import Counter
from collections.abc import Collection
from pathlib import Path

from suanmesh.accounting.v1 import accounting_service_pb2 as accounting
from suanmesh.accounting.v1 import usage_pb2
from suanmesh.registry.v1 import registry_service_pb2 as registry
from suanmesh.registry.v1 import site_pb2
from suanmesh.scheduler.v1 import job_pb2, placement_pb2
from suanmesh_client import Client, Input, Job, JobHandle, Output, connect
from suanmesh_client.descriptions import to_message
from suanmesh_client.money import exact
from suanmesh_client.paging import pages

HERE = Path(__file__).resolve().parent
WRITERS = {"guiyang": range(1, 21), "wuhu": range(21, 41), "shanghai": range(41, 61)}
DRAINED = "shanghai"
TRY_AGAIN = 75
LOOK_AGAIN_S = 0.5


async def main(samples: Path, models: Path) -> None:
    """The whole day."""
    async with connect() as mesh, connect("operator") as owner:
        brought = await mesh.data.put(samples, "samples-of-a-program")
        tell(f"{brought.dataset} lies at {brought.site}")
        jobs = {site: await mesh.jobs.submit(described(site, brought.dataset)) for site in WRITERS}
        async with asyncio.TaskGroup() as following:
            for job in jobs.values():
                following.create_task(follow(job))
            following.create_task(drain(owner, jobs[DRAINED]))
        for site, job in jobs.items():
            await look_back(job)
            await job.fetch("models", models / site)
        site_of = {job.name: site for site, job in jobs.items()}
        await settled(mesh, site_of)
        await bill(mesh, site_of)


def described(site: str, dataset: str) -> job_pb2.Job:
    """One model for each of the site's writers."""
    job = to_message(
        Job(
            command=["python3", "train.py"],
            files={"train.py": HERE / "train.py"},
            parameters={"writer": WRITERS[site]},
            keep_going=True,
            cores=0.1,
            memory_bytes=64 << 20,
            scratch_bytes=16 << 20,
            inputs=[Input(dataset, "in/samples")],
            outputs=[Output("models", "out", max_bytes=1 << 20)],
            allow_sites=[f"sites/{site}"],
            labels={"study": "writers-of-a-program", "site": site},
        )
    )
    job.task.retry.times, job.task.retry.exit_statuses[:] = 1, [TRY_AGAIN]
    job.constraints.min_bandwidth_bps = 200_000_000
    return job


async def follow(job: JobHandle) -> None:
    """Tell of every state it comes to, until it has ended."""
    async for seen in job.changes():
        tell(f"{seen.name}: {job.state} {job.reason()}".rstrip())


async def drain(owner: Client, job: JobHandle) -> None:
    """Once its first task has been read to the end, let nothing new come to the site; what runs goes on."""
    async for piece in job.logs(0, follow=True):
        tell(piece.decode().rstrip())
    await admit(owner, site_pb2.Site.ADMISSION_DRAINING)
    await job.wait()
    await admit(owner, site_pb2.Site.ADMISSION_OPEN)


async def admit(owner: Client, admission: site_pb2.Site.Admission.ValueType) -> None:
    """Say whether new work may come to the site."""
    request = registry.SetSiteAdmissionRequest(name=f"sites/{DRAINED}", admission=admission, note="new fans")
    site = await owner.stubs.registry.SetSiteAdmission(request)
    tell(f"{site.name}: {site_pb2.Site.Admission.Name(site.admission)}")


async def look_back(job: JobHandle) -> None:
    """Tell which of its tasks failed, and which had to be run again."""
    for index, task in enumerate(await job.tasks()):
        if task.result.state == placement_pb2.TaskResult.STATE_FAILED or task.result.retries:
            said = (await job.log(index)).strip().rpartition("\n")[2]
            tell(f"{job.name} task {index}: run {task.result.retries + 1} ended {task.result.exit_status}: {said}")


async def settled(mesh: Client, jobs: Collection[str]) -> None:
    """Wait until nothing is held for the jobs any more: the last usage has come then, and is charged."""
    request = accounting.ListHoldsRequest(account=await mesh.money.account())
    while True:
        holds = pages(mesh.stubs.accounting.ListHolds, request, "holds")
        if not [hold async for hold in holds if hold.job in jobs and hold.state != usage_pb2.Hold.STATE_RELEASED]:
            return
        await asyncio.sleep(LOOK_AGAIN_S)


async def bill(mesh: Client, site_of: dict[str, str]) -> None:
    """What the jobs have cost, by their label."""
    spent: Counter[str] = Counter()
    for name in site_of:
        for charge in await (await mesh.jobs.get(name)).charges():
            spent[site_of[name]] += charge.amount_micros
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(["label", "amount"])
    table.writerows([site, exact(micros)] for site, micros in sorted(spent.items()))


def tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
