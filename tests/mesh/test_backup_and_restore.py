"""A node is saved under load, lost, and brought back in another folder: its pieces agree, and nobody pays twice."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import time
from contextlib import AsyncExitStack, closing
from pathlib import Path

import pytest

from suanmesh.accounting.v1 import accounting_service_pb2 as accounting
from suanmesh.accounting.v1 import usage_pb2
from suanmesh.scheduler.v1 import job_pb2
from suanmesh.scheduler.v1 import scheduler_service_pb2 as scheduler
from suanmesh.type.v1 import money_pb2
from suanmesh_kernel.refusals import Refusal
from suanmesh_local import trials, world
from suanmesh_local.control_plane import ControlPlane
from suanmesh_local.node import FACTS, Node
from suanmesh_sdk import Mesh

pytestmark = pytest.mark.mesh

SUAN = Path(sys.executable).with_name("suan")
BURN = "import time\nwhile time.process_time() < 0.3: pass\n"
JOBS_BEFORE, JOBS_AFTER = 8, 4
SETTLED_S_MAX = 150.0
LOAD_PAUSE_S = 0.3
STANDING = (usage_pb2.Hold.STATE_HELD, usage_pb2.Hold.STATE_COMMITTED)


async def test_a_node_is_saved_under_load_lost_and_brought_back(tmp_path: Path) -> None:
    """An operator whose machine burned down has this and nothing else; bills and jobs must be right from then on."""
    async with AsyncExitStack() as stack:
        node = await stack.enter_async_context(Node(tmp_path / "node", 2))
        mesh = await stack.enter_async_context(node.mesh())
        load = asyncio.create_task(_load(mesh))
        done = await _until_done(mesh, JOBS_BEFORE)
        before = await _bills(mesh, done)
        (tmp_path / "backup.partial").mkdir()
        (tmp_path / "backup.partial" / "manifest.json").touch()
        full = await _refused(["bash", "-c", f'ulimit -f 16; exec {SUAN} node backup "$0" "$1"', node.folder], tmp_path)
        assert "File too large" in full, "a disk that is full, as far as one process can be told so"
        begin = time.monotonic()
        await _suan("node", "backup", node.folder, tmp_path / "backup")
        saved_s = time.monotonic() - begin
        await _until_done(mesh, JOBS_BEFORE + JOBS_AFTER)
        load.cancel()
        await asyncio.gather(load, return_exceptions=True)
        for process in (*node.services.values(), *(member.process for member in node.etcd)):
            process.kill()

        begin = time.monotonic()
        await _suan("node", "check", tmp_path / "backup")
        await _suan("node", "restore", tmp_path / "backup", tmp_path / "restored")
        restored = await stack.enter_async_context(ControlPlane(tmp_path / "restored", FACTS))
        restored_s = time.monotonic() - begin
        print(f"saved in {saved_s:.1f} s, serving again {restored_s:.1f} s after the restore was typed")
        assert restored.ports["gateway"] == node.ports["gateway"], "else no agent finds it"
        again = await stack.enter_async_context(restored.mesh("alice"))
        jobs = await _settled(again)
        assert set(done) <= {job.name for job in jobs}
        assert {job.state for job in jobs} == {job_pb2.Job.STATE_DONE}
        assert await _bills(again, done) == before
        await _charged_once(again, jobs)
        new = await trials.ended(again, await trials.submit(again, "after", trials.job(BURN)))
        assert new.state == job_pb2.Job.STATE_DONE
        await _books_balance(again, restored.folder)


async def _load(mesh: Mesh) -> None:
    """Jobs one after the other, some of which run, wait or end in every moment."""
    number = 0
    while True:
        await trials.submit(mesh, f"load-{number}", trials.job(BURN))
        number += 1
        await asyncio.sleep(LOAD_PAUSE_S)


async def _jobs(mesh: Mesh) -> list[job_pb2.Job]:
    answer = await mesh.scheduler.ListJobs(scheduler.ListJobsRequest(page_size=1000))
    return list(answer.jobs)


async def _until_done(mesh: Mesh, count: int) -> list[str]:
    """So many jobs that are done and charged."""
    async with asyncio.timeout(SETTLED_S_MAX):
        while True:
            done = [job.name for job in await _jobs(mesh) if job.state == job_pb2.Job.STATE_DONE]
            charged = [name for name in done if await _final(mesh, name)]
            if len(charged) >= count:
                return charged
            await asyncio.sleep(trials.LOOK_AGAIN_S)


async def _settled(mesh: Mesh) -> list[job_pb2.Job]:
    """All jobs, once each has ended and its money is no longer held."""
    async with asyncio.timeout(SETTLED_S_MAX):
        while True:
            try:
                jobs = await _jobs(mesh)
                held = await mesh.accounting.ListHolds(accounting.ListHoldsRequest(page_size=1000))
                standing = [hold for hold in held.holds if hold.state in STANDING]
                if jobs and all(job.state in trials.ENDED for job in jobs) and not standing:
                    return jobs
            except Refusal as refusal:
                if refusal.code not in ("UNAVAILABLE", "DEADLINE_EXCEEDED"):
                    raise
            await asyncio.sleep(trials.LOOK_AGAIN_S)


async def _usage(mesh: Mesh, job: str) -> list[usage_pb2.UsageRecord]:
    answer = await mesh.accounting.ListUsage(accounting.ListUsageRequest(job=job, page_size=1000))
    records = [usage_pb2.UsageRecord.FromString(stored.record) for stored in answer.usage]
    return [record for record in records if not record.transfer]


async def _final(mesh: Mesh, job: str) -> bool:
    return any(record.final for record in await _usage(mesh, job))


async def _bills(mesh: Mesh, jobs: list[str]) -> dict[str, list[bytes]]:
    bills = {}
    for job in jobs:
        request = accounting.GetBillRequest(account=f"accounts/{world.CONSUMER}", job=job)
        bills[job] = sorted(charge.SerializeToString() for charge in (await mesh.accounting.GetBill(request)).charges)
    return bills


async def _charged_once(mesh: Mesh, jobs: list[job_pb2.Job]) -> None:
    """What a placement is charged for is what it burned, which is 0.3 s, once."""
    for job in jobs:
        by_placement: dict[str, int] = {}
        for record in await _usage(mesh, job.name):
            cpu_us = sum(r.quantity for r in record.readings if r.meter == money_pb2.METER_CPU_US)
            by_placement[record.placement] = by_placement.get(record.placement, 0) + cpu_us
        assert all(cpu_us < 2 * 0.3e6 for cpu_us in by_placement.values()), (job.name, by_placement)
        request = accounting.GetBillRequest(account=job.account, job=job.name)
        charges = (await mesh.accounting.GetBill(request)).charges
        charged = sum(charge.quantity for charge in charges if charge.meter == money_pb2.METER_CPU_US)
        assert charged <= sum(by_placement.values())


async def _books_balance(mesh: Mesh, folder: Path) -> None:
    """What is owed and what is had come to nothing, and nothing is held for what has ended."""
    with closing(sqlite3.connect(folder / "services" / "accounting" / "ledger.sqlite")) as ledger:
        rows = ledger.execute("SELECT entry, SUM(amount_micros) FROM postings GROUP BY entry").fetchall()
        assert [entry for entry, total in rows if total] == []
        [(balances,)] = ledger.execute("SELECT SUM(balance_micros) FROM accounts").fetchall()
        assert balances == 0


async def _refused(command: list[str | Path], folder: Path) -> str:
    """What a backup says that does not come to its end; nothing of it is left."""
    child = await asyncio.create_subprocess_exec(
        *map(str, command), str(folder / "backup"), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    _, trouble = await child.communicate()
    assert child.returncode == 1, trouble.decode()
    assert not [path for path in await asyncio.to_thread(lambda: list(folder.iterdir())) if "backup" in path.name]
    return trouble.decode()


async def _suan(*arguments: str | Path) -> str:
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(SUAN, *map(str, arguments), stdout=pipe, stderr=pipe)
    said, trouble = await child.communicate()
    assert child.returncode == 0, said.decode() + trouble.decode()
    return said.decode()
