"""What the agent says of itself for good: that it is alive and what is free, and how far the other sites are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence

import psutil
import structlog

from suanmesh.agent.v1 import agent_service_pb2 as agent_pb
from suanmesh.network_orchestrator.v1 import network_orchestrator_service_pb2 as network_pb
from suanmesh.registry.v1 import pool_pb2, site_pb2
from suanmesh.registry.v1 import registry_service_pb2 as registry_pb
from suanmesh.registry.v1.revocation_pb2 import Revocations
from suanmesh_agent import wire
from suanmesh_agent.following import follow
from suanmesh_agent.health import Health
from suanmesh_agent.permission import RunPermission
from suanmesh_chassis.hello import own_hello
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.quantities import Capacity
from suanmesh_kernel.refusals import Refusal
from suanmesh_sdk import Mesh
from suanmesh_sdk.state_reasons import reason_to
from suanmesh_sdk.values import capacity_to

log = structlog.get_logger()

STREAM_S = 600.0
"""A report stream is opened anew after so long, so that it finds its way to a new owner."""
UNACKNOWLEDGED_MAX = 5
"""Reports without an answer after which a stream counts as broken."""
ECHOES = 5
ECHO_S = 2.0
SITES_MAX = 1000
"""Sites of one page, and so probes of one report."""
PROBED_MAX = 16
"""Sites measured at once: dead ones take their full time, and must not hold up a page of a thousand one by one."""


class StateReports:
    """Keeps the site alive in the registry, and its permission to run renewed."""

    def __init__(
        self,
        mesh: Mesh,
        pool: str,
        free: Callable[[], Capacity],
        endpoint: str,
        clock: Clock,
        permission: RunPermission,
        *,
        every_s: float,
        health: Health,
        belong: Sequence[Callable[[str], None]] = (),
        refuse: Callable[[Revocations], None] = lambda revocations: None,
    ) -> None:
        """`belong` are told the node that answers, and end the reports by raising; `refuse` is told whom to refuse."""
        self._belong = belong
        self._refuse = refuse
        self._health = health
        self._mesh = mesh
        self._pool = pool
        self._free = free
        self._endpoint = endpoint
        self._clock = clock
        self._every_s = every_s
        self._permission = permission
        self._sent = 0
        self._answered = 0
        self._sent_at: dict[int, float] = {}

    async def run(self) -> None:
        """Report for good."""
        await follow("ReportState", self._stream, self._acknowledged)

    async def _stream(self) -> AsyncIterator[registry_pb.ReportStateResponse]:
        self._sent = self._answered = 0
        self._sent_at.clear()
        stream = self._mesh.registry.ReportState(self._reports(), timeout=STREAM_S)
        async for answer in stream:
            yield answer

    async def _reports(self) -> AsyncIterator[registry_pb.ReportStateRequest]:
        while self._sent - self._answered < UNACKNOWLEDGED_MAX:
            self._sent += 1
            await self._health.look()
            state = pool_pb2.PoolState(
                name=self._pool,
                free=capacity_to(self._health.really_free(self._free())),
                reason=reason_to(self._health.reason()),
                load_milli=int(psutil.getloadavg()[0] * 1000),
                cards=[wire.card_to(look) for look in self._health.cards],
            )
            state.observe_time.FromDatetime(self._clock.now())
            self._sent_at[self._sent] = self._clock.monotonic()
            hello = own_hello() if self._sent == 1 else None
            yield registry_pb.ReportStateRequest(
                sequence=self._sent, pools=[state], data_endpoint=self._endpoint, hello=hello
            )
            await asyncio.sleep(self._every_s)

    async def _acknowledged(self, answer: registry_pb.ReportStateResponse) -> None:
        """The permission counts from when the report was sent: how long it and its answer took is not known."""
        if answer.hello.node_id:
            for belong in self._belong:
                belong(answer.hello.node_id)
        if answer.HasField("refused"):
            self._refuse(answer.refused)
        self._answered = answer.sequence
        sent_at = self._sent_at.get(answer.sequence)
        if sent_at is not None and answer.run_for_ms > 0:
            self._permission.renew(sent_at, answer.run_for_ms / 1000)
        for sequence in [each for each in self._sent_at if each < answer.sequence]:
            del self._sent_at[sequence]


class LinkProbes:
    """Measures the way to the other sites' data planes."""

    def __init__(self, mesh: Mesh, site: str, clock: Clock, *, every_s: float) -> None:
        self._mesh = mesh
        self._site = site
        self._clock = clock
        self._every_s = every_s

    async def run(self) -> None:
        """Measure and report for good."""
        while True:
            try:
                await self.measure()
            except Refusal as refusal:
                log.info("probes not told", reason=refusal.reason)
            await asyncio.sleep(self._every_s)

    async def measure(self) -> None:
        """Measure the way to every other site once, and report page by page."""
        token = ""
        while True:
            request = registry_pb.ListSitesRequest(page_size=SITES_MAX, page_token=token)
            page = await self._mesh.registry.ListSites(request)
            if probes := await self._probes(page.sites):
                report = network_pb.ReportLinksRequest(site=self._site, probes=probes)
                await self._mesh.network_orchestrator.ReportLinks(report)
            token = page.next_page_token
            if not token:
                return

    async def _probes(self, sites: Iterable[site_pb2.Site]) -> list[network_pb.Probe]:
        turns = asyncio.Semaphore(PROBED_MAX)
        others = [site for site in sites if site.name != self._site and site.data_endpoint]
        async with asyncio.TaskGroup() as tasks:
            measured = [tasks.create_task(self._rtt_us(site, turns)) for site in others]
        found = ((site.name, task.result()) for site, task in zip(others, measured, strict=True))
        return [network_pb.Probe(target=name, rtt_us=rtt_us) for name, rtt_us in found if rtt_us is not None]

    async def _rtt_us(self, site: site_pb2.Site, turns: asyncio.Semaphore) -> int | None:
        """The least of several round trips; None where the site does not answer."""
        async with turns:
            stub = self._mesh.agent(site.data_endpoint, site=site.name)
            best_s = float("inf")
            for _ in range(ECHOES):
                begin = self._clock.monotonic()
                try:
                    await stub.Echo(agent_pb.EchoRequest(payload=b"probe"), timeout=ECHO_S)
                except Refusal:
                    return None
                best_s = min(best_s, self._clock.monotonic() - begin)
            return int(best_s * 1_000_000)
