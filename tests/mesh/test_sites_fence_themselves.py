"""A site that cannot be heard stops what it runs before the mesh runs it elsewhere; told by the tasks' own clocks."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from suanmesh.accounting.v1 import accounting_service_pb2 as accounting
from suanmesh.accounting.v1 import usage_pb2
from suanmesh.scheduler.v1 import job_pb2, placement_pb2
from suanmesh.scheduler.v1 import scheduler_service_pb2 as scheduler
from suanmesh_kernel.refusals import Refusal
from suanmesh_local import trials
from suanmesh_local.node import Node
from suanmesh_sdk import Mesh

pytestmark = pytest.mark.mesh

SITE = "guiyang"
LOST_AFTER_S = 12
SETTINGS = {
    "SUANMESH_REGISTRY_LOST_AFTER_S": str(LOST_AFTER_S),
    "SUANMESH_REGISTRY_REPORT_SILENCE_S": "2",
    "SUANMESH_REGISTRY_MASS_LOST_AFTER_S": "14",
    "SUANMESH_AGENT_METER_EVERY_S": "0.5",
    "SUANMESH_AGENT_STOP_TASKS": "false",
}
ENDED_S_MAX = 120.0
TASK = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
children = [0 for _ in range(2) if os.fork() == 0]
end = time.monotonic() + 22
while time.monotonic() < end:
    os.write(1, f"{time.clock_gettime(time.CLOCK_BOOTTIME)}\\n".encode())
    time.sleep(0.05)
"""
"""Four processes that do not heed SIGTERM and tell the time as long as they live."""
SHORT_TASK = "import time; time.sleep(3); open('out/result/x', 'w').write('42'); print('ended')"
"""Over before its site may not run tasks any more."""


@dataclass
class Way:
    """A way between an agent and the gateway that a test can cut without either end being told."""

    target: str
    cut: asyncio.Event = field(default_factory=asyncio.Event)
    address: str = ""
    carried: set[asyncio.Task[Any]] = field(default_factory=set)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Way]:
        async with await asyncio.start_server(self._carry, "127.0.0.1", 0) as server:
            self.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
            yield self
        for task in self.carried:
            task.cancel()
        await asyncio.gather(*self.carried, return_exceptions=True)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.carried.add(asyncio.current_task())
        host, _, port = self.target.rpartition(":")
        with suppress(OSError):
            there, back = await asyncio.open_connection(host, int(port))
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pump(reader, back))
                tasks.create_task(self._pump(there, writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while content := await reader.read(65536):
                if self.cut.is_set():
                    await asyncio.Event().wait()  # nothing comes through, and nobody hangs up
                writer.write(content)
                await writer.drain()
        except OSError:
            return
        finally:
            writer.close()


@pytest.fixture(scope="module")
def lone_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node whose sites are lost soon."""
    node = Node(tmp_path_factory.mktemp("fenced"), 3, overrides=SETTINGS)
    try:
        asyncio.run(node.start())
        yield node
    finally:
        asyncio.run(node.stop())


@pytest.mark.parametrize(
    ("victim", "number"),
    [
        pytest.param("agent", signal.SIGSTOP),
        pytest.param("agent", signal.SIGKILL, marks=pytest.mark.attack),
        pytest.param("registry", signal.SIGSTOP, marks=pytest.mark.attack),
    ],
)
async def test_a_frozen_or_dead_process_lets_no_task_run_twice(
    lone_node: Node, victim: str, number: signal.Signals
) -> None:
    """The same task at two sites for half a minute, and both charged: what a frozen agent cost a user."""
    process = lone_node.agents[SITE] if victim == "agent" else lone_node.services[victim]
    async with lone_node.mesh() as mesh:
        first = await _running(mesh, f"{victim}-{number.name.lower()}")
        process.signal(number)
        try:
            if victim == "registry":
                await _fenced_by_itself(lone_node, first)
            job = None if victim == "registry" else await _ended(mesh, first.job)
        finally:
            process.signal(signal.SIGCONT)
            if number == signal.SIGKILL:
                process.kill()
                process.start()
        await _ran_once(lone_node, mesh, first, job or await _ended(mesh, first.job))


@pytest.mark.attack
async def test_a_site_that_is_cut_off_lets_no_task_run_twice(lone_node: Node) -> None:
    """An agent that goes on well, and only hears nothing, is the usual case of a broken line."""
    agent = lone_node.agents[SITE]
    way = Way(lone_node.gateway)
    async with way.open(), lone_node.mesh("operator") as operator, lone_node.mesh() as mesh:
        await agent.stop()
        agent.environment["SUANMESH_AGENT_GATEWAY"] = way.address
        agent.start()
        await lone_node.site_ready(SITE, operator)
        first = await _running(mesh, "cut-off")
        way.cut.set()
        job = await _ended(mesh, first.job)
        agent.kill()
        agent.environment["SUANMESH_AGENT_GATEWAY"] = lone_node.gateway
        agent.start()
        await _ran_once(lone_node, mesh, first, job)


async def test_a_run_that_ended_while_its_agent_was_away_is_delivered(lone_node: Node) -> None:
    """It is charged; to lose it for half a minute without an agent, and run it again, would cost its user twice."""
    agent = lone_node.agents[SITE]
    async with lone_node.mesh() as mesh:
        described = trials.job(SHORT_TASK, outputs=["result"])
        described.constraints.allow_sites.append(f"sites/{SITE}")
        name = await trials.submit(mesh, "away", described)
        first = (await trials.reached(mesh, name, job_pb2.Job.STATE_RUNNING)).placement
        await agent.stop()
        lost = await _waiting(mesh, name)
        with pytest.raises(Refusal) as refused:
            await _log(mesh, name)
        agent.start()
        job = await _ended(mesh, name)
        log = await _log(mesh, name)
        result = await trials.content(mesh, job.output_datasets[0], "x")
        charged = await _charged(mesh, job)
    assert (lost.state_reason.code, refused.value.reason) == ("SITE_LOST", "SITE_UNREACHABLE")
    assert (job.state, job.placement, job.attempt) == (job_pb2.Job.STATE_DONE, first, 1), job.state_reason
    assert (log, result) == (b"ended\n", b"42")
    assert charged == {first}


async def _charged(mesh: Mesh, job: job_pb2.Job) -> set[str]:
    """The placements that the job is charged for, once its usage has come."""
    async with asyncio.timeout(60):
        while True:
            bill = await mesh.accounting.GetBill(accounting.GetBillRequest(account=job.account, job=job.name))
            if bill.charges:
                return {charge.placement for charge in bill.charges}
            await asyncio.sleep(trials.LOOK_AGAIN_S)


async def _log(mesh: Mesh, name: str) -> bytes:
    pieces = mesh.scheduler.ReadJobLogs(scheduler.ReadJobLogsRequest(name=name))
    return b"".join([piece.content async for piece in pieces])


async def _waiting(mesh: Mesh, name: str) -> job_pb2.Job:
    """The job as it is told of its lost site."""
    async with asyncio.timeout(ENDED_S_MAX):
        async for job in mesh.scheduler.WatchJob(scheduler.WatchJobRequest(name=name)):
            if job.state_reason.code == "SITE_LOST":
                return job
    raise AssertionError(f"{name} has ended")


async def _running(mesh: Mesh, job_id: str) -> placement_pb2.Placement:
    """The placement of a job that runs at the site."""
    described = trials.job(TASK)
    described.constraints.allow_sites.extend([f"sites/{SITE}", "sites/wuhu"])
    name = await trials.submit(mesh, job_id, described)
    job = await trials.reached(mesh, name, job_pb2.Job.STATE_RUNNING)
    placement = await mesh.scheduler.GetPlacement(scheduler.GetPlacementRequest(name=job.placement))
    assert placement.site == f"sites/{SITE}"
    return placement


async def _ended(mesh: Mesh, name: str) -> job_pb2.Job:
    async with asyncio.timeout(ENDED_S_MAX):
        while True:
            try:
                return await trials.ended(mesh, name)
            except Refusal as refusal:
                if refusal.code not in ("UNAVAILABLE", "DEADLINE_EXCEEDED"):
                    raise
                await asyncio.sleep(trials.LOOK_AGAIN_S)


async def _fenced_by_itself(node: Node, placement: placement_pb2.Placement) -> None:
    """Wait until the site has stopped the run, with nobody to tell it."""
    stem = placement.name.rpartition("/")[2]
    end = node.folder / "sites" / SITE / "tasks" / stem / "0" / "shim" / "exit.json"
    async with asyncio.timeout(2 * LOST_AFTER_S):
        while not end.exists():  # noqa: ASYNC110 - a file
            await asyncio.sleep(trials.LOOK_AGAIN_S)


async def _ran_once(node: Node, mesh: Mesh, first: placement_pb2.Placement, job: job_pb2.Job) -> None:
    """The job is done, by a run that began when every process of the first was dead, and the bill says the same."""
    assert job.state == job_pb2.Job.STATE_DONE, job.state_reason
    assert job.placement != first.name
    second = await mesh.scheduler.GetPlacement(scheduler.GetPlacementRequest(name=job.placement))
    before, after = _signs(node, first), _signs(node, second)
    print(
        f"{first.site} until {before[1]:.2f}, {second.site} from {after[0]:.2f}: {after[0] - before[1]:.2f} s between"
    )
    assert before[1] < after[0]
    given_up = await mesh.scheduler.GetPlacement(scheduler.GetPlacementRequest(name=first.name))
    assert given_up.state == placement_pb2.Placement.STATE_LOST
    assert given_up.state_reason.code in ("SITE_LOST", "FENCED")
    records = await _usage_of_both(mesh, job.name)
    first_end = max(r.end_time.ToNanoseconds() for r in records if r.placement == first.name)
    assert first_end <= min(r.start_time.ToNanoseconds() for r in records if r.placement == second.name)
    bill = await mesh.accounting.GetBill(accounting.GetBillRequest(account=job.account, job=job.name))
    lines = Counter((charge.usage, charge.meter, charge.price_version) for charge in bill.charges)
    assert all(count == 1 for count in lines.values()), lines


def _signs(node: Node, placement: placement_pb2.Placement) -> tuple[float, float]:
    """The first and last sign of life of a placement's task, from its log at the site."""
    stem, site = placement.name.rpartition("/")[2], placement.site.rpartition("/")[2]
    folder: Path = node.folder / "sites" / site / "tasks" / stem / "0" / "shim"
    words = [float(line) for log in folder.glob("*.log") for line in log.read_text().split()]
    return min(words), max(words)


async def _usage_of_both(mesh: Mesh, job: str) -> list[usage_pb2.UsageRecord]:
    """All usage of the job, once both runs have been metered to their end."""
    async with asyncio.timeout(60):
        while True:
            answer = await mesh.accounting.ListUsage(accounting.ListUsageRequest(job=job, page_size=1000))
            records = [usage_pb2.UsageRecord.FromString(stored.record) for stored in answer.usage]
            if len({record.placement for record in records if record.final}) == 2:
                return records
            await asyncio.sleep(trials.LOOK_AGAIN_S)
