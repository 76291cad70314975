"""The other areas, called over the mesh."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from suanmesh.accounting.v1 import account_pb2
from suanmesh.accounting.v1 import accounting_service_pb2 as accounting
from suanmesh.agent.v1 import agent_service_pb2 as agent
from suanmesh.network_orchestrator.v1 import link_pb2
from suanmesh.network_orchestrator.v1 import network_orchestrator_service_pb2 as network
from suanmesh.registry.v1 import registry_service_pb2 as registry
from suanmesh.transport.v1 import dataset_pb2, transfer_pb2
from suanmesh.transport.v1 import transport_service_pb2 as transport
from suanmesh_kernel.clock import Clock, Rng
from suanmesh_kernel.identifiers import sortable_id
from suanmesh_kernel.refusals import Refusal
from suanmesh_scheduler.ports import Hold
from suanmesh_scheduler.sharing import Shared
from suanmesh_sdk import Mesh
from suanmesh_sdk.status import refusal_of

PAGE = 1000
HOLDS_PAGE = 100
"""Holds of one call: the contracts' bound."""
FOLLOW_S_MAX = 3600.0


class MeshPeers:
    """Calls over the SDK; a per-item error is raised as the refusal it carries."""

    def __init__(self, mesh: Mesh, clock: Clock, rng: Rng) -> None:
        self._mesh = mesh
        self._clock = clock
        self._rng = rng
        self._accounts: Shared[account_pb2.Account] = Shared()
        self._links: Shared[Sequence[link_pb2.Link]] = Shared()

    async def pool_states(self, resume_token: str) -> registry.ReadPoolStatesResponse:
        """Soft state, as far as it has changed."""
        request = registry.ReadPoolStatesRequest(resume_token=resume_token)
        return await self._mesh.registry.ReadPoolStates(request)

    async def account(self, name: str) -> account_pb2.Account:
        """One account."""
        request = accounting.GetAccountRequest(name=name)
        return await self._accounts.read(name, lambda: self._mesh.accounting.GetAccount(request))

    async def spent(self, account: str, job: str) -> int:
        """The total of the job's bill, and what holds of earlier attempts may still add to it."""
        request = accounting.GetBillRequest(account=account, job=job, page_size=1)
        bill = await self._mesh.accounting.GetBill(request)
        return bill.total_micros + bill.held_micros

    async def dataset(self, name: str) -> dataset_pb2.Dataset:
        """One dataset."""
        return await self._mesh.transport.GetDataset(transport.GetDatasetRequest(name=name))

    async def links(self) -> Sequence[link_pb2.Link]:
        """All links."""
        return await self._links.read((), self._all_links)

    async def find_paths(self, queries: Sequence[network.PathQuery]) -> network.FindPathsResponse:
        """The best path for each query."""
        found = network.FindPathsResponse()
        for start in range(0, len(queries), PAGE):
            request = network.FindPathsRequest(queries=queries[start : start + PAGE])
            found.MergeFrom(await self._mesh.network_orchestrator.FindPaths(request))
        return found

    async def quote(self, asks: Sequence[accounting.QuoteAsk]) -> Sequence[accounting.QuoteResult]:
        """What each ask would cost."""
        quoted: list[accounting.QuoteResult] = []
        for start in range(0, len(asks), PAGE):
            request = accounting.QuoteBatchRequest(items=asks[start : start + PAGE])
            quoted.extend((await self._mesh.accounting.QuoteBatch(request)).results)
        return quoted

    async def hold_money(self, asks: Sequence[accounting.HoldAsk]) -> Sequence[Hold | Refusal]:
        """Hold money."""
        results: list[accounting.MoneyHoldResult] = []
        for start in range(0, len(asks), HOLDS_PAGE):
            request = accounting.PlaceHoldsRequest(items=asks[start : start + HOLDS_PAGE])
            results.extend((await self._mesh.accounting.PlaceHolds(request)).results)
        return [refusal_of(r.error) if r.HasField("error") else Hold(r.hold.hold.name, r.hold.token) for r in results]

    async def hold_paths(self, asks: Sequence[network.PathAsk]) -> Sequence[Hold | Refusal]:
        """Hold bandwidth."""
        results: list[network.PathHoldResult] = []
        for start in range(0, len(asks), HOLDS_PAGE):
            request = network.ReservePathsRequest(items=asks[start : start + HOLDS_PAGE])
            results.extend((await self._mesh.network_orchestrator.ReservePaths(request)).results)
        return [
            refusal_of(r.error) if r.HasField("error") else Hold(r.hold.reservation.name, r.hold.token) for r in results
        ]

    async def create_transfers(self, asks: Sequence[transport.TransferAsk]) -> Sequence[transfer_pb2.Transfer]:
        """Make transfers."""
        request_id = sortable_id(self._clock.now(), self._rng)
        request = transport.CreateTransfersRequest(items=asks, request_id=request_id)
        results = (await self._mesh.transport.CreateTransfers(request)).results
        for result in results:
            if result.HasField("error"):
                raise refusal_of(result.error)
        return [result.transfer for result in results]

    async def read_log(
        self, address: str, site: str, request: agent.ReadLogRequest
    ) -> AsyncGenerator[agent.ReadLogResponse, None]:
        """What a task wrote."""
        timeout = FOLLOW_S_MAX if request.follow else None
        async for piece in self._mesh.agent(address, site=site).ReadLog(request, timeout=timeout):
            yield piece

    async def _all_links(self) -> Sequence[link_pb2.Link]:
        links: list[link_pb2.Link] = []
        token = ""
        while True:
            request = network.ListLinksRequest(page_size=PAGE, page_token=token)
            answer = await self._mesh.network_orchestrator.ListLinks(request)
            links.extend(answer.links)
            token = answer.next_page_token
            if not token:
                return links
