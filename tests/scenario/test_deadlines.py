"""A deadline that passes while a job runs: its site stops it, and it is charged for what it used."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

from scenario.clients import simulated_job
from scenario.node import SimulatedNode
from scenario.virtual_time import run
from suanmesh.accounting.v1 import accounting_service_pb2 as accounting
from suanmesh.accounting.v1 import usage_pb2
from suanmesh.scheduler.v1 import job_pb2
from suanmesh_local import trials, world

HOME = "sites/guiyang"
AWAY_S = 20.0
"""So long its agent is away with the placement committed: less than makes it lost or refused."""
TASK_S = 60.0
DEADLINE_S = 65.0


def test_a_run_that_its_deadline_overtakes_is_stopped_and_charged(tmp_path: Path) -> None:
    """The site would go on with what nobody wants, or work for nothing."""

    async def scene() -> None:
        async with SimulatedNode(tmp_path, seed=1) as node:
            user = node.mesh(world.CONSUMER, "alice")
            described = simulated_job(TASK_S)
            described.max_duration_s = int(TASK_S)
            described.constraints.allow_sites.append(HOME)
            deadline = node.clock.now() + timedelta(seconds=DEADLINE_S)
            described.constraints.deadline.FromDatetime(deadline)
            site = node.sites[HOME.removeprefix("sites/")]
            await site.kill()
            name = await trials.submit(user, "late", described)
            await asyncio.sleep(AWAY_S)
            site.start()
            job = await trials.ended(user, name)

            assert (job.state, job.state_reason.code) == (job_pb2.Job.STATE_FAILED, "DEADLINE_MISSED")
            assert job.state_reason.facts["while"] == "RUNNING"
            assert timedelta(0) <= node.clock.now() - deadline < timedelta(seconds=TASK_S - AWAY_S)
            await asyncio.sleep(120.0)
            [hold] = (await user.accounting.ListHolds(accounting.ListHoldsRequest())).holds
            assert hold.state == usage_pb2.Hold.STATE_RELEASED
            assert 0 < hold.charged_micros < hold.amount_micros
            assert (node.faults, node.findings.violations) == ([], [])

    run(scene(), seed=1)
