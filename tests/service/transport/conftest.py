"""The transport as its main builds it, behind the real wrapper, with a site's data plane to read from."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from google.protobuf.message import Message

from suanmesh.agent.v1 import agent_service_pb2
from suanmesh.network_orchestrator.v1 import network_orchestrator_service_pb2 as network_pb
from suanmesh.registry.v1.party_pb2 import Party
from suanmesh.registry.v1.site_pb2 import Site
from suanmesh.scheduler.v1 import scheduler_service_pb2 as scheduler_pb
from suanmesh.scheduler.v1.job_pb2 import Input, Job
from suanmesh.scheduler.v1.placement_pb2 import Placement
from suanmesh.transport.v1 import dataset_pb2, transfer_pb2
from suanmesh.transport.v1 import transport_service_pb2 as pb
from suanmesh.type.v1.signed_pb2 import Signed
from suanmesh_chassis import Call, Common, Served, ServiceContext, verify
from suanmesh_chassis.identity import agent_id, service_id, user_id
from suanmesh_chassis.testing import NODE, OPERATOR, USER, LoopbackNode, parts_of_leader
from suanmesh_content import Manifest, chunk_digest, manifest_to, read_folder
from suanmesh_kernel.clock import HandClock, seeded_rng
from suanmesh_kernel.refusals import NotFound, PermissionDenied
from suanmesh_sdk import Mesh
from suanmesh_sdk.status import refusal_of
from suanmesh_store import Create, Delete, Kind, MemoryStore, Update
from suanmesh_store.layout import PARTIES, PLACEMENTS, SITES, M
from suanmesh_transport.main import build
from suanmesh_transport.settings import TransportSettings

AREA = "transport"
PATIENCE_S = 60.0
NETWORK = network_pb.DESCRIPTOR.services_by_name["NetworkOrchestratorService"]
SCHEDULER = scheduler_pb.DESCRIPTOR.services_by_name["SchedulerService"]
SETTINGS = TransportSettings(resync_s=0.2, party_datasets_max=8, party_transfers_max=8)


@dataclass
class FolderAgent:
    """The data plane of a site with one folder; can be told to damage what it sends."""

    folder: Path
    site: str
    public_key: bytes = b""
    damage: str = ""
    asked: list[transfer_pb2.TransferTicket] = field(default_factory=list)

    @property
    def manifest(self) -> Manifest:
        return read_folder(self.folder)

    async def GetManifest(self, request: agent_service_pb2.GetManifestRequest, call: Call) -> dataset_pb2.Manifest:
        self._check(request.ticket, call)
        message = manifest_to(self.manifest)
        if self.damage == "manifest":
            message.files[0].bytes += 1
        return message

    async def FetchChunks(
        self, request: agent_service_pb2.FetchChunksRequest, call: Call
    ) -> AsyncIterator[agent_service_pb2.FetchChunksResponse]:
        self._check(request.ticket, call)
        for number, wanted in enumerate(request.ranges):
            content = (self.folder / self.manifest.files[wanted.file].path).read_bytes()
            content = content[wanted.offset : wanted.offset + wanted.bytes]
            if self.damage == "file":
                content = bytes([content[0] ^ 1]) + content[1:]
            digest = chunk_digest(content)
            if self.damage == "chunk":
                content = bytes([content[0] ^ 1]) + content[1:]
            if self.damage == "short" and number == len(request.ranges) - 1:
                return
            yield agent_service_pb2.FetchChunksResponse(range=number, content=content, digest=digest)

    async def ReadFiles(
        self, request: agent_service_pb2.ReadFilesRequest, call: Call
    ) -> AsyncIterator[agent_service_pb2.ReadFilesResponse]:
        yield agent_service_pb2.ReadFilesResponse()

    async def WriteFiles(
        self, requests: AsyncIterator[agent_service_pb2.WriteFilesRequest], call: Call
    ) -> AsyncIterator[agent_service_pb2.WriteFilesResponse]:
        yield agent_service_pb2.WriteFilesResponse()

    async def ReadLog(
        self, request: agent_service_pb2.ReadLogRequest, call: Call
    ) -> AsyncIterator[agent_service_pb2.ReadLogResponse]:
        yield agent_service_pb2.ReadLogResponse()

    async def Echo(self, request: agent_service_pb2.EchoRequest, call: Call) -> agent_service_pb2.EchoResponse:
        return agent_service_pb2.EchoResponse(payload=request.payload)

    def _check(self, signed: Signed, call: Call) -> None:
        """As an agent does it: offline, with the key it once fetched."""
        ticket = transfer_pb2.TransferTicket.FromString(signed.payload)
        if not verify(signed, self.public_key) or (ticket.source, ticket.reader) != (self.site, call.principal):
            raise PermissionDenied("TICKET_INVALID", "the ticket is not right")
        self.asked.append(ticket)


@dataclass
class Network:
    """The network, as far as it is asked: how far sites are from each other, by source and target, in microseconds."""

    latencies_us: dict[tuple[str, str], int] = field(default_factory=dict)

    async def FindPaths(self, request: network_pb.FindPathsRequest, call: Call) -> network_pb.FindPathsResponse:
        answer = network_pb.FindPathsResponse()
        for query in request.queries:
            latency_us = self.latencies_us.get((query.source, query.target))
            if latency_us is None:
                answer.results.add().obstacle.kind = network_pb.PathObstacle.KIND_DISCONNECTED
            else:
                answer.results.add().path.latency_us = latency_us
        return answer

    async def nothing(self, request: Message, call: Call) -> AsyncIterator[Message]:
        """What else there is that streams."""
        return
        yield request

    def __getattr__(self, name: str) -> object:
        """Nothing else is asked of it."""
        method = NETWORK.methods_by_name.get(name)
        if method is None:
            raise AttributeError(name)
        return self.nothing if method.server_streaming else self.FindPaths


@dataclass
class JobQueue:
    """The scheduler, as far as it is asked: jobs that wait, by what they read."""

    waiting: dict[str, str] = field(default_factory=dict)

    async def ListJobs(self, request: scheduler_pb.ListJobsRequest, call: Call) -> scheduler_pb.ListJobsResponse:
        asked = request.filter.partition('inputs:"')[2].partition('"')[0]
        found = [
            Job(name=f"jobs/{job}", inputs=[Input(dataset=dataset)])
            for job, dataset in self.waiting.items()
            if asked in dataset or f'name = "jobs/{job}"' in request.filter
        ]
        return scheduler_pb.ListJobsResponse(jobs=found)

    async def nothing(self, request: Message, call: Call) -> AsyncIterator[Message]:
        """What else there is that streams."""
        return
        yield request

    def __getattr__(self, name: str) -> object:
        """Nothing else is asked of it."""
        method = SCHEDULER.methods_by_name.get(name)
        if method is None:
            raise AttributeError(name)
        return self.nothing if method.server_streaming else self.ListJobs


@dataclass
class Movers:
    """A running transport and everybody who talks to it."""

    store: MemoryStore
    clock: HandClock
    address: str
    node: LoopbackNode
    agent_a: FolderAgent
    jobs: JobQueue
    network: Network

    @property
    def user(self) -> Mesh:
        return self.as_(USER)

    @property
    def stranger(self) -> Mesh:
        return self.as_(user_id(NODE, "rival", "rob"))

    @property
    def operator(self) -> Mesh:
        return self.as_(OPERATOR)

    @property
    def scheduler(self) -> Mesh:
        return self.as_(service_id(NODE, "scheduler"))

    def agent(self, site: str) -> Mesh:
        return self.as_(agent_id(NODE, site))

    def as_(self, caller: str) -> Mesh:
        return self.node.mesh(self.address, caller=caller)

    async def publish(self, dataset_id: str = "digits", site: str = "a", **more: object) -> dataset_pb2.Dataset:
        """The agent of a site publishes the folder of site a."""
        manifest = self.agent_a.manifest
        facts = {"party": "parties/acme", "digest": manifest.digest, "residency": [], "placement": ""} | more
        dataset = dataset_pb2.Dataset(
            party=facts["party"], digest=facts["digest"], bytes=manifest.size_bytes, files=len(manifest.files),
            residency=facts["residency"],
        )  # fmt: skip
        ask = pb.DatasetAsk(
            dataset_id=dataset_id, dataset=dataset, placement=facts["placement"], upload=more.get("upload")
        )
        request = pb.CreateDatasetsRequest(items=[ask])
        [result] = (await self.agent(site).transport.CreateDatasets(request)).results
        if result.HasField("error"):
            raise refusal_of(result.error)
        return result.dataset

    async def transfer(self, target: str = "b", *, by: Mesh | None = None, **more: object) -> pb.TransferResult:
        kind = transfer_pb2.Transfer
        purpose = kind.PURPOSE_INPUT if more.get("placement") else kind.PURPOSE_UNSPECIFIED
        facts = {"dataset": "datasets/digits", "target": f"sites/{target}", "purpose": purpose}
        ask = pb.TransferAsk(**(facts | more))
        answer = await (by or self.scheduler).transport.CreateTransfers(pb.CreateTransfersRequest(items=[ask]))
        return answer.results[0]

    async def report(self, site: str, name: str, state: int, **more: object) -> pb.TransferResult:
        report = pb.TransferReport(transfer=name, state=state, **more)
        answer = await self.agent(site).transport.ReportTransfers(pb.ReportTransfersRequest(reports=[report]))
        return answer.results[0]

    async def place(
        self, placement: str, state: Placement.State.ValueType, site: str = "b", reads: tuple[str, ...] = ()
    ) -> None:
        """As the scheduler writes it."""
        scheduler = self.store.of("scheduler")
        name = f"placements/{placement}"
        message = Placement(name=name, site=f"sites/{site}", party="parties/acme", state=state, job="jobs/j", attempt=1)
        message.work.outputs.add(output_id="result", mount="out")
        for dataset in reads:
            message.work.inputs.add(dataset=dataset, mount="in")
        held = await scheduler.get(PLACEMENTS, name)
        await scheduler.commit(Create(PLACEMENTS, name, message) if held is None else Update(held, message))

    async def site(self, site: str, **facts: object) -> None:
        """As the registry writes it."""
        registry = self.store.of("registry")
        name = f"sites/{site}"
        defaults = {"liveness": Site.LIVENESS_ALIVE, "agent": agent_id(NODE, site), "residency": ["cn"]}
        defaults |= {"party": "parties/acme"}
        message = Site(name=name, **(defaults | facts))
        held = await registry.get(SITES, name)
        await registry.commit(Create(SITES, name, message) if held is None else Update(held, message))

    async def until_seen(self, call: Callable[[], Awaitable[object]]) -> None:
        """Ask until the answer is no NOT_FOUND: the transport hears of placements by its mirror."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    await call()
                except NotFound:
                    await asyncio.sleep(0)
                else:
                    return

    async def until_seen_transfer(self, name: str) -> None:
        """Ask until the agent of site b is told of it: by then the transport's mirror has it."""
        async with asyncio.timeout(PATIENCE_S):
            stream = self.agent("b").transport.WatchTransfers(pb.WatchTransfersRequest(site="sites/b"))
            try:
                async for batch in stream:
                    if any(each.name == name for each in batch.transfers):
                        return
            finally:
                stream.cancel()

    async def until_replicas(self, expected: dict[str, int]) -> None:
        """Ask for the dataset of site a until it has these replicas: the transport hears of copies by its mirror."""
        request = pb.GetDatasetRequest(name="datasets/digits")
        async with asyncio.timeout(PATIENCE_S):
            while True:
                dataset = await self.user.transport.GetDataset(request)
                if {replica.site: replica.state for replica in dataset.replicas} == expected:
                    return
                await asyncio.sleep(0)

    async def gone(self, placement: str) -> None:
        """The scheduler has archived it."""
        scheduler = self.store.of("scheduler")
        held = await scheduler.get(PLACEMENTS, f"placements/{placement}")
        await scheduler.commit(Delete(held))
        await self.until(PLACEMENTS, held.name, lambda message: message is None)

    async def publishers(self, party: str, *sites: str) -> None:
        """As the registry writes them."""
        registry = self.store.of("registry")
        held = await registry.get(PARTIES, f"parties/{party}")
        await registry.commit(Update(held, Party(name=held.name, publishers=sites)))

    async def default_site(self, party: str, site: str) -> None:
        """As the registry writes it."""
        registry = self.store.of("registry")
        held = await registry.get(PARTIES, f"parties/{party}")
        await registry.commit(Update(held, Party(name=held.name, default_site=site)))

    async def until(self, kind: Kind[M], name: str, holds: Callable[[M | None], bool]) -> M | None:
        """Wait until a document is as it should be."""
        async with asyncio.timeout(PATIENCE_S):
            snapshot = await self.store.snapshot(kind)
            found = next((held.message for held in snapshot.held if held.name == name), None)
            if holds(found):
                return found
            async for batch in self.store.watch(kind, snapshot.revision):
                for change in batch.changes:
                    message = None if change.held is None else change.held.message
                    if change.name == name and holds(message):
                        return message
        raise AssertionError("the watch ended")


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Movers]:
    data = folder / "data"
    (data / "deep").mkdir(parents=True, exist_ok=True)
    (data / "deep" / "images.bin").write_bytes(bytes(range(256)) * 4 * 9000)
    (data / "facts.json").write_text(json.dumps({"classes": 10}))
    (data / "nothing").touch()
    clock = HandClock(datetime.now(UTC))
    store = MemoryStore(AREA, clock=clock, rng=seeded_rng(1))
    async with LoopbackNode(folder) as node:
        agent = FolderAgent(data, "sites/a")
        standing = node.process("agent", identity=agent_id(NODE, "a"), dns_names=[f"agent.a.{NODE}.suanmesh"])
        plane = agent_service_pb2.DESCRIPTOR.services_by_name["AgentService"]
        endpoint = await node.serve(standing, [Served(plane, agent)])
        jobs, network = JobQueue(), Network()
        asked = [Served(SCHEDULER, jobs), Served(NETWORK, network)]
        both = [f"{area}.{NODE}.suanmesh" for area in ("scheduler", "network_orchestrator")]
        queue = await node.serve(node.process("scheduler", dns_names=both), asked)
        process = node.process(AREA)
        context = ServiceContext(
            area=AREA, node=NODE, settings=SETTINGS, common=Common(), clock=clock,
            rng=seeded_rng(2), store=store, mesh=node.mesh(queue, caller=process.identity),
            signer=process.signer, identity=process.identity, leadership=None, data_dir=folder,
        )  # fmt: skip
        parts = await parts_of_leader(build, context)
        async with asyncio.TaskGroup() as tasks:
            background = [tasks.create_task(task()) for task in parts.tasks]
            address = await node.serve(process, parts.servicers, requests=parts.requests)
            movers = Movers(store, clock, address, node, agent, jobs, network)
            for party in ("acme", "rival"):
                message = Party(name=f"parties/{party}")
                await store.of("registry").commit(Create(PARTIES, message.name, message))
            await movers.site("a", data_endpoint=endpoint)
            await movers.site("b")
            key = await movers.agent("a").transport.GetTicketKey(pb.GetTicketKeyRequest())
            agent.public_key = key.public_key
            yield movers
            for task in background:
                task.cancel()


Opened = Callable[[], AbstractAsyncContextManager[Movers]]


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    """Opens a transport."""
    return lambda: running(tmp_path)
