"""etcd is put back to an older copy of its data while the node runs: the node says so, and goes on."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from suanmesh.scheduler.v1 import job_pb2
from suanmesh_kernel.refusals import Refusal
from suanmesh_local import trials
from suanmesh_local.node import Node
from suanmesh_sdk import Mesh

pytestmark = pytest.mark.mesh

PLACED_S_MAX = 90.0
LOST = ("lost", "lost-next", "lost-last")
"""So many that the node's own writes do not bring etcd's revision back to where it was before anybody has looked."""


@pytest.mark.attack
async def test_jobs_are_placed_after_etcd_was_restored_from_an_older_copy(tmp_path: Path) -> None:
    """An operator who restores a backup would find a node on which every job is PENDING, and nothing says why."""
    async with Node(tmp_path / "node", 1) as node, node.mesh() as mesh:
        etcd = node.etcd[0]
        await _done(mesh, "before")
        await asyncio.to_thread(etcd.stop)
        shutil.copytree(etcd.folder / "data", tmp_path / "copy")
        etcd.start()
        for job_id in LOST:
            await _done(mesh, job_id)
        await asyncio.to_thread(etcd.stop)
        shutil.rmtree(etcd.folder / "data")
        shutil.copytree(tmp_path / "copy", etcd.folder / "data")
        etcd.start()
        await _done(mesh, "after")
        logs = {path.stem: path.read_text().count("etcd was restored") for path in (node.folder / "logs").glob("*.log")}
        print(logs)
        assert logs["scheduler"] == 1


async def _done(mesh: Mesh, job_id: str) -> None:
    """Submit a job, again while the node comes to itself, and wait for its good end."""
    async with asyncio.timeout(PLACED_S_MAX):
        while True:
            try:
                name = await trials.submit(mesh, job_id, trials.job("print(1)"))
                job = await trials.ended(mesh, name)
            except Refusal as refusal:
                if refusal.reason == "JOB_EXISTS":
                    job = await trials.ended(mesh, f"jobs/{job_id}")
                elif refusal.code in ("UNAVAILABLE", "DEADLINE_EXCEEDED"):
                    await asyncio.sleep(trials.LOOK_AGAIN_S)
                    continue
                else:
                    raise
            assert job.state == job_pb2.Job.STATE_DONE, job.state_reason
            return
