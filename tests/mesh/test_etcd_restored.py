"""etcd is put back to an older copy of its data while the node runs: the node says so, and waits for a decision."""

from __future__ import annotations

import asyncio
import re
import shutil
from pathlib import Path

import pytest

from suanmesh.scheduler.v1 import job_pb2
from suanmesh_chassis.run import EXIT_DAMAGED
from suanmesh_kernel.refusals import Refusal
from suanmesh_local import trials
from suanmesh_local.node import Node
from suanmesh_sdk import Mesh

pytestmark = pytest.mark.mesh

PLACED_S_MAX = 90.0
LOST = ("lost", "lost-next", "lost-last")
"""So many that the node's own writes do not bring etcd's revision back to where it was before anybody has looked."""


@pytest.mark.attack
async def test_an_older_etcd_is_refused_until_the_operator_takes_it(tmp_path: Path) -> None:
    """Jobs that are done and paid for would be unknown to half of the node; told, an operator can choose."""
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
        async with asyncio.timeout(PLACED_S_MAX):
            while not _refused(node) >= {"scheduler", "accounting"}:  # noqa: ASYNC110 - processes of the system
                await asyncio.sleep(trials.LOOK_AGAIN_S)
        for area in _refused(node):
            assert "STORES_DISAGREE" in node.services[area].log.read_text()
        async with asyncio.TaskGroup() as tasks:
            taking = tasks.create_task(_take_each(node))
            await _done(mesh, "after")
            taking.cancel()


def _refused(node: Node) -> set[str]:
    """Areas whose service would not go on."""
    return {area for area, process in node.services.items() if process.status == EXIT_DAMAGED}


async def _take_each(node: Node) -> None:
    """Do what each of them says that goes on with what there is."""
    while True:
        for area in _refused(node):
            process = node.services[area]
            setting = re.findall(r"(SUANMESH_\w+_LEAD_WITH)=(\w+)", process.log.read_text())[-1]
            process.environment.update([setting])
            process.start()
        await asyncio.sleep(trials.LOOK_AGAIN_S)


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
