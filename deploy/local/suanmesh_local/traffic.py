"""Calls of every service that is led, reads and writes, at a steady pace: what restarts and deaths cost callers."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from suanmesh.accounting.v1 import accounting_service_pb2 as accounting
from suanmesh.network_orchestrator.v1 import link_pb2
from suanmesh.network_orchestrator.v1 import network_orchestrator_service_pb2 as network
from suanmesh.registry.v1 import party_pb2
from suanmesh.registry.v1 import registry_service_pb2 as registry
from suanmesh.scheduler.v1 import scheduler_service_pb2 as scheduler
from suanmesh.transport.v1 import transport_service_pb2 as transport
from suanmesh.type.v1 import money_pb2
from suanmesh_kernel.refusals import Refusal
from suanmesh_local import trials, world
from suanmesh_sdk import Mesh

PACE_S = 0.02
"""Between two calls: 50 a second of all services together."""
LINKS = 64
"""How many are declared in turn: of two calls that change one at the same time one is refused, and rightly so."""
NOWHERE_MILLI = 9_000_000
"""More cores than any site has: the job waits until it is cancelled."""
Act = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Made:
    """One call: of which service, when it began and what became of it."""

    area: str
    writes: bool
    begun: float
    """On `time.monotonic`, as `ended`."""
    ended: float
    refusal: Refusal | None


@dataclass(slots=True)
class Acknowledged:
    """Writes that were answered, and so must be there whatever dies."""

    parties: list[str] = field(default_factory=list)
    jobs: list[str] = field(default_factory=list)
    credits: int = 0
    """How often a millionth was paid into the consumer's account."""


class Traffic:
    """Calls as a user and as the operator, each begun when its turn comes, whatever becomes of those before."""

    def __init__(self, user: Mesh, operator: Mesh, *, pace_s: float = PACE_S, deadline_s: float | None = None) -> None:
        """`deadline_s` is each call's; without it the SDK's own."""
        self._deadline_s = deadline_s
        self._user = user
        self._operator = operator
        self._pace_s = pace_s
        self._numbers = itertools.count()
        self._began = time.time_ns()
        self.made: list[Made] = []
        self.acknowledged = Acknowledged()
        self.reads: dict[str, Act] = {
            "registry": lambda: operator.registry.ListSites(registry.ListSitesRequest(), timeout=self._deadline_s),
            "network_orchestrator": lambda: operator.network_orchestrator.ListReservations(
                network.ListReservationsRequest(), timeout=self._deadline_s
            ),
            "transport": lambda: user.transport.ListDatasets(transport.ListDatasetsRequest(), timeout=self._deadline_s),
            "scheduler": lambda: user.scheduler.ListJobs(
                scheduler.ListJobsRequest(page_size=10), timeout=self._deadline_s
            ),
        }
        """Of services of which any instance answers them."""
        self.writes: dict[str, Act] = {
            "registry": self._party,
            "network_orchestrator": self._link,
            "transport": self._transfer,
            "scheduler": self._job,
            "accounting": self._credit,
        }

    @asynccontextmanager
    async def flowing(self, *, writes: bool = True) -> AsyncIterator[None]:
        """With calls going on, reads and writes or reads alone; at the end those under way are waited for."""
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._flow(stop, writes))
            try:
                yield
            finally:
                stop.set()

    async def one(self, area: str, *, writes: bool) -> Made:
        """Make one call, and keep what became of it."""
        begun, refused = time.monotonic(), None
        try:
            await self._acts(writes=writes)[area]()
        except Refusal as refusal:
            refused = refusal
        self.made.append(Made(area, writes, begun, time.monotonic(), refused))
        return self.made[-1]

    @property
    def failed(self) -> list[Made]:
        """The calls that were refused."""
        return [made for made in self.made if made.refusal is not None]

    async def _flow(self, stop: asyncio.Event, writes: bool) -> None:
        kinds = (False, True) if writes else (False,)
        turns = itertools.cycle([(area, kind) for kind in kinds for area in self._acts(writes=kind)])
        async with asyncio.TaskGroup() as calls:
            while not stop.is_set():
                area, kind = next(turns)
                calls.create_task(self.one(area, writes=kind))
                await asyncio.sleep(self._pace_s)

    def _acts(self, *, writes: bool) -> dict[str, Act]:
        return self.writes if writes else self.reads

    def _name(self) -> str:
        return f"t{self._began:x}-{next(self._numbers)}"

    async def _party(self) -> None:
        party = party_pb2.Party(kind=party_pb2.Party.KIND_CONSUMER, display_name="traffic", currency=world.CURRENCY)
        request = registry.CreatePartyRequest(party_id=self._name(), party=party)
        made = await self._operator.registry.CreateParty(request, timeout=self._deadline_s)
        self.acknowledged.parties.append(made.name)

    async def _link(self) -> None:
        number = next(self._numbers)
        price = money_pb2.Price(
            meter=money_pb2.METER_TRANSFER_BYTES, amount_micros=1 + number, per_quantity=world.MEBIBYTE
        )
        link = link_pb2.Link(
            name=f"links/traffic-{number % LINKS}", source="exchanges/a", target="exchanges/b", capacity_bps=10**9,
            latency_us=1000,
            price=price, owner=f"parties/{world.CARRIER}", **{"class": link_pb2.Link.CLASS_INTER},  # type: ignore[arg-type]
        )  # fmt: skip
        await self._operator.network_orchestrator.DeclareLinks(
            network.DeclareLinksRequest(links=[link]), timeout=self._deadline_s
        )

    async def _transfer(self) -> None:
        """One of a dataset that is not there: what it is answered is remembered."""
        ask = transport.TransferAsk(dataset=f"datasets/{self._name()}", target="sites/nowhere")
        await self._user.transport.CreateTransfers(
            transport.CreateTransfersRequest(items=[ask]), timeout=self._deadline_s
        )

    async def _job(self) -> None:
        described = trials.job("", cpu_milli=NOWHERE_MILLI)
        name = await trials.submit(self._user, self._name(), described, timeout=self._deadline_s)
        self.acknowledged.jobs.append(name)
        await trials.cancel(self._user, name, timeout=self._deadline_s)

    async def _credit(self) -> None:
        request = accounting.CreditAccountRequest(name=f"accounts/{world.CONSUMER}", amount_micros=1)
        await self._operator.accounting.CreditAccount(request, timeout=self._deadline_s)
        self.acknowledged.credits += 1
