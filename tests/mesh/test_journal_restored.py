"""A journal is restored from a copy made before jobs that have been charged: every job is charged exactly once."""

from __future__ import annotations

import asyncio
import shutil

import pytest

from suanmesh.accounting.v1 import accounting_service_pb2 as accounting
from suanmesh.accounting.v1 import usage_pb2
from suanmesh.scheduler.v1 import job_pb2
from suanmesh.type.v1 import money_pb2
from suanmesh_local import trials
from suanmesh_local.node import Node
from suanmesh_sdk import Mesh

pytestmark = pytest.mark.mesh

SITE = "guiyang"
BURN = "import time\nwhile time.process_time() < 1.0: pass\n"


async def test_a_restored_journal_costs_nobody_anything(node: Node) -> None:
    """The provider else works for nothing until its numbers have caught up, and nobody is told."""
    db, agent = node.folder / "sites" / SITE / "agent.db", node.agents[SITE]
    copy = db.with_suffix(".copy")
    async with node.mesh() as mesh, node.mesh("operator") as operator:
        jobs = [await _burnt(mesh, "restored-before")]
        await agent.stop()
        await asyncio.to_thread(shutil.copy, db, copy)
        agent.start()
        await node.site_ready(SITE, operator)
        jobs += [await _burnt(mesh, f"restored-between-{number}") for number in range(2)]
        await agent.stop()
        for path in db.parent.glob("agent.db*"):
            if path != copy:
                path.unlink()
        await asyncio.to_thread(copy.rename, db)
        agent.start()
        await node.site_ready(SITE, operator)
        jobs += [await _burnt(mesh, f"restored-after-{number}") for number in range(2)]
        epochs = [await _charged_once(mesh, job) for job in jobs]
    assert len(set(epochs)) == 2
    assert epochs[2] != epochs[3]


async def _burnt(mesh: Mesh, job_id: str) -> job_pb2.Job:
    described = trials.job(BURN, cpu_milli=1000)
    described.constraints.allow_sites.append(f"sites/{SITE}")
    job = await trials.ended(mesh, await trials.submit(mesh, job_id, described))
    assert job.state == job_pb2.Job.STATE_DONE, job.state_reason
    await _records(mesh, job.name)
    return job


async def _records(mesh: Mesh, job: str) -> list[usage_pb2.UsageRecord]:
    """All of a job's usage, once the last record has come."""
    async with asyncio.timeout(60):
        while True:
            answer = await mesh.accounting.ListUsage(accounting.ListUsageRequest(job=job, page_size=1000))
            records = [usage_pb2.UsageRecord.FromString(stored.record) for stored in answer.usage]
            if any(record.final and not record.transfer for record in records):
                return records
            await asyncio.sleep(trials.LOOK_AGAIN_S)


async def _charged_once(mesh: Mesh, job: job_pb2.Job) -> str:
    """Its second of a processor is on its bill, once; the epoch of the meter that measured it."""
    records = [record for record in await _records(mesh, job.name) if not record.transfer]
    bill = await mesh.accounting.GetBill(accounting.GetBillRequest(account=job.account, job=job.name))
    charged_us = sum(charge.quantity for charge in bill.charges if charge.meter == money_pb2.METER_CPU_US)
    assert 0.95e6 <= charged_us <= 1.3e6
    assert [record.final for record in records].count(True) == 1
    return records[-1].epoch
