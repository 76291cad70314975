"""A stand-in for the other areas: their data on paper, their holds and transfers in the store that the test gives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import permutations
from typing import TypeVar

from suanmesh.accounting.v1 import account_pb2
from suanmesh.accounting.v1 import accounting_service_pb2 as accounting
from suanmesh.agent.v1 import agent_service_pb2
from suanmesh.network_orchestrator.v1 import link_pb2, reservation_pb2
from suanmesh.network_orchestrator.v1 import network_orchestrator_service_pb2 as network
from suanmesh.registry.v1 import pool_pb2
from suanmesh.registry.v1 import registry_service_pb2 as registry
from suanmesh.transport.v1 import dataset_pb2, transfer_pb2
from suanmesh.transport.v1 import transport_service_pb2 as transport
from suanmesh.type.v1 import capacity_pb2, money_pb2
from suanmesh_kernel.names import last, versioned
from suanmesh_kernel.refusals import FailedPrecondition, NotFound, Refusal, ResourceExhausted
from suanmesh_scheduler import wire
from suanmesh_scheduler.domain.states import PLACEMENT_ENDS
from suanmesh_scheduler.ports import Hold
from suanmesh_sdk.status import status_of
from suanmesh_store import Create, Holds, Store
from suanmesh_store.layout import PLACEMENTS, TRANSFERS, hold_key

A = TypeVar("A")
MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Wire:
    """A link between two sites, good in both directions."""

    name: str
    ends: frozenset[str]
    capacity_bps: int
    latency_us: int
    price_micros_per_mib: int = 0


@dataclass(frozen=True, slots=True)
class FakeHold:
    """What a hold keeps, and of what."""

    placement: str
    resource: str
    amount: int


@dataclass(slots=True)
class FakePeers:
    """`Peers`: a test writes the fields; a hold stands as long as its key does and its placement has not ended."""

    accounting_store: Store
    network_store: Store
    transport_store: Store
    accounts: dict[str, account_pb2.Account] = field(default_factory=dict)
    datasets: dict[str, dataset_pb2.Dataset] = field(default_factory=dict)
    wires: dict[str, Wire] = field(default_factory=dict)
    price_micros_per_cpu_s: dict[str, int] = field(default_factory=dict)
    """By price book."""
    charged: dict[str, int] = field(default_factory=dict)
    """By job."""
    reporting: set[str] = field(default_factory=set)
    """Pools whose agents report."""
    reports: dict[str, pool_pb2.PoolState] = field(default_factory=dict)
    """What they report; plenty where nothing is said."""
    holds: dict[str, FakeHold] = field(default_factory=dict)
    refusals: dict[str, list[Exception]] = field(default_factory=dict)
    """By method: what the next calls end with, a refusal or a defect."""
    calls: list[str] = field(default_factory=list)
    logs: dict[str, bytes] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    """Sites whose connections stand and that answer nothing, as a machine that has frozen."""

    async def pool_states(self, resume_token: str) -> registry.ReadPoolStatesResponse:
        """What a test has put there: all of it each time, as of a registry whose leader is always another."""
        self._called("pool_states")
        plenty = capacity_pb2.Capacity(scratch_bytes=1 << 50)
        states = [self.reports.get(pool, pool_pb2.PoolState(name=pool, free=plenty)) for pool in self.reporting]
        return registry.ReadPoolStatesResponse(reset=True, states=states)

    async def account(self, name: str) -> account_pb2.Account:
        """The account with what stands held of it."""
        self._called("account")
        if name not in self.accounts:
            raise NotFound("ACCOUNT_UNKNOWN", f"no account {name}", domain="accounting.suanmesh", name=name)
        account = account_pb2.Account()
        account.CopyFrom(self.accounts[name])
        account.held_micros = await self.standing(name)
        return account

    async def spent(self, account: str, job: str) -> int:
        """What a test says it was charged."""
        self._called("spent")
        return self.charged.get(job, 0)

    async def dataset(self, name: str) -> dataset_pb2.Dataset:
        """A dataset a test has put there."""
        self._called("dataset")
        dataset, _ = versioned(name)
        if dataset not in self.datasets:
            raise NotFound("DATASET_UNKNOWN", f"no dataset {name}", domain="transport.suanmesh", name=name)
        return self.datasets[dataset]

    async def links(self) -> Sequence[link_pb2.Link]:
        """The wires as links, one for each direction."""
        self._called("links")
        return [
            link_pb2.Link(
                name=name, source=source, target=target, owner="parties/carrier", capacity_bps=each.capacity_bps
            )
            for each in self.wires.values()
            for name, (source, target) in zip(
                (each.name, f"{each.name}-back"), permutations(sorted(each.ends)), strict=True
            )
        ]

    async def find_paths(self, queries: Sequence[network.PathQuery]) -> network.FindPathsResponse:
        """Direct wires only: the cheapest, then the fastest within the bounds."""
        self._called("find_paths")
        return network.FindPathsResponse(results=[await self._path(query) for query in queries], revision=1)

    async def quote(self, asks: Sequence[accounting.QuoteAsk]) -> Sequence[accounting.QuoteResult]:
        """Processor time times the book's price."""
        self._called("quote")
        return [self._quote(ask) for ask in asks]

    async def hold_money(self, asks: Sequence[accounting.HoldAsk]) -> Sequence[Hold | Refusal]:
        """Hold while the balance covers it."""
        self._called("hold_money")
        return [await _attempt(self._hold_money, ask) for ask in asks]

    async def hold_paths(self, asks: Sequence[network.PathAsk]) -> Sequence[Hold | Refusal]:
        """Hold while the wire has it."""
        self._called("hold_paths")
        return [await _attempt(self._hold_path, ask) for ask in asks]

    async def create_transfers(self, asks: Sequence[transport.TransferAsk]) -> Sequence[transfer_pb2.Transfer]:
        """Documents in the store, each made once."""
        self._called("create_transfers")
        return [await self._transfer(ask) for ask in asks]

    async def read_log(
        self, address: str, site: str, request: agent_service_pb2.ReadLogRequest
    ) -> AsyncGenerator[agent_service_pb2.ReadLogResponse, None]:
        """What a test has put there for the placement, with the number of a run that is named."""
        placement = request.placement
        if site in self.silent:
            await asyncio.Event().wait()
        if placement not in self.logs:
            raise FailedPrecondition("LOG_NOT_READY", f"{placement} has no log at {site} ({address})")
        content = self.logs[placement] + (b"(end)" if request.follow else b"")
        if request.resume_token:
            content = content[int(request.resume_token) :]
        yield agent_service_pb2.ReadLogResponse(content=content, resume_token=str(len(self.logs[placement])))
        if request.HasField("retry"):
            yield agent_service_pb2.ReadLogResponse(content=f"(run {request.retry})".encode())

    async def let_go(self) -> None:
        """Drop the keys of the holds of ended placements, as their owners do."""
        for key, hold in list(self.holds.items()):
            if not await self._stands(key, hold):
                owner = self.accounting_store if key.split("/")[-2] == "accounting" else self.network_store
                await owner.delete_tokens([key])

    async def standing(self, resource: str = "") -> int:
        """How much stands held, of one resource or in all."""
        return sum([
            hold.amount
            for key, hold in list(self.holds.items())
            if (not resource or hold.resource == resource) and await self._stands(key, hold)
        ])  # fmt: skip

    async def _hold_money(self, ask: accounting.HoldAsk) -> Hold:
        account = await self.account(ask.account)
        if ask.amount_micros > account.balance_micros - account.held_micros:
            raise ResourceExhausted("BALANCE_INSUFFICIENT", f"{ask.account} does not cover it", name=ask.account)
        key = hold_key(ask.placement, "accounting", ask.index)
        token = await Holds(self.accounting_store).put(ask.placement, ask.index, b"{}", ask.attachment)
        self.holds[key] = FakeHold(ask.placement, ask.account, ask.amount_micros)
        return Hold(f"holds/{last(ask.placement)}-{ask.index}", token)

    async def _hold_path(self, ask: network.PathAsk) -> Hold:
        query = network.PathQuery(
            source=ask.source, target=ask.target, min_bandwidth_bps=ask.rate_bps, max_latency_us=ask.max_latency_us
        )
        found = await self._path(query)
        if not found.HasField("path"):
            message = f"no path has {ask.rate_bps} bit/s"
            raise ResourceExhausted("BANDWIDTH_EXHAUSTED", message, link=found.obstacle.link)
        key = hold_key(ask.placement, "network_orchestrator", ask.index)
        token = await Holds(self.network_store).put(ask.placement, ask.index, b"{}", ask.attachment)
        self.holds[key] = FakeHold(ask.placement, found.path.links[0], ask.rate_bps)
        return Hold(f"reservations/{last(ask.placement)}-{ask.index}", token)

    def _called(self, method: str) -> None:
        self.calls.append(method)
        if self.refusals.get(method):
            raise self.refusals[method].pop(0)

    async def _stands(self, key: str, hold: FakeHold) -> bool:
        placement = await self.transport_store.get(PLACEMENTS, hold.placement)
        ended = placement is not None and wire.placement_state(placement.message) in PLACEMENT_ENDS
        return not ended and await self.accounting_store.get_token(key) is not None

    async def _path(self, query: network.PathQuery) -> network.PathResult:
        ends = frozenset({query.source, query.target})
        between = [(each, each.capacity_bps - await self.standing(each.name)) for each in self.wires.values()]
        between = [(each, left_bps) for each, left_bps in between if each.ends == ends]
        if not between:
            kind = network.PathObstacle.KIND_DISCONNECTED
            return network.PathResult(obstacle=network.PathObstacle(kind=kind))
        wide = [(each, left_bps) for each, left_bps in between if left_bps >= query.min_bandwidth_bps]
        if not wide:
            widest, left_bps = max(between, key=lambda pair: (pair[1], pair[0].name))
            kind = network.PathObstacle.KIND_BANDWIDTH
            obstacle = network.PathObstacle(kind=kind, link=widest.name, available_bps=left_bps)
            return network.PathResult(obstacle=obstacle)
        near = [pair for pair in wide if not query.max_latency_us or pair[0].latency_us <= query.max_latency_us]
        if not near:
            least = min(each.latency_us for each, _ in wide)
            kind = network.PathObstacle.KIND_LATENCY
            return network.PathResult(obstacle=network.PathObstacle(kind=kind, least_latency_us=least))
        best, left_bps = min(near, key=lambda pair: (pair[0].price_micros_per_mib, pair[0].latency_us, pair[0].name))
        path = reservation_pb2.Path(
            links=[best.name],
            latency_us=best.latency_us,
            available_bps=left_bps,
            narrowest_link=best.name,
            price_micros_per_mib=best.price_micros_per_mib,
        )
        return network.PathResult(path=path)

    def _quote(self, ask: accounting.QuoteAsk) -> accounting.QuoteResult:
        price = self.price_micros_per_cpu_s.get(ask.price_book)
        if price is None:
            unknown = NotFound("PRICE_UNKNOWN", f"no price book {ask.price_book}", name=ask.price_book)
            return accounting.QuoteResult(error=status_of(unknown, area="accounting"))
        cpu_us = sum(reading.quantity for reading in ask.readings if reading.meter == money_pb2.METER_CPU_US)
        result = accounting.QuoteResult()
        result.quote.amount_micros = price * cpu_us // MILLION
        return result

    async def _transfer(self, ask: transport.TransferAsk) -> transfer_pb2.Transfer:
        name = f"transfers/{ask.transfer_id}"
        standing = await self.transport_store.get(TRANSFERS, name)
        if standing is not None:
            return standing.message
        transfer = transfer_pb2.Transfer(
            name=name,
            dataset=ask.dataset,
            source=ask.source,
            target=ask.target,
            placement=ask.placement,
            purpose=ask.purpose,
            reservation=ask.reservation,
            rate_bps=ask.rate_bps,
            account=ask.account,
            state=transfer_pb2.Transfer.STATE_PENDING,
        )
        await self.transport_store.commit(Create(TRANSFERS, name, transfer))
        return transfer


async def _attempt(hold: Callable[[A], Awaitable[Hold]], ask: A) -> Hold | Refusal:
    try:
        return await hold(ask)
    except Refusal as refusal:
        return refusal
