"""The ports towards the mesh, over the SDK: everything through the gateway, data plane to data plane."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from suanmesh.accounting.v1 import accounting_service_pb2 as accounting_pb
from suanmesh.agent.v1 import agent_service_pb2 as agent_pb
from suanmesh.registry.v1 import registry_service_pb2 as registry_pb
from suanmesh.registry.v1 import site_pb2
from suanmesh.scheduler.v1 import scheduler_service_pb2 as scheduler_pb
from suanmesh.transport.v1 import dataset_pb2, transfer_pb2
from suanmesh.transport.v1 import transport_service_pb2 as transport_pb
from suanmesh.type.v1 import signed_pb2
from suanmesh_agent.batching import Batcher
from suanmesh_kernel.refusals import Refusal, Unavailable
from suanmesh_sdk import Mesh
from suanmesh_sdk.status import refusal_of

if TYPE_CHECKING:
    from suanmesh.agent.v1.agent_service_pb2_grpc import AgentServiceStub

REPORTS_MAX = 100
"""Reports, or datasets, of one call."""
APART_S = 0.05
"""Between two calls that report, or publish, where one follows the other."""
Q = TypeVar("Q")
A = TypeVar("A")
FETCH_S = 120.0
"""What one request for chunks may take, its pacing included; asked for again after that."""


def _batcher(call: Callable[[list[Q]], Awaitable[list[A]]], size: Callable[[Q], int]) -> Batcher[Q, A]:
    return Batcher(call, items_max=REPORTS_MAX, size=size, apart_s=APART_S)


class SchedulerOverMesh:
    """`SchedulerPort`."""

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh
        self._reports = _batcher(self._report, scheduler_pb.TaskReport.ByteSize)

    async def watch_placements(self, site: str) -> AsyncIterator[scheduler_pb.WatchPlacementsResponse]:
        """Batches until the stream breaks."""
        async for batch in self._mesh.scheduler.WatchPlacements(scheduler_pb.WatchPlacementsRequest(site=site)):
            yield batch

    async def report_tasks(self, report: scheduler_pb.TaskReport) -> scheduler_pb.TaskReportResult:
        """Report one placement, in one call with others that are reported meanwhile."""
        return await self._reports.ask(report)

    async def fetch_secrets(self, request: scheduler_pb.FetchSecretsRequest) -> scheduler_pb.FetchSecretsResponse:
        """The secrets of a placement."""
        return await self._mesh.scheduler.FetchSecrets(request)

    async def _report(self, reports: list[scheduler_pb.TaskReport]) -> list[scheduler_pb.TaskReportResult]:
        answer = await self._mesh.scheduler.ReportTasks(scheduler_pb.ReportTasksRequest(reports=reports))
        return list(answer.results)


class RegistryOverMesh:
    """`SiteRegistry`."""

    def __init__(self, mesh: Mesh, site: str) -> None:
        self._mesh = mesh
        self._site = site

    async def get_site(self) -> site_pb2.Site:
        """Look the site up."""
        return await self._mesh.registry.GetSite(registry_pb.GetSiteRequest(name=self._site))

    async def rotate_signing_key(self, rotation: signed_pb2.Signed) -> site_pb2.Site:
        """Have a key registered."""
        return await self._mesh.registry.RotateSigningKey(registry_pb.RotateSigningKeyRequest(rotation=rotation))


class TransportOverMesh:
    """`TransportPort`."""

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh
        self._reports = _batcher(self._report, transport_pb.TransferReport.ByteSize)
        self._datasets = _batcher(self._create, transport_pb.DatasetAsk.ByteSize)

    async def watch_transfers(self, site: str) -> AsyncIterator[transport_pb.WatchTransfersResponse]:
        """Batches until the stream breaks."""
        async for batch in self._mesh.transport.WatchTransfers(transport_pb.WatchTransfersRequest(site=site)):
            yield batch

    async def report_transfer(self, report: transport_pb.TransferReport) -> transport_pb.TransferResult:
        """Report one transfer, in one call with others that are reported meanwhile."""
        return await self._reports.ask(report)

    async def _report(self, reports: list[transport_pb.TransferReport]) -> list[transport_pb.TransferResult]:
        answer = await self._mesh.transport.ReportTransfers(transport_pb.ReportTransfersRequest(reports=reports))
        return list(answer.results)

    async def create_dataset(self, ask: transport_pb.DatasetAsk) -> dataset_pb2.Dataset:
        """Publish a dataset, in one call with others that are published meanwhile."""
        result = await self._datasets.ask(ask)
        if result.HasField("error"):
            raise refusal_of(result.error)
        return result.dataset

    async def _create(self, asks: list[transport_pb.DatasetAsk]) -> list[transport_pb.DatasetResult]:
        answer = await self._mesh.transport.CreateDatasets(transport_pb.CreateDatasetsRequest(items=asks))
        return list(answer.results)

    async def get_dataset(self, name: str) -> dataset_pb2.Dataset:
        """Look one up."""
        return await self._mesh.transport.GetDataset(transport_pb.GetDatasetRequest(name=name))

    async def unnamed(self, site: str, digests: Sequence[str]) -> list[str]:
        """Those of the contents at the site that no dataset has there any more."""
        request = transport_pb.FindUnnamedContentRequest(site=site, digests=digests)
        return list((await self._mesh.transport.FindUnnamedContent(request)).digests)

    async def get_ticket_key(self) -> transport_pb.TicketKey:
        """The key tickets are signed with."""
        return await self._mesh.transport.GetTicketKey(transport_pb.GetTicketKeyRequest())


class AccountingOverMesh:
    """`AccountingPort`."""

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh

    async def record_usage(self, request: accounting_pb.RecordUsageRequest) -> list[Refusal | None]:
        """Hand over a signed batch."""
        answer = await self._mesh.accounting.RecordUsage(request)
        refused = accounting_pb.RecordUsageResponse.OUTCOME_REFUSED
        why = {index: refusal_of(each.error) for each in answer.refusals for index in each.records}
        return [why[index] if outcome == refused else None for index, outcome in enumerate(answer.outcomes)]

    async def metering_state(self, epoch: str, works: list[str]) -> accounting_pb.MeteringState:
        """What is stored of this site's meter."""
        request = accounting_pb.GetMeteringStateRequest(epoch=epoch, works=works)
        return await self._mesh.accounting.GetMeteringState(request)


class DataPathOverMesh:
    """`DataPath`: from the source's data plane, where it listens now."""

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh
        self._moved: dict[str, str] = {}

    async def manifest(self, transfer: transfer_pb2.Transfer) -> dataset_pb2.Manifest:
        """The manifest at the source."""
        try:
            return await self._source(transfer).GetManifest(agent_pb.GetManifestRequest(ticket=transfer.ticket))
        except Unavailable:
            await self._look_up(transfer)
            raise

    async def fetch(
        self, transfer: transfer_pb2.Transfer, ranges: list[agent_pb.ChunkRange]
    ) -> AsyncGenerator[agent_pb.FetchChunksResponse, None]:
        """The ranges, in order."""
        request = agent_pb.FetchChunksRequest(ticket=transfer.ticket, ranges=ranges)
        try:
            async for answer in self._source(transfer).FetchChunks(request, timeout=FETCH_S):
                yield answer
        except Unavailable:
            await self._look_up(transfer)
            raise

    def _source(self, transfer: transfer_pb2.Transfer) -> AgentServiceStub:
        endpoint = self._moved.get(transfer.source, transfer.source_endpoint)
        return self._mesh.agent(endpoint, site=transfer.source)

    async def _look_up(self, transfer: transfer_pb2.Transfer) -> None:
        """The source may have come back at another port."""
        with contextlib.suppress(Refusal):
            site = await self._mesh.registry.GetSite(registry_pb.GetSiteRequest(name=transfer.source))
            if site.data_endpoint:
                self._moved[transfer.source] = site.data_endpoint
