"""What the mesh needs of a network, of gRPC over TLS and of the one in memory alike."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import aio

from suanmesh_chassis import Served
from suanmesh_chassis.ca import NodeCa
from suanmesh_chassis.memory_network import MemoryNetwork
from suanmesh_chassis.network import GrpcNetwork, Network
from suanmesh_chassis.parts import Listener
from suanmesh_chassis.probe import PROBE_SERVICE, SERVICE, Probe, Probes
from suanmesh_chassis.service_server import ServiceServer
from suanmesh_chassis.testing import ANY_PORT, USER, LoopbackNode
from suanmesh_kernel.clock import SystemClock
from suanmesh_kernel.refusals import Refusal, Unauthenticated, Unavailable
from suanmesh_sdk import Tls
from suanmesh_sdk.attempts import refusal_of_error
from suanmesh_sdk.connections import Channel
from suanmesh_sdk.mesh import AreaChannel, Mesh
from suanmesh_sdk.resolver import OneAddress

NAME = "probe.test.suanmesh"
PATIENCE_S = 60
"""What should come at once may take so long on a machine that is busy."""
OPEN = Listener("127.0.0.1:0", client_certificate=False)


class World:
    """The probe, served over one kind of network, and those who call it."""

    def __init__(self, node: LoopbackNode, network: Network) -> None:
        self.node = node
        self.network = network
        self.probes = Probes()
        self.process = node.process("probe")
        self._closing: list[Callable[[], Awaitable[None]]] = []

    async def served(self, listener: Listener = ANY_PORT) -> str:
        parts = [Served(PROBE_SERVICE, self.probes)]
        return await self.node.serve(self.process, parts, requests=self.probes, listener=listener)

    def tls(self, *, ca: NodeCa | None = None, certificate: bool = True) -> Tls:
        issued = (ca or self.node.ca).issue(USER)
        return Tls(ca=issued.ca, cert=issued.certificate, key=issued.key) if certificate else Tls(ca=issued.ca)

    def channel(self, address: str, tls: Tls | None = None, name: str = NAME) -> Channel:
        channel = self.network.dial(tls or self.tls(), read_ahead_bytes=None)(address, name)
        self._closing.append(channel.close)
        return channel

    def area(self, address: str) -> AreaChannel:
        dial = self.network.dial(self.tls(), read_ahead_bytes=None)
        mesh = Mesh(node="test", tls=self.tls(), resolver=OneAddress(address), dial=dial)
        self._closing.append(mesh.close)
        return mesh.channel("probe")

    async def close(self) -> None:
        for close in self._closing:
            await close()


@pytest.fixture(params=["grpc", "memory"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    network = GrpcNetwork() if request.param == "grpc" else MemoryNetwork().of("here")
    async with LoopbackNode(tmp_path, network=network) as node:
        made = World(node, network)
        yield made
        await made.close()


@pytest.fixture
async def channel(world: World) -> Channel:
    return world.channel(await world.served())


def unary(channel: Channel, method: str) -> Any:
    return channel.unary_unary(f"/{SERVICE}/{method}", Probe.SerializeToString, Probe.FromString)


def stream(channel: Channel, method: str, kind: str = "unary_stream") -> Any:
    return getattr(channel, kind)(f"/{SERVICE}/{method}", Probe.SerializeToString, Probe.FromString)


async def refused(call: Awaitable[Any]) -> Refusal:
    with pytest.raises(aio.AioRpcError) as caught:
        await call
    return refusal_of_error(caught.value)


async def test_a_call_is_answered_under_its_caller(channel: Channel) -> None:
    """Without the caller's certificate no service could tell one from another."""
    answer = await unary(channel, "Read")(Probe(text="hello"), timeout=PATIENCE_S)

    assert answer.text == f"{USER} hello"


async def test_a_call_whose_work_ended_is_answered(channel: Channel) -> None:
    """At the end of a term its tasks end; a caller who is not told waits for all of its deadline."""
    refusal = await refused(unary(channel, "Read")(Probe(text="ended"), timeout=PATIENCE_S))

    assert (refusal.code, refusal.reason) == ("UNAVAILABLE", "NOT_READY")


async def test_a_refusal_crosses_whole(channel: Channel) -> None:
    """Reason and facts travel in the metadata: without them a caller cannot tell what to do."""
    refusal = await refused(unary(channel, "Read")(Probe(text="refuse"), timeout=PATIENCE_S))

    assert (refusal.code, refusal.reason, refusal.facts) == ("FAILED_PRECONDITION", "PROBE_SAD", {"mood": "low"})


async def test_metadata_reaches_the_server(channel: Channel) -> None:
    """The trace of a job would end at its first call."""
    traceparent = f"00-{'a' * 32}-{'b' * 16}-01"
    answer = await unary(channel, "Read")(Probe(text="x"), timeout=PATIENCE_S, metadata=(("traceparent", traceparent),))

    assert answer.traceparent.split("-")[1] == "a" * 32


async def test_a_deadline_ends_both_sides(world: World, channel: Channel) -> None:
    """A caller that gave up would be worked for on and on."""
    refusal = await refused(unary(channel, "Read")(Probe(text="wait"), timeout=0.2))

    assert refusal.code == "DEADLINE_EXCEEDED"
    async with asyncio.timeout(PATIENCE_S):
        await world.probes.closed.wait()


async def test_a_call_without_a_deadline_is_refused(channel: Channel) -> None:
    """The server must see whether the caller has one."""
    refusal = await refused(unary(channel, "Read")(Probe(text="x")))

    assert refusal.reason == "DEADLINE_MISSING"


async def test_a_caller_that_leaves_ends_the_call(world: World, channel: Channel) -> None:
    """What nobody waits for any more must not hold its resources."""
    call = asyncio.get_running_loop().create_task(_awaited(unary(channel, "Read")(Probe(text="wait"), timeout=60)))
    async with asyncio.timeout(PATIENCE_S):
        await world.probes.begun.wait()
        call.cancel()
        await world.probes.closed.wait()

    with pytest.raises(asyncio.CancelledError):
        await call


async def test_answers_come_in_their_order_and_end(channel: Channel) -> None:
    """A watcher that missed the end of its stream would wait for ever."""
    call = stream(channel, "List")(Probe(text="three"), timeout=PATIENCE_S)

    assert [(await call.read()).text for _ in range(3)] == ["0", "1", "2"]
    assert await call.read() is aio.EOF
    assert (await call.code()) is grpc.StatusCode.OK


async def test_a_stream_ends_with_its_refusal(channel: Channel) -> None:
    """A stream that ended otherwise than it seems to would be believed."""
    call = stream(channel, "List")(Probe(text="refuse"), timeout=PATIENCE_S)
    for _ in range(3):
        await call.read()

    assert (await refused(call.read())).reason == "PROBE_SAD"
    assert call.done()


async def test_a_stream_that_is_cancelled_ends_at_the_server(world: World, channel: Channel) -> None:
    """Watches of callers that have gone would add up."""
    call = stream(channel, "List")(Probe(text="silent"), timeout=60)
    await call.read()
    call.cancel()

    async with asyncio.timeout(PATIENCE_S):
        await world.probes.closed.wait()
    with pytest.raises(asyncio.CancelledError):
        await call.read()


async def test_requests_are_written_and_read_in_turn(channel: Channel) -> None:
    """Agents hold one such stream for days."""
    call = stream(channel, "Talk", "stream_stream")(timeout=PATIENCE_S)
    await call.write(Probe(text="one"))
    first = await call.read()
    await call.write(Probe(text="two"))
    second = await call.read()
    await call.done_writing()

    assert (first.text, second.text, await call.read()) == ("ONE", "TWO", aio.EOF)
    with pytest.raises(asyncio.InvalidStateError):
        await call.write(Probe(text="three"))


async def test_many_requests_have_one_answer(channel: Channel) -> None:
    """Reports come so."""

    async def requests() -> AsyncIterator[Any]:
        for text in ("a", "b", "c"):
            yield Probe(text=text)

    assert (await stream(channel, "Gather", "stream_unary")(requests(), timeout=PATIENCE_S)).text == "a b c"
    assert (await stream(channel, "Gather", "stream_unary")([Probe(text="d")], timeout=PATIENCE_S)).text == "d"


async def test_an_unknown_method_is_named(channel: Channel) -> None:
    """A client newer than the server must learn what it lacks."""
    assert (await refused(unary(channel, "Nothing")(Probe(), timeout=PATIENCE_S))).reason == "METHOD_UNKNOWN"


async def test_nobody_listens(world: World) -> None:
    """A service that is away is told from one that refuses."""
    address = await world.served()
    await world.node.stop()

    refusal = await refused(unary(world.channel(address), "Read")(Probe(text="x"), timeout=PATIENCE_S))

    assert isinstance(refusal, Unavailable)
    assert refusal.message.startswith("failed to connect")


async def test_a_server_that_stops_breaks_off_what_is_under_way(world: World, channel: Channel) -> None:
    """A caller of a process that ends must look for another."""
    call = asyncio.get_running_loop().create_task(_awaited(unary(channel, "Read")(Probe(text="wait"), timeout=60)))
    async with asyncio.timeout(PATIENCE_S):
        await world.probes.begun.wait()
        await world.node.stop()

    assert isinstance(await refused(_awaited(call)), Unavailable)
    assert world.probes.closed.is_set()


async def test_an_address_is_taken_once(world: World) -> None:
    """Two processes that believe in the same address would answer for each other."""
    address = await world.served()

    with pytest.raises(OSError, match="cannot listen"):
        await world.served(Listener(address))


@pytest.mark.parametrize("whose", ["authority", "name"])
async def test_another_authority_is_not_believed(world: World, whose: str) -> None:
    """Who shows certificates of another node could answer for this one."""
    address = await world.served()
    stranger = NodeCa.create("test", SystemClock())
    if whose == "authority":
        channel = world.channel(address, world.tls(ca=stranger))
    else:
        channel = world.channel(address, name="ledger.test.suanmesh")

    refusal = await refused(unary(channel, "Read")(Probe(text="x"), timeout=PATIENCE_S))

    assert isinstance(refusal, Unavailable)
    assert not world.probes.begun.is_set()


async def test_without_a_certificate_only_what_is_open_is_served(world: World) -> None:
    """Enrolment is for those who have none yet, and nothing else is."""
    bare = world.tls(certificate=False)
    shut, opened = await world.served(), await world.served(OPEN)

    assert isinstance(await refused(unary(world.channel(shut, bare), "Open")(Probe(), timeout=PATIENCE_S)), Unavailable)
    assert (await unary(world.channel(opened, bare), "Open")(Probe(), timeout=PATIENCE_S)).text == "open to anyone"
    refusal = await refused(unary(world.channel(opened, bare), "Read")(Probe(), timeout=PATIENCE_S))
    assert isinstance(refusal, Unauthenticated)


async def test_the_sdk_calls_over_it(world: World) -> None:
    """Services and agents call each other through nothing else."""
    area = world.area(await world.served())
    answer = await area.unary_unary(f"/{SERVICE}/Read", Probe.SerializeToString, Probe.FromString)(Probe(text="x"))
    told = area.unary_stream(f"/{SERVICE}/List", Probe.SerializeToString, Probe.FromString)(Probe(text="three"))

    assert answer.text == f"{USER} x"
    assert [each.text async for each in told] == ["0", "1", "2"]


async def _awaited(call: Awaitable[Any]) -> Any:
    return await call


async def test_a_process_that_ends_is_seen_to_be_gone() -> None:
    """A standby waits for that, and must not miss the end of a leader that died."""
    met: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()
    server = await asyncio.start_server(lambda _, writer: met.put_nowait(writer), "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with asyncio.TaskGroup() as tasks, asyncio.timeout(PATIENCE_S):
        gone = tasks.create_task(GrpcNetwork().gone(f"{host}:{port}"))
        (await met.get()).close()  # as a listener does with who brings no handshake
        again = await met.get()
        assert not gone.done()
        server.close()
        again.close()
        await gone


async def test_a_process_that_ends_is_seen_to_be_gone_in_memory(tmp_path: Path) -> None:
    """Scenarios must take over when processes do."""
    network = MemoryNetwork().of("here")
    async with LoopbackNode(tmp_path, network=network) as node, asyncio.TaskGroup() as tasks:
        server = ServiceServer(node.process("probe"))
        address = await server.listen(ANY_PORT)
        gone = tasks.create_task(network.gone(address))
        await asyncio.sleep(0)
        await server.stop(0)
        async with asyncio.timeout(PATIENCE_S):
            await gone
