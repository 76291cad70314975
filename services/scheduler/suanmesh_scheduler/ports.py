"""What the scheduler needs from the other areas."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol

from suanmesh.accounting.v1 import account_pb2
from suanmesh.accounting.v1 import accounting_service_pb2 as accounting
from suanmesh.agent.v1 import agent_service_pb2 as agent_pb
from suanmesh.network_orchestrator.v1 import link_pb2
from suanmesh.network_orchestrator.v1 import network_orchestrator_service_pb2 as network
from suanmesh.registry.v1 import registry_service_pb2 as registry
from suanmesh.transport.v1 import dataset_pb2, transfer_pb2
from suanmesh.transport.v1 import transport_service_pb2 as transport
from suanmesh_kernel.refusals import Refusal


@dataclass(frozen=True, slots=True)
class Hold:
    """What another area holds for a placement."""

    name: str
    """`holds/{hold}` or `reservations/{reservation}`."""
    token: str
    """What the commit confirms it by."""


class Peers(Protocol):
    """Calls to the other areas. Every method may raise a Refusal."""

    async def pool_states(self, resume_token: str) -> registry.ReadPoolStatesResponse:
        """What agents report of their pools, as far as it has changed since a token; all of it where it is empty."""

    async def account(self, name: str) -> account_pb2.Account:
        """One account. Raises NotFound."""

    async def spent(self, account: str, job: str) -> int:
        """What the job has been charged, or may still be by what is held, in 10^-6 of the account's currency."""

    async def dataset(self, name: str) -> dataset_pb2.Dataset:
        """One dataset. Raises NotFound."""

    async def links(self) -> Sequence[link_pb2.Link]:
        """All links."""

    async def find_paths(self, queries: Sequence[network.PathQuery]) -> network.FindPathsResponse:
        """The best path for each query."""

    async def quote(self, asks: Sequence[accounting.QuoteAsk]) -> Sequence[accounting.QuoteResult]:
        """What each ask would cost."""

    async def hold_money(self, asks: Sequence[accounting.HoldAsk]) -> Sequence[Hold | Refusal]:
        """Hold money, each item by itself, in order: ResourceExhausted (`BALANCE_INSUFFICIENT`) for one."""

    async def hold_paths(self, asks: Sequence[network.PathAsk]) -> Sequence[Hold | Refusal]:
        """Hold bandwidth, each item by itself, in order: ResourceExhausted (`BANDWIDTH_EXHAUSTED`) for one."""

    async def create_transfers(self, asks: Sequence[transport.TransferAsk]) -> Sequence[transfer_pb2.Transfer]:
        """Make transfers, or find those that stand. Raises the first refusal."""

    def read_log(
        self, address: str, site: str, request: agent_pb.ReadLogRequest
    ) -> AsyncGenerator[agent_pb.ReadLogResponse, None]:
        """What a task wrote, from its site's data plane."""
