"""While etcd says nothing, nobody is told that it is not known who they are, and nothing breaks for good."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from suanmesh.accounting.v1 import accounting_service_pb2 as accounting
from suanmesh.gateway.v1 import gateway_service_pb2 as gateway
from suanmesh.registry.v1 import registry_service_pb2 as registry
from suanmesh.scheduler.v1 import scheduler_service_pb2 as scheduler
from suanmesh_kernel.refusals import Refusal
from suanmesh_local.node import Node
from suanmesh_sdk.status import RemoteDefect

pytestmark = pytest.mark.mesh

FROZEN_S = 7.0
"""More than three lives of the leases of `mortal_node`."""
BACK_S_MAX = 60.0
CALL_S = 1.0
PAUSE_S = 0.05


class Reads:
    """One read, made again and again; what came of it is counted."""

    def __init__(self, read: Callable[[], Awaitable[object]]) -> None:
        self._read = read
        self.told: Counter[str] = Counter()
        self.last = ""
        self.turn = asyncio.Event()

    async def run(self) -> None:
        while True:
            try:
                await self._read()
                self.last = "OK"
            except Refusal as refusal:
                self.last = f"{refusal.code} {refusal.reason}"
            except RemoteDefect as defect:
                self.last = str(defect)
            self.told[self.last] += 1
            self.turn.set()
            self.turn = asyncio.Event()
            await asyncio.sleep(PAUSE_S)


async def test_while_etcd_is_frozen_nobody_is_a_stranger(mortal_node: Node) -> None:
    """A cut of 45 s from etcd once turned 284 of 499 reads into UNAUTHENTICATED: no client tries such a call again."""
    members = [member.process for member in mortal_node.etcd]
    async with mortal_node.mesh("operator") as mesh, asyncio.TaskGroup() as tasks:
        sites, jobs = registry.ListSitesRequest(), scheduler.ListJobsRequest()
        accounts = accounting.ListAccountsRequest()
        traces = gateway.ListTracesRequest(page_size=1)
        reads = {
            "sites": Reads(lambda: mesh.registry.ListSites(sites, timeout=CALL_S)),
            "jobs": Reads(lambda: mesh.scheduler.ListJobs(jobs, timeout=CALL_S)),
            "accounts": Reads(lambda: mesh.accounting.ListAccounts(accounts, timeout=CALL_S)),
            "traces": Reads(lambda: mesh.gateway.ListTraces(traces, timeout=FROZEN_S - 2)),
        }
        running = [tasks.create_task(each.run()) for each in reads.values()]
        try:
            for member in members:
                member.signal(signal.SIGSTOP)
            await asyncio.sleep(FROZEN_S)
        finally:
            for member in members:
                member.signal(signal.SIGCONT)
        async with asyncio.timeout(BACK_S_MAX):
            for each in reads.values():
                await _answered_again(each)
        for task in running:
            task.cancel()

    print({name: dict(each.told) for name, each in reads.items()})
    assert reads["traces"].told.keys() == {"OK"}
    assert {told.split()[0] for each in reads.values() for told in each.told} <= {
        "OK",
        "UNAVAILABLE",
        "DEADLINE_EXCEEDED",
    }
    assert all(process.status is None for process in mortal_node.services.values())


async def _answered_again(reads: Reads) -> None:
    """Wait until twenty reads more have been answered, and the last of them well."""
    before = reads.told["OK"]
    while reads.told["OK"] < before + 20 or reads.last != "OK":
        await reads.turn.wait()
