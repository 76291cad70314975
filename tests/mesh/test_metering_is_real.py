"""What is metered is what was used: known work, in forked children, with and without the agent that watches it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest

from suanmesh.accounting.v1 import accounting_service_pb2 as accounting
from suanmesh.accounting.v1 import usage_pb2
from suanmesh.scheduler.v1 import job_pb2
from suanmesh.scheduler.v1 import scheduler_service_pb2 as scheduler
from suanmesh.type.v1 import money_pb2
from suanmesh_local import trials
from suanmesh_local.node import Node
from suanmesh_sdk import Mesh

pytestmark = pytest.mark.mesh

SITE = "guiyang"
CPU_S = 4.0
BURN = """
import os, time
for _ in range(4):
    if os.fork() == 0:
        while time.process_time() < 1.0:
            pass
        os._exit(0)
print("burning", flush=True)
for _ in range(4):
    os.wait()
print(time.process_time())
"""
"""Four children, each until its own processor time is one second; what their parent took is told."""
Absence = Literal["none", "in mid-run", "at the end"]


SETTINGS = {
    "SUANMESH_AGENT_METER_EVERY_S": "0.5",
    "SUANMESH_REGISTRY_LOST_AFTER_S": "240",
    "SUANMESH_REGISTRY_MASS_LOST_AFTER_S": "240",
}
"""Usage is written down so often that a kill falls between two records, and an agent may be away for as long as a busy
machine takes to burn what is burned."""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node of its own."""
    node = Node(tmp_path_factory.mktemp("metering"), 3, overrides=SETTINGS)
    try:
        asyncio.run(node.start())
        yield node
    finally:
        asyncio.run(node.stop())


@pytest.fixture
async def mesh(node: Node) -> AsyncIterator[Mesh]:
    """The mesh as a user."""
    async with node.mesh() as mesh:
        yield mesh


@pytest.mark.parametrize("absence", ["none", "in mid-run", "at the end"])
async def test_four_known_seconds_are_metered_as_four(node: Node, mesh: Mesh, absence: Absence) -> None:
    """A provider is paid for what its processors did: no second lost to a crashed agent, none charged twice."""
    described = trials.job(BURN, cpu_milli=1000)
    described.constraints.allow_sites.append(f"sites/{SITE}")
    name = await trials.submit(mesh, f"burns-{absence.replace(' ', '-')}", described)
    running = await trials.reached(mesh, name, job_pb2.Job.STATE_RUNNING)
    if absence != "none":
        await _usage_until(mesh, name, lambda records: len(records) > 1)
        await _without_agent(node, running.placement, until_the_end=absence == "at the end")
    job = await trials.ended(mesh, name)
    assert job.state == job_pb2.Job.STATE_DONE, job.state_reason

    log = mesh.scheduler.ReadJobLogs(scheduler.ReadJobLogsRequest(name=name))
    own_s = float(b"".join([piece.content async for piece in log]).split()[-1])
    records = await _usage_until(mesh, name, lambda records: any(record.final for record in records))
    used_us = sum(_cpu_us(record) for record in records)
    bill = await mesh.accounting.GetBill(accounting.GetBillRequest(account=job.account, job=name))
    charged_us = sum(charge.quantity for charge in bill.charges if charge.meter == money_pb2.METER_CPU_US)
    print(f"agent away: {absence}; {used_us / 1e6:.3f} s in {len(records)} records")
    assert abs(used_us / 1e6 - own_s - CPU_S) <= 0.05 * CPU_S
    assert charged_us == used_us
    assert [record.final for record in records].count(True) == 1
    assert len(records) > 2


async def _without_agent(node: Node, placement: str, *, until_the_end: bool) -> None:
    """Kill the agent while the task burns; start it again while the task still runs, or once it has ended."""
    agent = node.agents[SITE]
    await asyncio.to_thread(agent.kill)
    folders = [path for path in (node.folder / "sites" / SITE).rglob("started.json") if _is_of(placement, path)]
    assert len(folders) == 1
    async with asyncio.timeout(60):
        while until_the_end and not folders[0].with_name("exit.json").exists():  # noqa: ASYNC110 - a file
            await asyncio.sleep(trials.LOOK_AGAIN_S)
    assert folders[0].with_name("exit.json").exists() == until_the_end
    agent.start()


def _is_of(placement: str, path: Path) -> bool:
    return placement.rpartition("/")[2] in str(path)


async def _usage_until(
    mesh: Mesh, job: str, enough: Callable[[list[usage_pb2.UsageRecord]], bool]
) -> list[usage_pb2.UsageRecord]:
    """The job's usage records once there are `enough`: the last follows the end of a job within seconds."""
    async with asyncio.timeout(60):
        while True:
            answer = await mesh.accounting.ListUsage(accounting.ListUsageRequest(job=job, page_size=1000))
            records = [usage_pb2.UsageRecord.FromString(stored.record) for stored in answer.usage]
            if enough(records):
                return records
            await asyncio.sleep(trials.LOOK_AGAIN_S)


def _cpu_us(record: usage_pb2.UsageRecord) -> int:
    return sum(reading.quantity for reading in record.readings if reading.meter == money_pb2.METER_CPU_US)
