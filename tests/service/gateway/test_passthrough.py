"""Connections that a gateway passes through to sites: whose they are, where they may lead, how many there may be."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path

import pytest

from suanmesh.agent.v1 import agent_service_pb2 as agent_pb
from suanmesh.agent.v1.agent_service_pb2_grpc import AgentServiceStub
from suanmesh.registry.v1 import registry_service_pb2 as registry_pb
from suanmesh.registry.v1 import site_pb2
from suanmesh_chassis import Call
from suanmesh_chassis.ca import agent_server_name
from suanmesh_chassis.identity import agent_id, service_id
from suanmesh_chassis.testing import NODE, USER, LoopbackNode
from suanmesh_gateway.contracts import OWN, SITES
from suanmesh_gateway.data_planes import DataPlanes
from suanmesh_gateway.passthrough import CONNECTIONS_OF_ADDRESS_MAX, UNKNOWN_NAME, Passthrough
from suanmesh_gateway.service import GatewayService
from suanmesh_gateway.splicing import Joined
from suanmesh_gateway.trace_store import TraceStore
from suanmesh_kernel.addresses import RELAY
from suanmesh_sdk import Mesh, data_planes
from tests.service.agent.test_links_are_probed import only
from tests.unit.gateway.test_client_hello import hello

REGISTRY = registry_pb.DESCRIPTOR.services_by_name["RegistryService"]


class Registry:
    """Knows where each site says that its data plane is."""

    def __init__(self) -> None:
        self.told: dict[str, str] = {}

    async def GetSite(self, request: registry_pb.GetSiteRequest, call: Call) -> site_pb2.Site:
        return site_pb2.Site(name=request.name, data_endpoint=self.told[request.name])


class Agent:
    """Says who calls."""

    async def ReadFiles(
        self, request: agent_pb.ReadFilesRequest, call: Call
    ) -> AsyncIterator[agent_pb.ReadFilesResponse]:
        yield agent_pb.ReadFilesResponse(manifest=call.principal.encode())


class Town:
    """A gateway that passes through, with what its node says of sites."""

    def __init__(self, node: LoopbackNode, registry: Registry, traces: TraceStore) -> None:
        self.node = node
        self.registry = registry
        self._traces = traces
        self.mesh: Mesh
        self.planes: DataPlanes
        self.through: Passthrough

    async def start(self) -> None:
        """Have a registry and the listener."""
        address = await self.node.serve(self.node.process("registry"), [only(self.registry, REGISTRY)])
        self.mesh = self.node.mesh(address, caller=service_id(NODE, "gateway"))
        self.planes = DataPlanes(self.mesh, self.node.clock)
        self.through = Passthrough("127.0.0.1:0", "", NODE, self.planes)

    async def site(self, name: str, at: str = "") -> str:
        """An agent of a site, of which `at` or its own address is told."""
        process = self.node.process("agent", identity=agent_id(NODE, name), dns_names=[agent_server_name(NODE, name)])
        address = await self.node.serve(process, [only(Agent(), SITES)])
        self.registry.told[f"sites/{name}"] = at or address
        return address

    async def seen_at(self, site: str) -> str:
        """Whom a site's data plane sees that a user calls through the gateway's listener."""
        channel = self.node.mesh("", caller=USER).agent_channel(self.through.endpoint, site=site)
        answers = AgentServiceStub(channel.as_grpc()).ReadFiles(agent_pb.ReadFilesRequest(site=site), timeout=60)
        return b"".join([answer.manifest async for answer in answers]).decode()

    async def gateway(self, endpoint: str) -> str:
        """The address of a gateway that says its listener is at `endpoint`."""
        own = GatewayService(self._traces, self.mesh, self.planes, endpoint)
        return await self.node.serve(self.node.process("gateway"), [only(own, OWN), only(Agent(), SITES)])


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    traces = TraceStore(tmp_path / "traces.sqlite", trace_spans_max=100)
    async with LoopbackNode(tmp_path) as node:
        made = Town(node, Registry(), traces)
        await made.start()
        passing = asyncio.get_running_loop().create_task(made.through.run())
        yield made
        passing.cancel()
        await asyncio.gather(passing, return_exceptions=True)
    await traces.close()


@asynccontextmanager
async def dialled(town: Town) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection of a stranger's."""
    host, _, port = town.through.endpoint.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    with closing(writer):
        yield reader, writer


async def test_a_site_is_reached_by_the_user_himself(town: Town) -> None:
    """The certificate that the agent sees is the user's: a gateway that passes through can pretend nothing."""
    await town.site("a")
    assert await town.seen_at("sites/a") == USER


@pytest.mark.parametrize("name", ["registry.test.suanmesh", "agent.a.other.suanmesh", "agent.A_b.test.suanmesh"])
async def test_nothing_but_agents_of_the_node_is_reached(town: Town, name: str) -> None:
    """Services listen for the node's own processes alone."""
    await town.site("a")
    async with dialled(town) as (reader, writer):
        writer.write(hello(name))
        assert await reader.read() == UNKNOWN_NAME


async def test_a_site_that_names_what_is_not_its_own_has_nobody_brought_there(town: Town) -> None:
    """Or whoever owns a site could have the gateway open connections within its own network."""
    came: list[bytes] = []

    async def inner(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(await reader.read(65_536))
        writer.close()

    other = await town.site("b")
    async with await asyncio.start_server(inner, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        for told in (f"127.0.0.1:{port}", other):
            await town.site("a", at=told)
            async with dialled(town) as (reader, writer):
                writer.write(hello("agent.a.test.suanmesh") + b"POST /of-the-strangers")
                assert await reader.read() == UNKNOWN_NAME
    assert all(b"of-the-strangers" not in each for each in came)


async def test_one_address_has_so_many_connections_and_others_are_served_again_once_they_end(town: Town) -> None:
    """Strangers that connect and say nothing must neither pile up nor shut anybody out for good."""
    await town.site("a")
    async with AsyncExitStack() as stack:
        for _ in range(CONNECTIONS_OF_ADDRESS_MAX):
            await stack.enter_async_context(dialled(town))
        async with dialled(town) as (reader, _):
            assert await reader.read() == b""
    assert await town.seen_at("sites/a") == USER


async def test_where_connections_do_not_get_through_calls_do(town: Town) -> None:
    """A firewall between user and gateway may let one port through and not the other."""
    await town.site("a")
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and never answers
        for endpoint in ("127.0.0.1:1", f"127.0.0.1:{silent.getsockname()[1]}", ""):
            mesh = town.node.mesh(await town.gateway(endpoint), caller=USER)
            channel = await data_planes.DataPlanes(mesh).channel("sites/a")
            assert channel is mesh.channel("agent")
    mesh = town.node.mesh(await town.gateway(town.through.endpoint), caller=USER)
    channel = await data_planes.DataPlanes(mesh).channel("sites/a")
    assert channel is mesh.agent_channel(town.through.endpoint, site="sites/a")


async def test_of_a_site_that_only_dials_out_no_connection_is_offered(town: Town) -> None:
    """Its agent listens nowhere; calls are carried to it."""
    town.registry.told["sites/a"] = RELAY
    mesh = town.node.mesh(await town.gateway(town.through.endpoint), caller=USER)
    assert await data_planes.DataPlanes(mesh).channel("sites/a") is mesh.channel("agent")
    async with dialled(town) as (reader, writer):
        writer.write(hello("agent.a.test.suanmesh"))
        assert await reader.read() == UNKNOWN_NAME


async def test_what_goes_through_arrives_whole_both_ways(town: Town) -> None:
    """However slowly the other side takes it, and after one side has said all that it has to say."""
    (user, one), (other, site) = socket.socketpair(), socket.socketpair()
    there, back = os.urandom(3_000_001), os.urandom(2_000_003)
    for each in (user, one, other, site):
        each.setblocking(False)
    counted: list[int] = []
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(Joined(one, other, counted.append).pass_on(60))
        to_user, from_user = await asyncio.open_connection(sock=user)
        to_site, from_site = await asyncio.open_connection(sock=site)

        async def say(writer: asyncio.StreamWriter, content: bytes) -> None:
            writer.write(content)
            await writer.drain()
            writer.write_eof()

        tasks.create_task(say(from_user, there))
        assert await to_site.read() == there
        tasks.create_task(say(from_site, back))
        assert await to_user.read() == back
        from_user.close()
        from_site.close()
    assert sum(counted) == len(there) + len(back)


async def test_a_connection_on_which_nothing_comes_is_closed(town: Town) -> None:
    """Those of callers that vanished would stay for ever."""
    (user, one), (other, site) = socket.socketpair(), socket.socketpair()
    for each in (user, one, other, site):
        each.setblocking(False)
    with user, site:
        await Joined(one, other, lambda _: None).pass_on(0.05)
        assert await asyncio.get_running_loop().sock_recv(user, 1) == b""
