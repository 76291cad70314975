"""A gateway that carries calls to a site that listens nowhere, for tests of what is the same by either way."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from suanmesh.agent.v1.agent_service_pb2 import EchoRequest
from suanmesh.agent.v1.agent_service_pb2_grpc import AgentServiceStub
from suanmesh.registry.v1 import registry_service_pb2 as registry_pb
from suanmesh.registry.v1 import site_pb2
from suanmesh_agent.relayed_data_plane import RelayedDataPlane
from suanmesh_chassis import Call, Forwarded, Served
from suanmesh_chassis.ca import server_name
from suanmesh_chassis.identity import agent_id, service_id
from suanmesh_chassis.parts import Listener
from suanmesh_chassis.process import Process
from suanmesh_chassis.revocations import Refused
from suanmesh_chassis.service_server import ServiceServer, serve_alone
from suanmesh_chassis.testing import NODE, LoopbackNode
from suanmesh_gateway.contracts import RELAYED, SITES
from suanmesh_gateway.data_planes import DataPlanes
from suanmesh_gateway.relay import Relay
from suanmesh_gateway.relay_service import RelayService
from suanmesh_gateway.site_forwarder import SiteForwarder
from suanmesh_kernel.addresses import RELAY
from suanmesh_sdk import Mesh
from suanmesh_sdk.kept_gateways import KeptGateways
from suanmesh_sdk.resolver import OneAddress
from tests.service.agent.test_links_are_probed import only

NOTHING_LEARNED = Path("/nonexistent/gateways")
REGISTRY = registry_pb.DESCRIPTOR.services_by_name["RegistryService"]


class _Registry:
    """Every site only dials out."""

    async def GetSite(self, request: registry_pb.GetSiteRequest, call: Call) -> site_pb2.Site:
        return site_pb2.Site(name=request.name, data_endpoint=RELAY)


class RelayGateway:
    """A gateway of a node, which can be stopped and started again at its address, and sites that dial it."""

    def __init__(self, node: LoopbackNode, *, stream_stall_s: float = 20.0) -> None:
        names = [server_name(NODE, area) for area in ("gateway", "registry")]
        self.node = node
        self.relay = Relay()
        self.address = "127.0.0.1:0"
        self._process = node.process("gateway", dns_names=names, stream_stall_s=stream_stall_s)
        self._server: ServiceServer | None = None
        self._sites: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Serve, holding no stream of any site."""
        self.relay = Relay()
        self._server = ServiceServer(self._process)
        mesh = self.node.mesh("", caller=service_id(NODE, "gateway"), resolver=_Behind(self))
        sites = SiteForwarder(mesh, SITES, DataPlanes(mesh, self.node.clock), self.relay)
        parts: list[Served | Forwarded] = [
            Served(RELAYED, RelayService(self.relay), relays=True),
            Forwarded(SITES, sites, reads_ahead=True),
            only(_Registry(), REGISTRY),
        ]
        await self._server.place(parts)
        self.address = await self._server.listen(Listener(self.address))

    async def stop(self) -> None:
        """Break everything off."""
        if self._server is not None:
            await self._server.stop(0)

    async def connect(
        self,
        process: Process,
        parts: Sequence[Served],
        site: str = "sites/a",
        known: KeptGateways | None = None,
        *,
        refused: Refused | None = None,
    ) -> None:
        """Have a site dial, in the place of the one before; this gateway alone, or all that it knows."""
        await self.disconnect()
        server = await serve_alone(process, parts, refused)
        known = known or KeptGateways(self.address, NOTHING_LEARNED)
        data_plane = RelayedDataPlane(site, process, known, server)
        self._sites.append(asyncio.get_running_loop().create_task(data_plane.run()))

    async def connected(self, site: str = "sites/a") -> None:
        """Wait until calls reach the site."""
        await self.stub(agent_id(NODE, "b"), site).Echo(EchoRequest(), timeout=60)

    async def disconnect(self) -> None:
        """Have the sites gone."""
        for task in self._sites:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        self._sites.clear()

    def stub(self, caller: str, site: str = "sites/a") -> AgentServiceStub:
        """The data plane of a site, called by whoever would dial it."""
        return self.mesh(caller).agent(RELAY, site=site)

    def mesh(self, caller: str) -> Mesh:
        """What is behind the gateway."""
        return self.node.mesh(self.address, caller=caller)

    def user(self, caller: str) -> Any:
        """The data planes of all sites, as a user reaches them."""
        issued = self.node.mesh("", caller=caller, resolver=OneAddress(self.address))
        return AgentServiceStub(issued.channel("gateway").as_grpc())

    async def __aenter__(self) -> RelayGateway:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.disconnect()
        await self.stop()


class _Behind:
    """The registry of the gateway is at the gateway's own address."""

    def __init__(self, gateway: RelayGateway) -> None:
        self._gateway = gateway

    def instances(self, area: str) -> Any:
        return OneAddress(self._gateway.address).instances(area)

    others = instances

    async def changed(self, area: str) -> None:
        await asyncio.Event().wait()
