"""Calls with bytes and any certificate, seen as any gRPC client in any language would see them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import grpc
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from suanmesh.accounting.v1 import accounting_service_pb2 as accounting
from suanmesh.agent.v1 import agent_service_pb2 as agent
from suanmesh.gateway.v1 import gateway_service_pb2 as gateway
from suanmesh.gateway.v1 import relay_service_pb2 as relay
from suanmesh.network_orchestrator.v1 import network_orchestrator_service_pb2 as network
from suanmesh.registry.v1 import registry_service_pb2 as registry
from suanmesh.scheduler.v1 import scheduler_service_pb2 as scheduler
from suanmesh.transport.v1 import transport_service_pb2 as transport
from suanmesh.type.v1 import semantics_pb2
from suanmesh_sdk.status import WRITE_FAILED

MIB = 1 << 20
SERVICES = [
    (area, module.DESCRIPTOR.services_by_name[name])  # type: ignore[attr-defined]
    for area, module, name in (
        ("registry", registry, "RegistryService"),
        ("scheduler", scheduler, "SchedulerService"),
        ("network_orchestrator", network, "NetworkOrchestratorService"),
        ("transport", transport, "TransportService"),
        ("accounting", accounting, "AccountingService"),
        ("agent", agent, "AgentService"),
        ("gateway", gateway, "GatewayService"),
        ("gateway", relay, "RelayService"),
    )
]
METHODS = [(area, method) for area, service in SERVICES for method in service.methods]
"""Every method of the mesh with the area that serves it."""
UNARY_S, STREAM_S = 10.0, 2.0


class Answer(NamedTuple):
    """What came back: the call's code, every status of it and within it, and the bytes."""

    code: str
    statuses: list[status_pb2.Status]
    body: bytes

    @property
    def reasons(self) -> set[str]:
        """The reasons of all its refusals."""
        return {reason_of(status) for status in self.statuses}


class RawCaller:
    """Keeps one connection an identity and address."""

    def __init__(self) -> None:
        self._channels: dict[tuple[Path | None, str], grpc.aio.Channel] = {}

    def channel(self, home: Path, ca: Path, address: str, name: str) -> grpc.aio.Channel:
        """A connection to the server `name` as the identity in `home`."""
        if (home, address) not in self._channels:
            pair = (home / "key.pem").read_bytes(), (home / "cert.pem").read_bytes()
            options = (("grpc.ssl_target_name_override", name), ("grpc.max_receive_message_length", 16 * MIB))
            credentials = grpc.ssl_channel_credentials(ca.read_bytes(), *pair)
            self._channels[home, address] = grpc.aio.secure_channel(address, credentials, options)
        return self._channels[home, address]

    async def close(self) -> None:
        """Close the connections."""
        for channel in self._channels.values():
            await channel.close()

    async def send(
        self, channel: grpc.aio.Channel, method: MethodDescriptor, raw: bytes, *, stream_s: float = STREAM_S
    ) -> Answer:
        """One call; a stream is read up to its first answer."""
        path = f"/{method.containing_service.full_name}/{method.name}"
        try:
            answer = await _first(channel, path, method, raw, stream_s)
        except grpc.aio.AioRpcError as no:
            if no.details() == WRITE_FAILED:  # made up by this side when the refusal was faster than the request
                return await self.send(channel, method, raw, stream_s=stream_s)
            details = dict(no.trailing_metadata() or ()).get("grpc-status-details-bin")
            status = status_pb2.Status(message=no.details() or "")
            if isinstance(details, bytes):
                status = status_pb2.Status.FromString(details)
            return Answer(no.code().name, [status], b"")
        kind = message_factory.GetMessageClass(method.output_type)
        return Answer("OK", list(statuses_in(kind.FromString(answer))), answer)


async def _first(channel: grpc.aio.Channel, path: str, method: MethodDescriptor, raw: bytes, stream_s: float) -> bytes:
    answer: Any
    if method.client_streaming:
        answer = await channel.stream_stream(path)(iter([raw]), timeout=stream_s).read()
    elif method.server_streaming:
        call = channel.unary_stream(path)(raw, timeout=stream_s)
        answer = await call.read()
        call.cancel()
    else:
        answer = await channel.unary_unary(path)(raw, timeout=UNARY_S)
    return answer if isinstance(answer, bytes) else b""


def semantics_of(method: MethodDescriptor) -> semantics_pb2.Semantics:
    """What the contract declares of it."""
    declared: semantics_pb2.Semantics = method.GetOptions().Extensions[semantics_pb2.semantics]
    return declared


def reason_of(status: status_pb2.Status) -> str:
    """The reason of a refusal; empty where it gives none."""
    for detail in status.details:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return info.reason
    return ""


def statuses_in(message: Message) -> Iterator[status_pb2.Status]:
    """Every status that stands anywhere in an answer."""
    for field, value in message.ListFields():
        if field.message_type is None or field.message_type.GetOptions().map_entry:
            continue
        for each in value if field.is_repeated else (value,):
            if isinstance(each, status_pb2.Status):
                yield each
            else:
                yield from statuses_in(each)
