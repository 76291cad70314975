"""Every service and agent is renewed, from an older version to this one, while jobs run: nobody notices."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from contextlib import AsyncExitStack, closing
from pathlib import Path

import pytest

from suanmesh.accounting.v1 import accounting_service_pb2 as accounting
from suanmesh.accounting.v1 import usage_pb2
from suanmesh.scheduler.v1 import job_pb2
from suanmesh_accounting.ledger.migrations import STEPS
from suanmesh_local import rolling, trials
from suanmesh_local.node import Node
from suanmesh_local.processes import Process
from suanmesh_local.traffic import Traffic
from suanmesh_sdk import Mesh

pytestmark = [pytest.mark.mesh, pytest.mark.upgrade]

PREVIOUS = "0036bb2f5665"
"""A commit whose ledgers are of version 7, and whose records of version 1."""
REPOSITORY = Path(__file__).parents[2]
BURN = "import time; time.sleep(3)"
CALLS_S = 0.05
"""Between two calls: 20 a second."""
BETWEEN_JOBS_S = 1.0
ENDED_S_MAX = 300.0


class AgedNode(Node):
    """A node whose processes are of an older version until each is renewed."""

    def __init__(self, folder: Path, old: Path) -> None:
        super().__init__(folder, 2, replicas=2, overrides={"SUANMESH_AGENT_STOP_TASKS": "false"})
        self._commands = {process.name: process.command for process in self._aged()}
        paths = [old / line.relative_to(REPOSITORY) for line in _installed()]
        for process in self._aged():
            package = Path(process.command[0]).name.replace("-", "_")
            process.command = [sys.executable, "-c", f"from {package}.main import main; main()"]
            process.environment["PYTHONPATH"] = os.pathsep.join(map(str, paths))

    async def renew(self, name: str) -> None:
        self._make_new(self.services[name])
        await super().renew(name)

    async def renew_agent(self, site: str, operator: Mesh) -> None:
        agent = self.agents[site]
        self._make_new(agent)
        await agent.stop()
        agent.start()
        await self.site_ready(site, operator)

    def _make_new(self, process: Process) -> None:
        process.command = self._commands[process.name]
        del process.environment["PYTHONPATH"]

    def _aged(self) -> list[Process]:
        return [*self.services.values(), *self.agents.values()]


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """The code of the older version."""
    archive = tmp_path / "old.tar"
    made = subprocess.run(
        ["git", "archive", f"--output={archive}", PREVIOUS], cwd=REPOSITORY, capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip(f"this clone lacks the commit {PREVIOUS} of the version before")
    (tmp_path / "old").mkdir()
    subprocess.run(["tar", "xf", archive, "-C", tmp_path / "old"], check=True)
    return tmp_path / "old"


async def test_a_rolling_upgrade_fails_no_call_and_no_job(tmp_path: Path, old: Path) -> None:
    """Whoever updates a node must neither warn its users nor run their jobs twice."""
    async with AsyncExitStack() as stack:
        node = await stack.enter_async_context(AgedNode(tmp_path / "node", old))
        user = await stack.enter_async_context(node.mesh())
        operator = await stack.enter_async_context(node.mesh("operator"))
        assert _ledger_version(node) == 7
        traffic, names = Traffic(user, operator, pace_s=CALLS_S), list[str]()
        async with traffic.flowing():
            jobs = asyncio.create_task(_submit(user, names))
            progress = rolling.Progress("test")
            await rolling.roll(node, progress)
            assert progress.problem == ""
            assert set(progress.renewed) == set(node.services)
            for site in node.agents:
                await node.renew_agent(site, operator)
            jobs.cancel()
            await asyncio.gather(jobs, return_exceptions=True)
        assert _ledger_version(node) == len(STEPS)
        ended = [await _ended(user, name) for name in names]
        once = [await _ran_once(user, job) for job in ended]
        print(f"{len(traffic.made)} calls, {len(names)} jobs")
        assert traffic.failed == []
        assert {job.state for job in ended} == {job_pb2.Job.STATE_DONE}
        assert all(once)


async def _submit(mesh: Mesh, names: list[str]) -> None:
    while True:
        names.append(await trials.submit(mesh, f"roll-{len(names)}", trials.job(BURN)))
        await asyncio.sleep(BETWEEN_JOBS_S)


async def _ended(mesh: Mesh, name: str) -> job_pb2.Job:
    async with asyncio.timeout(ENDED_S_MAX):
        return await trials.ended(mesh, name)


async def _ran_once(mesh: Mesh, job: job_pb2.Job) -> bool:
    """Whether all usage of a job is of one placement, and its end was told once."""
    async with asyncio.timeout(ENDED_S_MAX):
        while True:
            answer = await mesh.accounting.ListUsage(accounting.ListUsageRequest(job=job.name, page_size=1000))
            records = [usage_pb2.UsageRecord.FromString(stored.record) for stored in answer.usage]
            runs = [record for record in records if not record.transfer]
            if any(record.final for record in runs):
                return len({run.placement for run in runs}) == 1 and [run.final for run in runs].count(True) == 1
            await asyncio.sleep(trials.LOOK_AGAIN_S)


def _ledger_version(node: Node) -> int:
    with closing(sqlite3.connect(node.folder / "services" / "accounting" / "ledger.sqlite")) as ledger:
        return int(ledger.execute("SELECT version FROM schema_version").fetchone()[0])


def _installed() -> list[Path]:
    """Where this version's packages are, as Python has them on its path."""
    return [
        path
        for path in map(Path, sys.path)
        if path.is_relative_to(REPOSITORY) and path.parent.name in ("libs", "services", "deploy")
    ]
