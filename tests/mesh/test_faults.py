"""kill -9 of every victim while a job is at every step; the test restarts what it killed, as a supervisor would.

Whatever died, the job ends DONE or with a stated reason, no hold survives, nothing is charged twice, nothing that was
acknowledged is lost.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncIterator
from itertools import cycle, product
from pathlib import Path

import pytest

from suanmesh.accounting.v1 import accounting_service_pb2 as accounting
from suanmesh.accounting.v1 import usage_pb2
from suanmesh.network_orchestrator.v1 import network_orchestrator_service_pb2 as network
from suanmesh.network_orchestrator.v1 import reservation_pb2
from suanmesh.scheduler.v1 import job_pb2
from suanmesh_kernel.refusals import Refusal
from suanmesh_local import trials, world
from suanmesh_local.identities import AREAS
from suanmesh_local.node import Node
from suanmesh_sdk import Mesh

pytestmark = pytest.mark.mesh

STEPS = {
    "submitted": (),
    "placed": (job_pb2.Job.STATE_PLACED, job_pb2.Job.STATE_STAGING),
    "staging": (job_pb2.Job.STATE_STAGING,),
    "running": (job_pb2.Job.STATE_RUNNING,),
    "delivering": (job_pb2.Job.STATE_DELIVERING,),
}
VICTIMS = (*AREAS, "agent of the source", "agent that runs it", "etcd member")
SEED = int(os.environ.get("SUANMESH_SEED", "20261124"))
DOWN_S = 0.5
ENDED_S_MAX = 120.0
SETTLED_S_MAX = 60.0
INPUT_BYTES = 1_500_000
TASK = """
import pathlib, time

time.sleep(1.0)
result = pathlib.Path('out/r')
result.mkdir(parents=True, exist_ok=True)
(result / 'x').write_text('x' * 100000)
"""


def _each_once() -> list[tuple[str, str]]:
    """Every victim once and every step at least once, paired by the seed."""
    chance = random.Random(SEED)
    steps = list(STEPS)
    chance.shuffle(steps)
    return list(zip(VICTIMS, cycle(steps), strict=False))


ONCE = _each_once()
REST = [pair for pair in product(VICTIMS, STEPS) if pair not in ONCE]


@pytest.fixture
async def alice(mortal_node: Node) -> AsyncIterator[Mesh]:
    """The mesh of the node that is hurt, as a user."""
    async with mortal_node.mesh() as mesh:
        yield mesh


@pytest.mark.parametrize(("victim", "step"), ONCE)
async def test_a_job_survives_one_kill(mortal_node: Node, alice: Mesh, victim: str, step: str, tmp_path: Path) -> None:
    """A user's job must not hang, vanish or cost double because a process died (seed in SUANMESH_SEED)."""
    await _trial(mortal_node, alice, victim, step, tmp_path)


@pytest.mark.faults
@pytest.mark.parametrize(("victim", "step"), REST)
async def test_a_job_survives_every_kill(
    mortal_node: Node, alice: Mesh, victim: str, step: str, tmp_path: Path
) -> None:
    """The same for every other pair of victim and step."""
    await _trial(mortal_node, alice, victim, step, tmp_path)


async def _trial(node: Node, mesh: Mesh, victim: str, step: str, folder: Path) -> None:
    print(f"seed {SEED}: {victim} killed when {step}")
    job_id = f"{victim}-{step}".replace(" ", "-").replace("_", "-")
    await _publish(node, job_id, folder)
    described = trials.job(TASK, cpu_milli=300, inputs=[job_id])
    described.outputs.add(output_id="r", mount="out/r", deliver_to=f"sites/{world.PLACES[0].site}")
    described.constraints.allow_sites.extend(["sites/wuhu", "sites/guiyang"])
    name = await trials.submit(mesh, job_id, described)
    if STEPS[step]:
        await trials.reached(mesh, name, *STEPS[step])
    await _kill_and_restart(node, victim, await _where(mesh, name))

    async with asyncio.timeout(ENDED_S_MAX):
        job = await _ended(mesh, name)
    assert job.state == job_pb2.Job.STATE_DONE or job.state_reason.code, job
    async with asyncio.timeout(SETTLED_S_MAX):
        await _nothing_held(mesh, node, job)
    await _charged_once(mesh, job)


async def _publish(node: Node, dataset: str, folder: Path) -> None:
    content = folder / "input"
    content.mkdir()
    (content / "bytes").write_bytes(random.Random(dataset).randbytes(INPUT_BYTES))
    await node.publish(world.PLACES[0].site, dataset, world.CONSUMER, content)


async def _where(mesh: Mesh, name: str) -> str:
    """Site that runs the job; the cheapest while it has none."""
    decided = await trials.decided(mesh, name)
    return decided.chosen.split("/")[1] if decided.chosen else "guiyang"


async def _kill_and_restart(node: Node, victim: str, site: str) -> None:
    if victim == "etcd member":
        member = random.Random(SEED).choice(node.etcd)
        member.kill()
        await asyncio.sleep(DOWN_S)
        member.start()
        return
    if victim.startswith("agent"):
        process = node.agents[world.PLACES[0].site if "source" in victim else site]
    else:
        process = node.services[victim]
    process.kill()
    await asyncio.sleep(DOWN_S)
    process.start()


async def _ended(mesh: Mesh, name: str) -> job_pb2.Job:
    """The job once it has ended; a service that is away meanwhile is asked again."""
    while True:
        try:
            return await trials.ended(mesh, name)
        except Refusal as refusal:
            if refusal.code not in ("UNAVAILABLE", "DEADLINE_EXCEEDED"):
                raise
            await asyncio.sleep(trials.LOOK_AGAIN_S)


async def _nothing_held(mesh: Mesh, node: Node, job: job_pb2.Job) -> None:
    """Money, bandwidth and capacity are given back."""
    async with node.mesh("operator") as operator:
        while left := await _held(operator, job):
            print(f"still held: {left}")
            await asyncio.sleep(0.5)


async def _held(operator: Mesh, job: job_pb2.Job) -> list[str]:
    try:
        holds = (await operator.accounting.ListHolds(accounting.ListHoldsRequest(page_size=1000))).holds
        request = network.ListReservationsRequest(page_size=1000)
        reservations = (await operator.network_orchestrator.ListReservations(request)).reservations
        links = (await operator.network_orchestrator.ListLinks(network.ListLinksRequest())).links
    except Refusal as refusal:
        return [str(refusal)]
    left = [hold.name for hold in holds if hold.state != usage_pb2.Hold.STATE_RELEASED]
    left += [r.name for r in reservations if r.state != reservation_pb2.Reservation.STATE_RELEASED]
    return left + [link.name for link in links if link.state.reserved_bps]


async def _charged_once(mesh: Mesh, job: job_pb2.Job) -> None:
    """No usage is charged twice, and no task is charged for longer than it can have run."""
    bill = await mesh.accounting.GetBill(accounting.GetBillRequest(account=job.account, job=job.name))
    lines = Counter((charge.usage, charge.meter, charge.price_version) for charge in bill.charges)
    assert all(count == 1 for count in lines.values()), lines
    assert bill.total_micros == sum(charge.amount_micros for charge in bill.charges)
    accounts = (await mesh.accounting.ListAccounts(accounting.ListAccountsRequest())).accounts
    assert all(account.held_micros == 0 for account in accounts)
