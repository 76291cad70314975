"""A whole node in one process on virtual time: six services, their sites, their users, and who pays for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, Self

from scenario.findings import Findings
from scenario.keyspace import ProcessKeys
from scenario.processes import NODE, Host, ServiceProcess, authority, issued
from scenario.sites import SiteProcess
from scenario.virtual_time import LoopClock
from scenario.watch import WatchedKeyspace
from suanmesh.registry.v1 import pool_pb2
from suanmesh.registry.v1 import registry_service_pb2 as registry_pb
from suanmesh_accounting import main as accounting
from suanmesh_accounting.settings import AccountingSettings
from suanmesh_chassis.ca import server_name
from suanmesh_chassis.identity import service_id, user_id
from suanmesh_chassis.memory_network import Links, MemoryNetwork
from suanmesh_gateway import main as gateway
from suanmesh_gateway.settings import GatewaySettings
from suanmesh_kernel.clock import seeded_rng
from suanmesh_kernel.refusals import Refusal
from suanmesh_local import founding, world
from suanmesh_network_orchestrator import main as network_orchestrator
from suanmesh_network_orchestrator.settings import NetworkOrchestratorSettings
from suanmesh_registry import main as registry
from suanmesh_registry.settings import RegistrySettings
from suanmesh_scheduler import main as scheduler
from suanmesh_scheduler.settings import SchedulerSettings
from suanmesh_sdk import Mesh, Tls
from suanmesh_sdk.resolver import OneAddress
from suanmesh_transport import main as transport
from suanmesh_transport.settings import TransportSettings

GATEWAY, ENROL = "127.0.0.1:7000", "127.0.0.1:7001"
ETCD = "etcd"
"""The host that the keyspace is at."""
SECOND = "2"
"""What the second instance of a service has behind its name."""
LOOK_AGAIN_S = 0.5
READY_S_MAX = 120.0


class NotReady(Exception):
    """The node did not come up."""


class SimulatedNode:
    """The node; use it as an async context manager."""

    def __init__(
        self, folder: Path, seed: int, *, sites: int = 3, cores: int = 4, liar: str = "",
        links: Links | None = None, keys_delay_s: Callable[[], float] = lambda: 0.0,
        keys_fault: Callable[[str], str] = lambda area: "",
        standbys: Sequence[str] = (), clocks_off_s: float = 0.0,
    ) -> None:  # fmt: skip
        self.folder = folder
        self.clock = LoopClock()
        self.rng = seeded_rng(seed)
        self.network = MemoryNetwork(links)
        self.places = world.places(sites)
        self.findings = Findings(self.clock)
        room = {f"sites/{place.site}": cores * 1000 for place in self.places}
        self.keys = WatchedKeyspace(self.clock, self.findings, room)
        self._keys_delay_s, self._keys_fault = keys_delay_s, keys_fault
        authority().save(folder / "ca")
        self._clocks = Random(f"{seed} clocks")
        self._clocks_off_s = clocks_off_s
        self.services = {area: self._service(area, area) for area in _BUILDS}
        self.services |= {f"{area}{SECOND}": self._service(area, f"{area}{SECOND}") for area in standbys}
        self.sites = {
            place.site: self._site(place, number, cores, lies=place.site == liar)
            for number, place in enumerate(self.places)
        }
        self._meshes: list[Mesh] = []

    def mesh(self, party: str, user: str) -> Mesh:
        """The mesh as a user calls it."""
        shown = issued(user_id(NODE, party, user))
        return self._mesh("users", Tls(ca=shown.ca, cert=shown.certificate, key=shown.key), GATEWAY)

    async def __aenter__(self) -> Self:
        for service in self.services.values():
            service.start()
        operator = self.mesh("operator", "olga")
        await self._until("the services", lambda: founding.found(operator, self.places))
        for place in self.places:
            await self._join(operator, place)
            self.sites[place.site].start()
        for place in self.places:
            await self._until(place.site, lambda place=place: self._site_ready(operator, place.site))
        await founding.let_publish(operator, self.places)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for mesh in self._meshes:
            await mesh.close()
        for process in (*self.sites.values(), *self.services.values()):
            await process.kill()

    @property
    def faults(self) -> list[str]:
        """What processes have died of by themselves."""
        supervised = [each.supervised for each in (*self.services.values(), *self.sites.values())]
        return [f"{each.name} died of {fault!r}" for each in supervised for fault in each.faults]

    def _own_clock(self) -> LoopClock:
        return LoopClock(off_s=self._clocks.uniform(-self._clocks_off_s, self._clocks_off_s))

    def _service(self, area: str, name: str) -> ServiceProcess:
        """Instances of one service share its folder, as they share a database."""
        build, settings = _BUILDS[area]
        host = Host(name, service_id(NODE, area), (server_name(NODE, area),), self.folder / area, self.network)
        listen = GATEWAY if area == "gateway" else "127.0.0.1:0"

        def keys() -> ProcessKeys:
            cut = partial(self.network.is_cut, name, ETCD)
            return ProcessKeys(self.keys, self._keys_delay_s, partial(self._keys_fault, name), cut)

        return ServiceProcess(area, host, listen, build, settings(self.folder), self._own_clock(), self.rng, keys)

    def _site(self, place: world.Place, number: int, cores: int, *, lies: bool) -> SiteProcess:
        folder, clock = self.folder / place.site, self._own_clock()
        return SiteProcess(place, number, cores, folder, self.network, clock, self.rng, lies=lies)

    def _mesh(self, host: str, tls: Tls, address: str) -> Mesh:
        dial = self.network.of(host).dial(tls, read_ahead_bytes=None)
        mesh = Mesh(node=NODE, tls=tls, resolver=OneAddress(address), via="gateway", dial=dial, rng=self.rng)
        self._meshes.append(mesh)
        return mesh

    async def _join(self, operator: Mesh, place: world.Place) -> None:
        request = registry_pb.CreateJoinTokenRequest(party=f"parties/{place.provider}")
        token = await operator.registry.CreateJoinToken(request)
        bare = self._mesh(place.site, Tls(ca=authority().pem), ENROL)
        await self.sites[place.site].join(bare, token.token)

    async def _site_ready(self, operator: Mesh, site: str) -> None:
        answer = await operator.registry.SearchPools(registry_pb.SearchPoolsRequest())
        own = [each for each in answer.pools if each.pool.name.startswith(f"sites/{site}/")]
        if not any(each.HasField("state") and each.pool.phase == pool_pb2.Pool.PHASE_ACTIVE for each in own):
            raise NotReady(site)

    async def _until(self, what: str, done: Callable[[], Any]) -> None:
        try:
            async with asyncio.timeout(READY_S_MAX):
                while True:
                    try:
                        return await done()
                    except (Refusal, NotReady):
                        await asyncio.sleep(LOOK_AGAIN_S)
        except TimeoutError as late:
            raise NotReady(f"{what} did not come up; {self.faults}") from late


_BUILDS: dict[str, tuple[Any, Callable[[Path], Any]]] = {
    "gateway": (gateway.build, lambda _: GatewaySettings(enrol_listen=ENROL)),
    "registry": (registry.build, lambda folder: RegistrySettings(ca_dir=folder / "ca")),
    "accounting": (accounting.build, lambda _: AccountingSettings()),
    "network_orchestrator": (network_orchestrator.build, lambda _: NetworkOrchestratorSettings()),
    "transport": (transport.build, lambda _: TransportSettings()),
    "scheduler": (scheduler.build, lambda _: SchedulerSettings()),
}
