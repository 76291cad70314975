"""The scheduler as its main builds it, behind the real wrapper, over the store's twin; the other areas on paper."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from suanmesh.accounting.v1 import account_pb2
from suanmesh.registry.v1 import pool_pb2, site_pb2
from suanmesh.scheduler.v1 import decision_pb2, job_pb2, placement_pb2
from suanmesh.scheduler.v1 import scheduler_service_pb2 as pb
from suanmesh.transport.v1 import dataset_pb2, transfer_pb2
from suanmesh.type.v1 import capacity_pb2
from suanmesh_chassis import Common, ServiceContext
from suanmesh_chassis.identity import agent_id
from suanmesh_chassis.records import FILE
from suanmesh_chassis.testing import NODE, USER, LoopbackNode, parts_of_leader
from suanmesh_kernel.clock import HandClock, seeded_rng
from suanmesh_kernel.reasons import StateReason
from suanmesh_scheduler import wire
from suanmesh_scheduler.main import build
from suanmesh_scheduler.record_kinds import JOBS, KINDS
from suanmesh_scheduler.settings import SchedulerSettings
from suanmesh_scheduler.testing import FakePeers, Wire
from suanmesh_sdk import Mesh
from suanmesh_sdk.state_reasons import reason_to, words
from suanmesh_store import Create, Kind, MemoryStore, Update
from suanmesh_store.layout import HOLDS, PLACEMENTS, POOLS, SITES, TRANSFERS, M
from suanmesh_store.records import Put, Records, Write, open_records, written

PATIENCE_S = 60.0
GIB = 1 << 30
Job, Placement, Transfer, Site = job_pb2.Job, placement_pb2.Placement, transfer_pb2.Transfer, site_pb2.Site


@dataclass
class World:
    """What outlives a scheduler: the store, the other areas, the sites; and the scheduler that runs now."""

    store: MemoryStore
    clock: HandClock
    peers: FakePeers
    node: LoopbackNode
    records: Records
    """Those of the scheduler, as another process opens them."""
    address: str = ""

    @property
    def user(self) -> Mesh:
        return self.node.mesh(self.address, caller=USER)

    def agent(self, site: str) -> Mesh:
        return self.node.mesh(self.address, caller=agent_id(NODE, site))

    async def add_site(self, name: str, *, price: int, cpu_milli: int = 4000) -> None:
        """A site with one pool of one host, priced by the second of a core."""
        registry = self.store.of("registry")
        pool = f"sites/{name}/pools/cpu"
        site = Site(name=f"sites/{name}", liveness=Site.LIVENESS_ALIVE, data_endpoint="127.0.0.1:1")
        document = pool_pb2.Pool(
            name=pool, architecture="x86_64", phase=pool_pb2.Pool.PHASE_ACTIVE,
            hosts=[pool_pb2.Host(name="h1")],
            offers=[pool_pb2.Offer(name=f"{pool}/offers/o", price_book=f"priceBooks/{name}")],
            host_capacity=capacity_pb2.Capacity(cpu_milli=cpu_milli, memory_bytes=8 * GIB, scratch_bytes=8 * GIB),
        )  # fmt: skip
        await registry.commit(Create(SITES, site.name, site), Create(POOLS, pool, document))
        self.peers.price_micros_per_cpu_s[f"priceBooks/{name}"] = price
        self.peers.reporting.add(pool)

    async def change(self, kind: Kind[M], name: str, how: Callable[[M], None]) -> None:
        """Change another area's document as its owner would."""
        owner = self.store.of(kind.area)
        held = await owner.get(kind, name)
        assert held is not None
        message = kind.message()
        message.CopyFrom(held.message)
        how(message)
        await owner.commit(Update(held, message))

    async def change_job(self, name: str, how: Callable[[job_pb2.Job], None]) -> None:
        """Change a job as the scheduler would."""
        job = (await self.records.get_many(JOBS, [name]))[name]
        how(job.message)
        [outcome] = await self.records.apply([Write([Put(JOBS, name, job.message, job.etag)])])
        written(outcome)

    async def jobs_kept(self) -> list[job_pb2.Job]:
        """All jobs there are."""
        return [record.message for record in await self.records.page(JOBS, limit=1000)]

    async def lose(self, site: str) -> None:
        await self.change(SITES, f"sites/{site}", lambda s: setattr(s, "liveness", Site.LIVENESS_LOST))

    def add_dataset(self, name: str, *sites: str, size: int = 1_000_000) -> None:
        replicas = [
            dataset_pb2.Replica(site=f"sites/{site}", state=dataset_pb2.Replica.STATE_COMPLETE) for site in sites
        ]
        self.peers.datasets[f"datasets/{name}"] = dataset_pb2.Dataset(
            name=f"datasets/{name}", party="parties/acme", bytes=size, replicas=replicas
        )

    def add_wire(self, one: str, other: str, *, bps: int = 100_000_000, latency_us: int = 100, price: int = 0) -> None:
        name = f"links/{one}-{other}"
        self.peers.wires[name] = Wire(name, frozenset({f"sites/{one}", f"sites/{other}"}), bps, latency_us, price)

    def jobs(self, *job_ids: str, **fields: object) -> list[tuple[str, job_pb2.Job]]:
        return [(job_id, a_job(**fields)) for job_id in job_ids]  # type: ignore[arg-type]

    async def submit(self, job_id: str = "j", **fields: object) -> job_pb2.Job:
        result = (await self.submit_raw(a_job(**fields), job_id)).results[0]
        assert result.HasField("job"), result.error
        return result.job

    async def submit_raw(
        self, job: job_pb2.Job, job_id: str = "j", *, request_id: str = "", validate_only: bool = False
    ) -> pb.SubmitJobsResponse:
        items = [pb.SubmitJob(job_id=job_id, job=job)]
        request = pb.SubmitJobsRequest(items=items, request_id=request_id, validate_only=validate_only)
        return await self.user.scheduler.SubmitJobs(request)

    async def cancel(self, name: str = "jobs/j") -> job_pb2.Job:
        return await self.user.scheduler.CancelJob(pb.CancelJobRequest(name=name))

    async def job(self, name: str = "jobs/j") -> job_pb2.Job:
        return await self.user.scheduler.GetJob(pb.GetJobRequest(name=name))

    async def decision(self, name: str = "jobs/j") -> decision_pb2.Decision:
        return await self.user.scheduler.GetDecision(pb.GetDecisionRequest(name=f"{name}/decisions/-"))

    async def report(
        self,
        placement: placement_pb2.Placement,
        state: placement_pb2.Placement.State.ValueType,
        reason: str = "",
        **more: object,
    ) -> pb.TaskReportResult:
        """What the placement's agent says of it, `CODE: detail` for a reason; outputs it names have been published."""
        for dataset in more.get("output_datasets", ()):  # type: ignore[attr-defined]
            self.add_dataset(dataset.removeprefix("datasets/"), placement.site.removeprefix("sites/"))
        code, _, detail = reason.partition(": ")
        why = reason_to(StateReason(code, {"detail": detail} if detail else {}))
        report = pb.TaskReport(placement=placement.name, state=state, reason=why, **more)  # type: ignore[arg-type]
        agent = self.agent(placement.site.removeprefix("sites/"))
        return (await agent.scheduler.ReportTasks(pb.ReportTasksRequest(reports=[report]))).results[0]

    async def until(self, kind: Kind[M], name: str, holds: Callable[[M], bool]) -> M:
        """Wait until a document is as it should be."""
        async with asyncio.timeout(PATIENCE_S):
            snapshot = await self.store.snapshot(kind)
            for held in snapshot.held:
                if held.name == name and holds(held.message):
                    return held.message
            async for batch in self.store.watch(kind, snapshot.revision):
                for change in batch.changes:
                    if change.name == name and change.held is not None and holds(change.held.message):
                        return change.held.message
        raise AssertionError("the watch ended")

    async def until_job(
        self, state: job_pb2.Job.State.ValueType, name: str = "jobs/j", reason: str = ""
    ) -> job_pb2.Job:
        def there(job: job_pb2.Job) -> bool:
            return job.state == state and reason in words(job.state_reason)

        return await self.until_told(name, there)

    async def until_told(self, name: str, holds: Callable[[job_pb2.Job], bool]) -> job_pb2.Job:
        """Wait until a job is as it should be."""
        async with asyncio.timeout(PATIENCE_S):
            async for job in self.user.scheduler.WatchJob(pb.WatchJobRequest(name=name)):
                if holds(job):
                    return job
        raise AssertionError(f"{name} has ended otherwise")

    async def placed(self, name: str = "jobs/j", *, site: str = "") -> placement_pb2.Placement:
        """The placement a job gets, at `site` if that is given, once the job tells of it."""
        placement = await self._placed(name, f"sites/{site}" if site else "")
        await self.until_told(name, lambda job: not wire.tells_not(job, placement))
        return placement

    async def given(self, name: str = "jobs/j") -> placement_pb2.Placement:
        """The placement a job gets, whether the job tells of it or not."""
        return await self._placed(name, "")

    async def _placed(self, name: str, where: str) -> placement_pb2.Placement:
        async with asyncio.timeout(PATIENCE_S):
            snapshot = await self.store.snapshot(PLACEMENTS)
            for held in snapshot.held:
                if held.message.job == name and _live(held.message) and held.message.site.startswith(where):
                    return held.message
            async for batch in self.store.watch(PLACEMENTS, snapshot.revision):
                for change in batch.changes:
                    placement = change.held.message if change.held else Placement()
                    if placement.job == name and _live(placement) and placement.site.startswith(where):
                        return placement
        raise AssertionError("the watch ended")

    async def arrived(self, transfer: str) -> None:
        """The bytes are there."""
        await self.until(TRANSFERS, transfer, lambda _: True)
        await self.change(TRANSFERS, transfer, lambda t: setattr(t, "state", Transfer.STATE_DONE))

    async def bring(self, state: int) -> placement_pb2.Placement | None:
        """Submit a job whose input is elsewhere and whose output goes back, and bring it to a state by its own ways."""
        job = await self.submit(inputs=["in"], deliver_to="data")
        if state == Job.STATE_PENDING:
            await self.until_job(Job.STATE_PENDING, reason="NO_PLACE")
            return None
        placement = await self.placed(job.name)
        if state == Job.STATE_PLACED:
            return placement
        await self.report(placement, Placement.STATE_ACCEPTED)
        await self.until_job(Job.STATE_STAGING)
        if state == Job.STATE_STAGING:
            return placement
        await self.arrived(f"transfers/{placement.name.removeprefix('placements/')}-in-0")
        await self.report(placement, Placement.STATE_RUNNING)
        await self.until_job(Job.STATE_RUNNING)
        if state == Job.STATE_RUNNING:
            return placement
        await self.deliver(placement)
        return placement

    async def report_all_the_way(self, placement: placement_pb2.Placement) -> None:
        """Report a run without inputs and outputs from its beginning to its good end."""
        await self.report(placement, Placement.STATE_ACCEPTED)
        await self.report(placement, Placement.STATE_RUNNING)
        await self.report(placement, Placement.STATE_DELIVERING, output_datasets=["datasets/j-log"])

    async def deliver(self, placement: placement_pb2.Placement) -> None:
        made = ["datasets/j-out", "datasets/j-log"]
        await self.report(placement, Placement.STATE_DELIVERING, output_datasets=made)
        await self.until_job(Job.STATE_DELIVERING)

    async def finish(self, placement: placement_pb2.Placement, state: int) -> job_pb2.Job:
        """Bring a placed job from a state to its good end."""
        stem = placement.name.removeprefix("placements/")
        if state == Job.STATE_PLACED:
            await self.report(placement, Placement.STATE_ACCEPTED)
            await self.until_job(Job.STATE_STAGING)
        if state in (Job.STATE_PLACED, Job.STATE_STAGING):
            await self.arrived(f"transfers/{stem}-in-0")
            await self.report(placement, Placement.STATE_RUNNING)
        if state != Job.STATE_DELIVERING:
            await self.deliver(placement)
        await self.arrived(f"transfers/{stem}-out-0")
        return await self.until_job(Job.STATE_DONE)

    async def archived(self, name: str) -> None:
        """Let so much time pass that a placement moves out of etcd, and wait until it has."""
        self.clock.advance(4000)
        async with asyncio.timeout(PATIENCE_S):
            snapshot = await self.store.snapshot(PLACEMENTS)
            if all(held.name != name for held in snapshot.held):
                return
            async for batch in self.store.watch(PLACEMENTS, snapshot.revision):
                if any(change.name == name and change.held is None for change in batch.changes):
                    return

    async def nothing_held(self) -> None:
        """No placement lives, and no hold stands that its owner would not drop."""
        placements = (await self.store.snapshot(PLACEMENTS)).held
        assert [held.name for held in placements if _live(held.message)] == []
        assert await self.peers.standing() == 0
        ended = {held.name.removeprefix("placements/") for held in placements}
        left = [t.key for t in (await self.store.tokens(HOLDS)).tokens]
        assert {key.removeprefix(HOLDS).split("/")[0] for key in left} <= ended


def _live(placement: placement_pb2.Placement) -> bool:
    return bool(placement.name) and not placement.HasField("end_time")


def a_job(
    *, cpu_milli: int = 1000, inputs: list[str] | None = None, deliver_to: str = "", max_attempts: int = 1,
    budget_micros: int = 0, duration_s: int = 100, **constraints: object,
) -> job_pb2.Job:  # fmt: skip
    job = job_pb2.Job(account="accounts/a", max_duration_s=duration_s, max_attempts=max_attempts)
    job.ask.cpu_milli, job.ask.memory_bytes = cpu_milli, GIB
    job.package.variants.add(command=["python3", "train.py"])
    for name in inputs or []:
        job.inputs.add(dataset=f"datasets/{name}", mount=f"in/{name}")
    if deliver_to:
        job.outputs.add(output_id="out", mount="out", deliver_to=f"sites/{deliver_to}")
    job.constraints.CopyFrom(job_pb2.Constraints(budget_micros=budget_micros, **constraints))  # type: ignore[arg-type]
    return job


@pytest.fixture
def job_of() -> Callable[..., job_pb2.Job]:
    """Makes jobs."""
    return a_job


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Sites `near` at 2, `far` at 3 and the small `data` at 1 a core second, links between, an account, a dataset."""
    clock = HandClock()
    store = MemoryStore("scheduler", clock=clock, rng=seeded_rng(1))
    peers = FakePeers(store.of("accounting"), store.of("network_orchestrator"), store.of("transport"))
    peers.accounts["accounts/a"] = account_pb2.Account(
        name="accounts/a", party="parties/acme", balance_micros=1_000_000
    )
    async with LoopbackNode(tmp_path) as node:
        records = open_records(f"sqlite:///{tmp_path}/{FILE}", "scheduler", KINDS, clock, seeded_rng(3))
        world = World(store, clock, peers, node, records)
        await world.add_site("near", price=2)
        await world.add_site("far", price=3)
        await world.add_site("data", price=1, cpu_milli=100)
        world.add_wire("data", "near")
        world.add_wire("data", "far", latency_us=900)
        world.add_dataset("in", "data")
        yield world
        await records.close()


Running = Callable[..., AbstractAsyncContextManager[World]]


@pytest.fixture
def running(world: World, tmp_path: Path) -> Running:
    """Runs a scheduler over the world; a second one after the first is its restart."""

    @asynccontextmanager
    async def run(
        *, resync_s: float = 0.05, waiting_jobs_max: int = 32, live_jobs_max: int = 10_000, **more: Any
    ) -> AsyncIterator[World]:
        process = world.node.process("scheduler")
        settings = SchedulerSettings(
            resync_s=resync_s, waiting_jobs_max=waiting_jobs_max, live_jobs_max=live_jobs_max, parallel_jobs_max=4,
            sweep_s=0.1, **more,
        )  # fmt: skip
        context = ServiceContext(
            area="scheduler", node=NODE, settings=settings, common=Common(), clock=world.clock, rng=seeded_rng(2),
            store=world.store, mesh=world.node.mesh("127.0.0.1:1"), signer=process.signer, identity=process.identity,
            leadership=None, data_dir=tmp_path,
        )  # fmt: skip
        parts = await parts_of_leader(partial(build, peers=world.peers), context)
        async with asyncio.TaskGroup() as tasks:
            background = [tasks.create_task(task()) for task in parts.tasks]
            world.address = await world.node.serve(process, parts.servicers, requests=parts.requests)
            try:
                yield world
            finally:
                for task in background:
                    task.cancel()
        await context.closing.aclose()

    return run


@pytest.fixture
async def scheduler(running: Running) -> AsyncIterator[World]:
    """The world with a scheduler."""
    async with running() as world:
        yield world
