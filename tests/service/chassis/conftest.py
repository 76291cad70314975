"""The probe behind the real wrapper on a real socket, and clients that show different identities to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import ServiceDescriptor

from suanmesh_chassis import Listener, Served
from suanmesh_chassis.ca import NodeCa, server_name, write_identity
from suanmesh_chassis.identity import service_id
from suanmesh_chassis.probe import PROBE_SERVICE, SERVICE, Probe, Probes
from suanmesh_chassis.testing import NODE, USER, LoopbackNode
from suanmesh_kernel.clock import SystemClock
from suanmesh_kernel.refusals import Refusal
from suanmesh_sdk.status import DETAILS_KEY, refusal_of_call
from suanmesh_telemetry.testing import record_spans
from tests.service.chassis.town import Town


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[LoopbackNode]:
    record_spans()
    async with LoopbackNode(tmp_path) as node:
        yield node


@pytest.fixture
def probes() -> Probes:
    return Probes()


@pytest.fixture
async def address(node: LoopbackNode, probes: Probes) -> str:
    return await node.serve(node.process("probe"), [Served(PROBE_SERVICE, probes)], requests=probes)


class ProbeClient:
    """Calls the probe over a plain channel, as any gRPC client would."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel

    async def unary(
        self,
        method: str,
        text: str = "",
        *,
        timeout: float | None = 60,
        raw: bytes | None = None,
        request_id: str = "",
        metadata: Any = None,
    ) -> Any:
        body = Probe(text=text, request_id=request_id).SerializeToString() if raw is None else raw
        call = self._channel.unary_unary(f"/{SERVICE}/{method}")
        try:
            return Probe.FromString(await call(body, timeout=timeout, metadata=metadata))
        except grpc.aio.AioRpcError as error:
            raise _refusal(error) from None

    def server_stream(self, method: str, text: str = "", *, timeout: float = 60) -> Any:
        made = self._channel.unary_stream(f"/{SERVICE}/{method}", response_deserializer=Probe.FromString)
        return made(Probe(text=text).SerializeToString(), timeout=timeout)

    def client_stream(self, method: str, texts: Iterable[str]) -> Any:
        made = self._channel.stream_unary(f"/{SERVICE}/{method}", Probe.SerializeToString, Probe.FromString)
        return made((Probe(text=text) for text in texts), timeout=60)

    def bidi(self, method: str, texts: Iterable[str], *, metadata: Any = None, timeout: float | None = 60) -> Any:
        made = self._channel.stream_stream(f"/{SERVICE}/{method}", Probe.SerializeToString, Probe.FromString)
        return made((Probe(text=text) for text in texts), timeout=timeout, metadata=metadata)


def _refusal(error: grpc.aio.AioRpcError) -> Refusal:
    details = dict(error.trailing_metadata() or ()).get(DETAILS_KEY)
    return refusal_of_call(error.code().name, error.details() or "", details)


@pytest.fixture
async def connect(node: LoopbackNode, address: str) -> AsyncIterator[Callable[..., ProbeClient]]:
    """Makes clients: `connect(USER)` shows that identity, `connect(ca=other)` another authority's."""
    channels: list[grpc.aio.Channel] = []

    def connected(caller: str = USER, *, ca: NodeCa | None = None, days: float = 1, at: str = "") -> ProbeClient:
        issued = (ca or node.ca).issue(caller, days=days)
        credentials = grpc.ssl_channel_credentials(node.ca.pem, issued.key, issued.certificate)
        name = (("grpc.ssl_target_name_override", "probe.test.suanmesh"),)
        channels.append(grpc.aio.secure_channel(at or address, credentials, options=name))
        return ProbeClient(channels[-1])

    yield connected
    for channel in channels:
        await channel.close()


@pytest.fixture
def client(connect: Callable[..., ProbeClient]) -> ProbeClient:
    return connect(USER)


@pytest.fixture
def probe_service() -> ServiceDescriptor:
    return PROBE_SERVICE


@pytest.fixture
async def probe_client(
    node: LoopbackNode, probes: Probes
) -> AsyncIterator[Callable[[Listener], Awaitable[ProbeClient]]]:
    """Makes clients without a certificate, of a probe that listens as it is told."""
    channels: list[grpc.aio.Channel] = []

    async def connected(listener: Listener) -> ProbeClient:
        at = await node.serve(node.process("probe"), [Served(PROBE_SERVICE, probes)], listener=listener)
        name = (("grpc.ssl_target_name_override", "probe.test.suanmesh"),)
        channels.append(grpc.aio.secure_channel(at, grpc.ssl_channel_credentials(node.ca.pem), options=name))
        return ProbeClient(channels[-1])

    yield connected
    for channel in channels:
        await channel.close()


@pytest.fixture
def node_folder(tmp_path: Path) -> Path:
    """What a service finds in its SUANMESH_TLS_DIR."""
    ca = NodeCa.create(NODE, SystemClock())
    write_identity(tmp_path, ca.issue(service_id(NODE, "probe"), [server_name(NODE, "probe")]))
    return tmp_path


@pytest.fixture
async def town(node: LoopbackNode, probes: Probes) -> AsyncIterator[Town]:
    town = Town(node, probes)
    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(town.directory.run())
        yield town
        watching.cancel()
