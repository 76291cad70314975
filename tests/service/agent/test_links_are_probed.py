"""Measuring the way to other sites, over real channels: all of them, and a silent one holds up nobody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor import ServiceDescriptor

from suanmesh.agent.v1 import agent_service_pb2 as agent_pb
from suanmesh.network_orchestrator.v1 import network_orchestrator_service_pb2 as network_pb
from suanmesh.registry.v1 import registry_service_pb2 as registry_pb
from suanmesh.registry.v1 import site_pb2
from suanmesh_agent.reports import PROBED_MAX, LinkProbes
from suanmesh_chassis import Call, Served
from suanmesh_chassis.ca import server_name
from suanmesh_chassis.identity import agent_id
from suanmesh_chassis.testing import NODE, LoopbackNode
from suanmesh_kernel.clock import SystemClock
from suanmesh_kernel.refusals import Unimplemented

NETWORK = network_pb.DESCRIPTOR.services_by_name["NetworkOrchestratorService"]
REGISTRY = registry_pb.DESCRIPTOR.services_by_name["RegistryService"]
AGENT = agent_pb.DESCRIPTOR.services_by_name["AgentService"]


class Sites:
    """Lists sites two at a time."""

    def __init__(self, sites: list[site_pb2.Site]) -> None:
        self._sites = sites

    async def ListSites(self, request: registry_pb.ListSitesRequest, call: Call) -> registry_pb.ListSitesResponse:
        at = int(request.page_token or 0)
        token = str(at + 2) if at + 2 < len(self._sites) else ""
        return registry_pb.ListSitesResponse(sites=self._sites[at : at + 2], next_page_token=token)


class Network:
    """Keeps what was reported."""

    def __init__(self) -> None:
        self.targets: list[str] = []

    async def ReportLinks(self, request: network_pb.ReportLinksRequest, call: Call) -> network_pb.ReportLinksResponse:
        self.targets += [probe.target for probe in request.probes]
        return network_pb.ReportLinksResponse()


class Meeting:
    """Data planes that answer only once two of them are asked at the same time."""

    def __init__(self) -> None:
        self._barrier = asyncio.Barrier(2)

    async def Echo(self, request: agent_pb.EchoRequest, call: Call) -> agent_pb.EchoResponse:
        await self._barrier.wait()
        return agent_pb.EchoResponse(payload=request.payload)


def only(servicer: Any, descriptor: ServiceDescriptor) -> Served:
    """A servicer that has some of the methods; the others are refused."""

    async def not_here(request: object, call: Call) -> None:
        raise Unimplemented("METHOD_UNKNOWN", "not here")

    async def no_stream_here(request: object, call: Call) -> AsyncIterator[None]:
        raise Unimplemented("METHOD_UNKNOWN", "not here")
        yield

    for method in descriptor.methods:
        if not hasattr(servicer, method.name):
            setattr(servicer, method.name, no_stream_here if method.server_streaming else not_here)
    return Served(descriptor, servicer)


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[LoopbackNode]:
    async with LoopbackNode(tmp_path) as made:
        yield made


async def test_sites_are_measured_side_by_side_on_every_page(node: LoopbackNode) -> None:
    """A thousand sites of which some are dead took half an hour one by one; a second page was never measured."""
    meeting = Meeting()
    sites = [site_pb2.Site(name="sites/me", data_endpoint="127.0.0.1:1"), site_pb2.Site(name="sites/deaf")]
    for name in ("a", "b"):
        identity, names = agent_id(NODE, name), [f"agent.{name}.{NODE}.suanmesh"]
        process = node.process("agent", identity=identity, dns_names=names)
        address = await node.serve(process, [only(meeting, AGENT)])
        sites.append(site_pb2.Site(name=f"sites/{name}", data_endpoint=address))
    network, names = Network(), [server_name(NODE, area) for area in ("registry", "network_orchestrator")]
    parts = [only(Sites(sites), REGISTRY), only(network, NETWORK)]
    address = await node.serve(node.process("gateway", dns_names=names), parts)
    mesh = node.mesh(address, caller=agent_id(NODE, "me"))

    async with asyncio.timeout(60):
        await LinkProbes(mesh, "sites/me", SystemClock(), every_s=1).measure()

    assert network.targets == ["sites/a", "sites/b"]


async def test_only_so_many_are_measured_at_once(node: LoopbackNode) -> None:
    """Probes that crowd each other measure the crowd, not the way."""
    under_way, most = 0, 0

    class Counting:
        async def Echo(self, request: agent_pb.EchoRequest, call: Call) -> agent_pb.EchoResponse:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            for _ in range(20):
                await asyncio.sleep(0)
            under_way -= 1
            return agent_pb.EchoResponse()

    everybody = [f"s{number}" for number in range(3 * PROBED_MAX)]
    process = node.process("agent", dns_names=[f"agent.{name}.{NODE}.suanmesh" for name in everybody])
    address = await node.serve(process, [only(Counting(), AGENT)])
    sites = [site_pb2.Site(name=f"sites/{name}", data_endpoint=address) for name in everybody]
    probes = LinkProbes(node.mesh(address, caller=agent_id(NODE, "me")), "sites/me", SystemClock(), every_s=1)

    measured = await probes._probes(sites)

    assert len(measured) == len(everybody)
    assert 2 <= most <= PROBED_MAX
