"""A whole node in one process: six services, their sites, their users, and who pays for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from suanmesh.registry.v1 import pool_pb2
from suanmesh.registry.v1 import registry_service_pb2 as registry_pb
from suanmesh_accounting import main as accounting
from suanmesh_accounting.settings import AccountingSettings
from suanmesh_agent.engines.memory import MemoryEngine
from suanmesh_chassis.ca import server_name
from suanmesh_chassis.identity import service_id, user_id
from suanmesh_chassis.memory_network import Links, MemoryNetwork
from suanmesh_fake.keyspace import ProcessKeys
from suanmesh_fake.processes import NODE, Host, ServiceProcess, authority
from suanmesh_fake.sites import SiteProcess
from suanmesh_gateway import main as gateway
from suanmesh_gateway.settings import GatewaySettings
from suanmesh_kernel.clock import Clock, seeded_rng
from suanmesh_kernel.refusals import Refusal
from suanmesh_local import founding, world
from suanmesh_network_orchestrator import main as network_orchestrator
from suanmesh_network_orchestrator.settings import NetworkOrchestratorSettings
from suanmesh_registry import main as registry
from suanmesh_registry.settings import RegistrySettings
from suanmesh_scheduler import main as scheduler
from suanmesh_scheduler.settings import SchedulerSettings
from suanmesh_sdk import Mesh, Tls
from suanmesh_sdk.invites import bearer_tls
from suanmesh_sdk.resolver import OneAddress
from suanmesh_transport import main as transport
from suanmesh_transport.settings import TransportSettings

EngineOf = Callable[[str, Clock, Callable[[], float]], MemoryEngine]
"""Makes the engine of a site: of its name, its clock, and until when of its monotonic time it may run tasks."""
GATEWAY = "127.0.0.1:7000"
SECOND = "2"
"""What the second instance of a service has behind its name."""
LOOK_AGAIN_S = 0.5
READY_S_MAX = 120.0


class NotReady(Exception):
    """The node did not come up."""


class InProcessNode:
    """The node; use it as an async context manager. Every process of it has certificates, and the wire is memory."""

    def __init__(
        self, folder: Path, seed: int, *, clock: Clock, keys: Callable[[str], ProcessKeys], engine: EngineOf,
        sites: int = 3, cores: int = 4, standbys: Sequence[str] = (), links: Links | None = None,
        own_clock: Callable[[], Clock] | None = None, settings: Mapping[str, object] | None = None,
    ) -> None:  # fmt: skip
        """`keys` opens the keyspace for the process of that name, `engine` makes the engine of a site.

        Of the services named in `standbys` there are two instances. `own_clock` is that of one process,
        `settings` are those of services, by area, that do not run with their own.
        """
        self.folder = folder
        self.clock = clock
        self.authority = authority(clock.now())
        self.rng = seeded_rng(seed)
        self.network = MemoryNetwork(links)
        self.places = world.places(sites)
        self._own_clock = own_clock or (lambda: clock)
        self._keys, self._engine = keys, engine
        self._settings = settings or {}
        self.authority.ca.save(folder / "ca")
        self.services = {area: self._service(area, area) for area in _BUILDS}
        self.services |= {f"{area}{SECOND}": self._service(area, f"{area}{SECOND}") for area in standbys}
        self.sites = {place.site: self._site(place, number, cores) for number, place in enumerate(self.places)}
        self._meshes: list[Mesh] = []

    def mesh(self, party: str, user: str) -> Mesh:
        """The mesh as a user calls it."""
        shown = self.authority.issued(user_id(NODE, party, user))
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
            await self._until(place.site, partial(self._site_ready, operator, place.site))
        await founding.let_publish(operator, self.places)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for mesh in self._meshes:
            await mesh.close()
        for site in self.sites.values():
            await site.kill()
        for service in self.services.values():
            await service.kill()

    @property
    def faults(self) -> list[str]:
        """What processes have died of by themselves."""
        supervised = [service.supervised for service in self.services.values()]
        supervised += [site.supervised for site in self.sites.values()]
        return [f"{each.name} died of {fault!r}" for each in supervised for fault in each.faults]

    def _service(self, area: str, name: str) -> ServiceProcess:
        """Instances of one service share its folder, as they share a database."""
        build, settings = _BUILDS[area]
        host = Host(
            self.authority, name, service_id(NODE, area), (server_name(NODE, area),), self.folder / area, self.network
        )
        listen = GATEWAY if area == "gateway" else "127.0.0.1:0"

        keys = partial(self._keys, name)
        own = self._settings.get(area) or settings(self.folder)
        return ServiceProcess(area, host, listen, build, own, self._own_clock(), self.rng, keys)

    def _site(self, place: world.Place, number: int, cores: int) -> SiteProcess:
        folder, clock = self.folder / place.site, self._own_clock()
        return SiteProcess(
            place, number, cores, folder, self.network, clock, self.rng, authority=self.authority, engine=self._engine
        )

    def _mesh(self, host: str, tls: Tls, address: str) -> Mesh:
        dial = self.network.of(host).dial(tls, read_ahead_bytes=None)
        mesh = Mesh(node=NODE, tls=tls, resolver=OneAddress(address), via="gateway", dial=dial, rng=self.rng)
        self._meshes.append(mesh)
        return mesh

    async def _join(self, operator: Mesh, place: world.Place) -> None:
        request = registry_pb.CreateJoinTokenRequest(party=f"parties/{place.provider}")
        token = await operator.registry.CreateJoinToken(request)
        shown = bearer_tls(self.authority.ca.pem, token.certificate_der, token.key)
        await self.sites[place.site].join(self._mesh(place.site, shown, GATEWAY), token.token)

    async def _site_ready(self, operator: Mesh, site: str) -> None:
        answer = await operator.registry.SearchPools(registry_pb.SearchPoolsRequest())
        own = [each for each in answer.pools if each.pool.name.startswith(f"sites/{site}/")]
        if not any(each.HasField("state") and each.pool.phase == pool_pb2.Pool.PHASE_ACTIVE for each in own):
            raise NotReady(site)

    async def _until(self, what: str, done: Callable[[], Awaitable[None]]) -> None:
        try:
            async with asyncio.timeout(READY_S_MAX):
                while True:
                    try:
                        await done()
                        return
                    except (Refusal, NotReady):
                        await asyncio.sleep(LOOK_AGAIN_S)
        except TimeoutError as late:
            raise NotReady(f"{what} did not come up; {self.faults}") from late


_BUILDS: dict[str, tuple[Any, Callable[[Path], Any]]] = {
    "gateway": (gateway.build, lambda _: GatewaySettings()),
    "registry": (registry.build, lambda folder: RegistrySettings(ca_dir=folder / "ca")),
    "accounting": (accounting.build, lambda _: AccountingSettings()),
    "network_orchestrator": (network_orchestrator.build, lambda _: NetworkOrchestratorSettings()),
    "transport": (transport.build, lambda _: TransportSettings()),
    "scheduler": (scheduler.build, lambda _: SchedulerSettings()),
}
