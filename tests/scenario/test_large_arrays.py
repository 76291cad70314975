"""Arrays of thousands of tasks, from submission to the bill."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from scenario.clients import simulated_job
from scenario.node import SimulatedNode
from scenario.virtual_time import run
from suanmesh.accounting.v1 import accounting_service_pb2 as accounting
from suanmesh.accounting.v1 import usage_pb2
from suanmesh.scheduler.v1 import job_pb2, placement_pb2
from suanmesh.scheduler.v1 import scheduler_service_pb2 as scheduler
from suanmesh.type.v1 import money_pb2
from suanmesh_local import trials, world
from suanmesh_scheduler.bounding import PAYLOAD_BYTES_MAX
from suanmesh_sdk import Mesh

TASK_S = 7
CORES = 400
CPU_MILLI = 500


async def _listed(user: Mesh, name: str) -> list[scheduler.Task]:
    found: list[scheduler.Task] = []
    request = scheduler.ListTasksRequest(job=name, page_size=1000)
    while True:
        answer = await user.scheduler.ListTasks(request)
        found += answer.tasks
        if not answer.next_page_token:
            return found
        request.page_token = answer.next_page_token


async def _charged(user: Mesh, account: str) -> list[usage_pb2.Charge]:
    found: list[usage_pb2.Charge] = []
    request = accounting.GetBillRequest(account=account)
    while True:
        answer = await user.accounting.GetBill(request)
        found += answer.charges
        if not answer.next_page_token:
            return found
        request.page_token = answer.next_page_token


@pytest.mark.parametrize("many", [2000, pytest.param(10_000, marks=pytest.mark.day)])
def test_an_array_of_thousands_runs_to_its_end_and_is_billed(tmp_path: Path, many: int) -> None:
    """Who has ten thousand files to go through would have to cut the array, and put the results together again."""

    async def scene() -> None:
        async with SimulatedNode(tmp_path, seed=1, cores=CORES) as node:
            user = node.mesh(world.CONSUMER, "alice")
            described = simulated_job(TASK_S, cpu_milli=CPU_MILLI)
            described.ask.memory_bytes, described.ask.scratch_bytes = world.MEBIBYTE, 0
            described.max_duration_s, described.task.count = 2 * TASK_S, many
            described.task.parameters.add(name="SEED", range=job_pb2.NumberRange(first=1, step=1, count=many))
            name = await trials.submit(user, "large", described)
            job = await trials.ended(user, name)

            assert job.state == job_pb2.Job.STATE_DONE, job.state_reason
            kept = await user.scheduler.GetPlacement(scheduler.GetPlacementRequest(name=job.placement))
            assert max(job.ByteSize(), kept.ByteSize()) < PAYLOAD_BYTES_MAX
            tasks = await _listed(user, name)
            assert [dict(task.parameters)["SEED"] for task in tasks] == [str(seed) for seed in range(1, many + 1)]
            assert {task.result.state for task in tasks} == {placement_pb2.TaskResult.STATE_DONE}
            await asyncio.sleep(60.0)
            [hold] = (await user.accounting.ListHolds(accounting.ListHoldsRequest())).holds
            assert hold.state == usage_pb2.Hold.STATE_RELEASED
            charges = await _charged(user, described.account)
            cpu_us = [each.quantity for each in charges if each.meter == money_pb2.METER_CPU_US]
            assert sum(cpu_us) == many * TASK_S * CPU_MILLI * 1000
            assert sum(each.amount_micros for each in charges) == hold.charged_micros > 0
            assert (node.faults, node.findings.violations) == ([], [])

    run(scene(), seed=1)
