"""The network orchestrator as its main builds it, behind the real wrapper, over the store's twin in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from suanmesh.network_orchestrator.v1 import link_pb2
from suanmesh.network_orchestrator.v1 import network_orchestrator_service_pb2 as pb
from suanmesh.scheduler.v1.placement_pb2 import Placement
from suanmesh_chassis import Common, ServiceContext
from suanmesh_chassis.identity import agent_id, service_id
from suanmesh_chassis.testing import NODE, OPERATOR, USER, LoopbackNode, parts_of_leader
from suanmesh_kernel.clock import HandClock, seeded_rng
from suanmesh_network_orchestrator.main import build
from suanmesh_network_orchestrator.settings import NetworkOrchestratorSettings
from suanmesh_sdk import Mesh
from suanmesh_store import Create, Kind, MemoryKeyspace, MemoryStore, Update, confirmed
from suanmesh_store.layout import BOOKINGS, PLACEMENTS, RESERVATIONS, M, holds_of
from suanmesh_store.store import KeyspaceStore

AREA = "network_orchestrator"
PATIENCE_S = 60.0
LIVE = frozenset(
    (
        Placement.STATE_COMMITTED,
        Placement.STATE_ACCEPTED,
        Placement.STATE_STAGING,
        Placement.STATE_RUNNING,
        Placement.STATE_DELIVERING,
    )
)
Stores = Callable[[str], KeyspaceStore]


@dataclass
class Net:
    """A running network orchestrator and everybody who talks to it."""

    store: KeyspaceStore
    stores: Stores
    clock: HandClock
    address: str
    node: LoopbackNode

    @property
    def operator(self) -> Mesh:
        return self.node.mesh(self.address, caller=OPERATOR)

    @property
    def user(self) -> Mesh:
        return self.node.mesh(self.address, caller=USER)

    @property
    def scheduler(self) -> Mesh:
        return self.node.mesh(self.address, caller=service_id(NODE, "scheduler"))

    def agent(self, site: str) -> Mesh:
        return self.node.mesh(self.address, caller=agent_id(NODE, site))

    async def declare(self, *links: link_pb2.Link) -> list[link_pb2.Link]:
        answer = await self.operator.network_orchestrator.DeclareLinks(pb.DeclareLinksRequest(links=links))
        return list(answer.links)

    async def reserve(self, placement: str, rate_bps: int, attachment: str, **more: int) -> pb.PathHoldResult:
        ask = pb.PathAsk(
            placement=f"placements/{placement}", attachment=attachment, source="sites/a", target="sites/b",
            rate_bps=rate_bps, **more,
        )  # fmt: skip
        answer = await self.scheduler.network_orchestrator.ReservePaths(pb.ReservePathsRequest(items=[ask]))
        return answer.results[0]

    async def commit_placement(self, placement: str, hold: pb.PathHold, *, site: str = "b") -> None:
        """As the scheduler does it: confirm the hold and write the placement, all at once."""
        message = Placement(
            name=f"placements/{placement}", party="parties/acme", site=f"sites/{site}", holds=[hold.reservation.name],
            reservation=hold.reservation.name, state=Placement.STATE_COMMITTED,
        )  # fmt: skip
        await self.stores("scheduler").commit(confirmed(hold.token), Create(PLACEMENTS, message.name, message))

    async def move_placement(self, placement: str, state: Placement.State.ValueType, *transfers: str) -> None:
        scheduler = self.stores("scheduler")
        held = await scheduler.get(PLACEMENTS, f"placements/{placement}")
        assert held is not None
        message = Placement()
        message.CopyFrom(held.message)
        message.state = state
        if state not in LIVE:
            message.end_time.FromDatetime(self.clock.now())
        delivers = state == Placement.STATE_DELIVERING
        (message.output_transfers if delivers else message.input_transfers).extend(transfers)
        await scheduler.commit(Update(held, message))

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

    async def until_reservation(self, placement: str, state: int) -> None:
        await self.until(RESERVATIONS, f"reservations/{placement}-0", lambda r: r is not None and r.state == state)

    async def until_token(self, placement: str, *, stands: bool) -> None:
        key = holds_of(placement)
        async with asyncio.timeout(PATIENCE_S):
            standing = await self.store.tokens(key)
            if bool(standing.tokens) is stands:
                return
            async for batch in self.store.watch_tokens(key, standing.revision):
                if any((token is not None) is stands for _, token in batch.changes):
                    return

    async def booked(self) -> dict[str, int]:
        """What is booked of each link; checked against the reservations that are not released."""
        bookings = {h.name: h.message.reserved_bps for h in (await self.store.snapshot(BOOKINGS)).held}
        live = [
            h.message for h in (await self.store.snapshot(RESERVATIONS)).held if not h.message.HasField("release_time")
        ]
        for link, reserved_bps in bookings.items():
            assert reserved_bps == sum(r.rate_bps for r in live if link in r.path.links)
        return bookings


def a_link(name: str, source: str, target: str, capacity_bps: int, latency_us: int = 10) -> link_pb2.Link:
    return link_pb2.Link(
        name=f"links/{name}", source=f"sites/{source}", target=f"sites/{target}", capacity_bps=capacity_bps,
        latency_us=latency_us, **{"class": link_pb2.Link.CLASS_INTER},
    )  # fmt: skip


@asynccontextmanager
async def running(folder: Path, stores: Stores) -> AsyncIterator[Net]:
    clock, store = HandClock(), stores(AREA)
    settings = NetworkOrchestratorSettings(resync_s=0.2)
    async with LoopbackNode(folder) as node:
        process = node.process(AREA)
        context = ServiceContext(
            area=AREA, node=NODE, settings=settings, common=Common(), clock=clock, rng=seeded_rng(2), store=store,
            mesh=node.mesh("127.0.0.1:1"), signer=process.signer, identity=process.identity, leadership=None,
            data_dir=folder,
        )  # fmt: skip
        parts = await parts_of_leader(build, context)
        async with asyncio.TaskGroup() as tasks:
            background = [tasks.create_task(task()) for task in parts.tasks]
            address = await node.serve(process, parts.servicers, requests=parts.requests)
            yield Net(store, stores, clock, address, node)
            for task in background:
                task.cancel()


@pytest.fixture
def opened(tmp_path: Path, stores: Stores) -> Callable[[], AbstractAsyncContextManager[Net]]:
    """Opens a network orchestrator; opened again it finds what the one before has left."""
    return lambda: running(tmp_path, stores)


@pytest.fixture
def opened_over(tmp_path: Path) -> Callable[[MemoryKeyspace], AbstractAsyncContextManager[Net]]:
    """Opens one over keys of its own."""
    return lambda keys: running(tmp_path, lambda area: MemoryStore(area, keys=keys))


@pytest.fixture
def link() -> Callable[..., link_pb2.Link]:
    """Makes a link between two sites."""
    return a_link
