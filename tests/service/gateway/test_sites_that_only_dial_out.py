"""Calls that a gateway carries to sites that only dial out: whose they are, how much of them waits, how they end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from suanmesh.agent.v1 import agent_service_pb2 as agent_pb
from suanmesh.agent.v1.agent_service_pb2_grpc import AgentServiceStub
from suanmesh.gateway.v1 import relay_service_pb2 as pb
from suanmesh_agent.mesh import DataPathOverMesh
from suanmesh_agent.relayed_data_plane import CALLS_OF_CONNECTION_MAX
from suanmesh_chassis import Call
from suanmesh_chassis.ca import NodeCa
from suanmesh_chassis.identity import agent_id
from suanmesh_chassis.testing import NODE, USER, LoopbackNode
from suanmesh_gateway.relay import CALLS_OF_SITE_MAX
from suanmesh_kernel.addresses import RELAY
from suanmesh_kernel.clock import SystemClock
from suanmesh_kernel.refusals import (
    InvalidArgument,
    NotFound,
    PermissionDenied,
    Refusal,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
)
from suanmesh_sdk import Instance, Tls
from suanmesh_sdk.kept_gateways import KeptGateways
from suanmesh_sdk.relayed import FRAME_BYTES, Prover
from suanmesh_sdk.resolver import OneAddress
from suanmesh_telemetry.metrics import RELAYED_BYTES
from tests.service.agent.relaying import RelayGateway
from tests.service.agent.test_agent_data_plane import SERVICE, Site
from tests.service.agent.test_agent_moves_datasets import Sites, State
from tests.service.agent.test_links_are_probed import only
from tests.service.gateway.test_forwarding import Table

A, B, C = (agent_id(NODE, site) for site in "abc")
ECHO = f"{SERVICE.full_name}/Echo"
PROBE = agent_pb.EchoRequest(payload=b"probe").SerializeToString()
MIB = 1024 * 1024


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[LoopbackNode]:
    async with LoopbackNode(tmp_path) as made:
        yield made


@pytest.fixture
async def gateway(node: LoopbackNode) -> AsyncIterator[RelayGateway]:
    async with RelayGateway(node) as made:
        yield made


class Echoing:
    """A data plane that answers once it may, and counts who waits."""

    def __init__(self) -> None:
        self.may = asyncio.Event()
        self.waiting = 0
        self.came = asyncio.Condition()

    async def Echo(self, request: agent_pb.EchoRequest, call: Call) -> agent_pb.EchoResponse:
        async with self.came:
            self.waiting += 1
            self.came.notify_all()
        await self.may.wait()
        return agent_pb.EchoResponse(payload=call.principal.encode())

    async def until(self, waiting: int) -> None:
        """Wait for so many calls."""
        async with self.came:
            await self.came.wait_for(lambda: self.waiting >= waiting)


async def connected(gateway: RelayGateway, servicer: Any = None) -> Any:
    """`sites/a` with a data plane that dials this gateway."""
    servicer = Echoing() if servicer is None else servicer
    await gateway.connect(gateway.node.process("agent", identity=A), [only(servicer, SERVICE)])
    return servicer


def tls(node: LoopbackNode, caller: str) -> Tls:
    """What a caller shows."""
    issued = node.ca.issue(caller)
    return Tls(ca=issued.ca, cert=issued.certificate, key=issued.key)


def asked(proof: pb.CallerProof, method: str = ECHO, request: bytes = PROBE) -> pb.CallSiteRequest:
    """A call to `sites/a`."""
    return pb.CallSiteRequest(site="sites/a", method=method, request=request, caller=proof)


async def refused(call: Any) -> Refusal:
    """What a stream is refused with."""
    with pytest.raises(Refusal) as caught:
        [each async for each in call]
    return caught.value


def once(gateway: RelayGateway, caller: str) -> Any:
    """A call of Echo at `sites/a` that is not tried again."""
    proof = Prover(tls(gateway.node, caller)).proof("sites/a", ECHO, PROBE)
    call: Any = gateway.mesh(caller).relay.CallSite(asked(proof), timeout=600)
    call._may_reopen = False
    return call


async def test_a_gateway_that_came_later_carries_calls_too(gateway: RelayGateway, tmp_path: Path) -> None:
    """A user who keeps to the new gateway must get logs of a site behind NAT that had joined before it was there."""
    async with RelayGateway(gateway.node) as later:

        async def both() -> list[str]:
            return [gateway.address, later.address]

        known = KeptGateways(gateway.address, tmp_path / "gateways")
        process, servicer = gateway.node.process("agent", identity=A), Echoing()
        servicer.may.set()
        await gateway.connect(process, [only(servicer, SERVICE)], known=known)
        await gateway.connected()
        await known.learn(both)
        await later.connected()


async def written(stream: Any, frame: pb.ServeCallRequest) -> int:
    """How many bytes of content go into a stream until it is ended."""
    sent = 0
    try:
        while True:
            await stream.write(frame)
            sent += len(frame.content)
    except (Refusal, asyncio.InvalidStateError):
        return sent


async def echoed(stub: AgentServiceStub) -> agent_pb.EchoResponse:
    """A call that may be a task."""
    return await stub.Echo(agent_pb.EchoRequest(), timeout=600)


async def test_the_site_knows_who_calls(gateway: RelayGateway) -> None:
    """Tickets are made out for one reader: whoever came by the gateway must not all be the gateway."""
    (await connected(gateway)).may.set()
    for caller in (B, C):
        assert (await gateway.stub(caller).Echo(agent_pb.EchoRequest())).payload.decode() == caller


async def test_a_gateway_cannot_call_in_anothers_name(gateway: RelayGateway) -> None:
    """A gateway sees certificates and tickets of those whose calls it carries; with them alone it must get nothing."""
    (await connected(gateway)).may.set()
    relay = gateway.mesh(B).relay
    seen = Prover(tls(gateway.node, C)).proof("sites/a", ECHO, PROBE)
    assert [each async for each in relay.CallSite(asked(seen))]  # repeated to the byte it says the same again

    more = agent_pb.EchoRequest(payload=b"more").SerializeToString()
    other_site = Prover(tls(gateway.node, C)).proof("sites/b", ECHO, PROBE)
    by_own_key = Prover(tls(gateway.node, B)).proof("sites/a", ECHO, PROBE)
    stranger = NodeCa.create(NODE, SystemClock()).issue(C)
    strange = Prover(Tls(ca=stranger.ca, cert=stranger.certificate, key=stranger.key)).proof("sites/a", ECHO, PROBE)
    manifest = f"{SERVICE.full_name}/GetManifest"
    for call in (
        asked(seen, request=more),
        asked(seen, method=manifest),
        asked(other_site),
        asked(pb.CallerProof(certificate=seen.certificate, signature=by_own_key.signature)),
        asked(pb.CallerProof(certificate=b"none", signature=b"none")),
        asked(pb.CallerProof()),
        asked(strange),
    ):
        refusal = await refused(relay.CallSite(call))
        assert isinstance(refusal, Unauthenticated), refusal
        assert refusal.reason == "IDENTITY_MISSING"


async def test_whoever_could_not_dial_a_site_is_not_carried_to_it(gateway: RelayGateway) -> None:
    """A site is as shut as one that listens: to users, and to what is no part of its data plane."""
    (await connected(gateway)).may.set()
    user = Prover(tls(gateway.node, USER)).proof("sites/a", ECHO, PROBE)
    assert (await refused(gateway.mesh(USER).relay.CallSite(asked(user)))).reason == "ROLE_DENIED"
    assert (await refused(gateway.mesh(B).relay.CallSite(asked(user)))).reason == "ROLE_DENIED"
    for method in ("grpc.health.v1.Health/Check", f"{SERVICE.full_name}/WriteFiles", f"{SERVICE.full_name}/Nothing"):
        proof = Prover(tls(gateway.node, B)).proof("sites/a", method, b"")
        refusal = await refused(gateway.mesh(B).relay.CallSite(asked(proof, method, b"")))
        assert isinstance(refusal, InvalidArgument), method


async def test_a_stream_serves_the_site_of_its_certificate_alone(gateway: RelayGateway) -> None:
    """Whoever could take another site's calls would answer in its place, and read what users bring it."""
    with pytest.raises(PermissionDenied, match="ROLE_DENIED"):
        [each async for each in gateway.mesh(USER).relay.AwaitCalls(pb.AwaitCallsRequest())]
    told = aiter(gateway.mesh(A).relay.AwaitCalls(pb.AwaitCallsRequest()))
    assert (await anext(told)).call == ""
    async with asyncio.TaskGroup() as tasks:
        caller = tasks.create_task(echoed(gateway.stub(B)))
        call = (await anext(told)).call
        for thief, number in ((C, call), (A, "0"), (A, "")):
            stream: Any = gateway.mesh(thief).relay.ServeCall()
            await stream.write(pb.ServeCallRequest(call=number))
            with pytest.raises(NotFound, match="CALL_UNKNOWN"):
                await stream.read()
        caller.cancel()


async def test_of_a_stream_that_no_call_waits_for_no_message_is_taken(gateway: RelayGateway) -> None:
    """A site that was taken over opens as many as it may, and has the gateway gather the largest message on each."""
    stream: Any = gateway.mesh(A).relay.ServeCall()
    with pytest.raises(NotFound, match="CALL_UNKNOWN"):
        await stream.read()


async def test_of_a_stream_that_nobody_reads_little_waits(node: LoopbackNode) -> None:
    """A slow reader must hold up the site that sends, and never fill the memory of a gateway that all share."""
    async with RelayGateway(node, stream_stall_s=0.5) as gateway:
        told = aiter(gateway.mesh(A).relay.AwaitCalls(pb.AwaitCallsRequest()))
        await anext(told)
        fetch = f"{SERVICE.full_name}/FetchChunks"
        proof = Prover(tls(node, B)).proof("sites/a", fetch, b"")
        reader = node.process("agent", identity=B).mesh(OneAddress(gateway.address))  # takes no more than it reads
        unread: Any = reader.relay.CallSite(asked(proof, fetch, b""), timeout=600)
        first = asyncio.get_running_loop().create_task(unread.read())
        serving: Any = gateway.mesh(A).relay.ServeCall()
        await serving.write(pb.ServeCallRequest(call=(await anext(told)).call))
        sent = await written(serving, pb.ServeCallRequest(content=bytes(FRAME_BYTES), whole=True))
        assert len((await first).content) == FRAME_BYTES
        assert sent < 3 * MIB, sent
        assert isinstance(refusal := await refused(unread), ResourceExhausted)
        assert refusal.reason == "STREAM_STALLED"
        await reader.close()


async def test_a_site_that_is_not_there_is_said_at_once(gateway: RelayGateway) -> None:
    """A caller that has another gateway, or other data to read, should not wait for its deadline."""
    refusal = await refused(once(gateway, B))
    assert (type(refusal), refusal.reason, refusal.facts) == (Unavailable, "SITE_NOT_CONNECTED", {"site": "sites/a"})


async def test_the_gateway_that_has_the_stream_is_found(node: LoopbackNode) -> None:
    """Of two gateways an agent may have reached one; callers must not depend on which."""
    async with RelayGateway(node) as other, RelayGateway(node) as gateway:
        (await connected(gateway)).may.set()
        await gateway.connected()
        table = Table()
        table.known["gateway"] = [Instance(each.address) for each in (other, gateway)]
        mesh = node.mesh("", caller=B, resolver=table)
        for _ in range(5):
            answer = await mesh.agent(RELAY, site="sites/a").Echo(agent_pb.EchoRequest(), timeout=60)
            assert answer.payload.decode() == B


async def test_a_call_ends_with_the_agent_that_serves_it(gateway: RelayGateway) -> None:
    """An agent that dies must not leave its callers waiting for an hour."""
    data_plane = await connected(gateway)
    data_plane.may.set()
    await gateway.connected()
    data_plane.may.clear()
    reading = asyncio.get_running_loop().create_task(once(gateway, B).read())
    await data_plane.until(2)
    await gateway.disconnect()
    with pytest.raises(Unavailable, match="SITE_NOT_CONNECTED"):
        await reading


async def test_as_many_calls_as_may_be_are_served_at_once(gateway: RelayGateway) -> None:
    """A connection has room for fewer; those beyond would wait for people who follow logs for hours."""
    data_plane = await connected(gateway)
    assert CALLS_OF_SITE_MAX > CALLS_OF_CONNECTION_MAX
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        stubs = [gateway.stub(agent_id(NODE, f"c{number % 6}")) for number in range(CALLS_OF_SITE_MAX)]
        calls = [tasks.create_task(echoed(stub)) for stub in stubs]
        await data_plane.until(CALLS_OF_SITE_MAX)
        assert (await refused(once(gateway, B))).reason == "CALLS_OF_CALLER_MAX"
        data_plane.may.set()
    assert len({call.result().payload for call in calls}) == 6
    assert (await gateway.stub(B).Echo(agent_pb.EchoRequest(), timeout=60)).payload.decode() == B


async def test_what_is_carried_is_counted(gateway: RelayGateway) -> None:
    """Whoever runs a gateway must see what sites without a port cost its line."""
    (await connected(gateway)).may.set()
    before = {way: RELAYED_BYTES.labels(way)._value.get() for way in ("to_site", "from_site")}
    await gateway.stub(B).Echo(agent_pb.EchoRequest(payload=b"probe"), timeout=60)
    answer = agent_pb.EchoResponse(payload=B.encode())
    after = {way: RELAYED_BYTES.labels(way)._value.get() for way in before}
    assert after["to_site"] - before["to_site"] == len(PROBE)
    assert after["from_site"] - before["from_site"] == answer.ByteSize()


async def test_a_transfer_goes_on_when_the_gateway_is_back(tmp_path: Path) -> None:
    """A gateway is upgraded while terabytes pass: what had come stays, and a chunk or two come again."""
    async with LoopbackNode(tmp_path / "node") as node, AsyncExitStack() as closing:
        source = Site(node, tmp_path / "source")
        source.gateway = gateway = await closing.enter_async_context(RelayGateway(node))
        await source.serve()
        sites = Sites(tmp_path / "sites", size_bytes=1)
        sites.manifest = source.manifest
        sites.data_path = DataPathOverMesh(gateway.mesh(B))  # type: ignore[assignment]
        async with sites.target():
            rate_bps = 32_000_000
            ticket = source.ticket(rate_bps=rate_bps, transfer="transfers/t1", lasts_s=600)
            sites.ask(rate_bps=rate_bps, ticket=ticket, source_endpoint=RELAY)
            await sites.transport.progressed("transfers/t1", 3)
            await gateway.stop()
            await gateway.start()
            transfer = await sites.transport.ended("transfers/t1")
    assert transfer.state == State.STATE_DONE, transfer
    assert transfer.receipt.chunks_again <= 2
    assert transfer.receipt.bytes_received <= source.manifest.size_bytes + 2 * MIB
