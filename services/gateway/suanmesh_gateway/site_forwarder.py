"""Passes calls on to the data planes of sites, unread but for their first message: which site, and whose ticket."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message

from suanmesh.gateway.v1.relay_service_pb2 import RelayedHead
from suanmesh.transport.v1.transfer_pb2 import TransferTicket, UploadTicket
from suanmesh_chassis import Call
from suanmesh_gateway.data_planes import DataPlanes
from suanmesh_gateway.domain.relaying import timeout_ms
from suanmesh_gateway.relay import Relay
from suanmesh_kernel.addresses import RELAY
from suanmesh_kernel.names import checked_name
from suanmesh_kernel.refusals import InvalidArgument, PermissionDenied
from suanmesh_sdk import Mesh
from suanmesh_sdk.read_ahead import ReadAhead
from suanmesh_sdk.relayed import Joining

ANSWER_BYTES_MAX = 4 * 1024 * 1024
"""Of one message of a site that is relayed: four times what a site sends."""


class SiteForwarder:
    """A site is told from its first message; its agent trusts a gateway to let everybody use their own ticket only."""

    def __init__(self, mesh: Mesh, service: ServiceDescriptor, planes: DataPlanes, relay: Relay) -> None:
        self._mesh = mesh
        self._relay = relay
        self._planes = planes
        self._methods = {f"{service.full_name}/{method.name}": method for method in service.methods}

    async def unary(self, method: str, request: bytes, call: Call) -> bytes:
        """One request, one answer."""
        async with aclosing(self.stream(method, _once(request), call)) as answers:
            return await anext(answers)

    async def stream(self, method: str, requests: AsyncIterator[bytes], call: Call) -> AsyncGenerator[bytes, None]:
        """The agent's answers; its call is broken off when the caller breaks off.

        Raises PermissionDenied (`TICKET_INVALID`), FailedPrecondition (`SITE_NOT_REACHABLE`), Unavailable
        (`SITE_NOT_CONNECTED`) and what the agent says.
        """
        described = self._methods[method]
        first = await anext(requests, b"")
        site = site_of(described, first, call.principal)
        place = await self._planes.place_of(site)
        if place == RELAY:
            messages = _chained(first, requests) if described.client_streaming else _once(first)
            relayed = self._relayed(site, method, first, messages, call)
            async with aclosing(relayed):
                async for answer in relayed:
                    yield answer
            return
        channel = self._mesh.agent_channel(place, site=site)
        path = f"/{method}"
        answers: Any
        if described.client_streaming:
            answers = channel.stream_stream(path)(_chained(first, requests))
        else:
            answers = channel.unary_stream(path)(first)
        ahead = ReadAhead(answers)
        try:
            async for answer in ahead:
                yield answer
        finally:
            ahead.close()
            answers.cancel()

    async def _relayed(
        self, site: str, method: str, first: bytes, messages: AsyncIterator[bytes], call: Call
    ) -> AsyncGenerator[bytes, None]:
        """The answers of a site that only dials out; it is called as by this gateway, which is trusted as above."""
        head = RelayedHead(
            method=method,
            timeout_ms=timeout_ms(call.time_left()),
            caller=self._mesh.prover.proof(site, method, first),
            traceparent=call.traceparent,
        )
        joining = Joining(ANSWER_BYTES_MAX)
        async with aclosing(self._relay.carry(site, head, messages)) as frames:
            async for frame in frames:
                answer = joining.add(frame.content, whole=frame.whole)
                if answer is not None:
                    yield answer


def site_of(method: MethodDescriptor, first: bytes, principal: str) -> str:
    """The site that a first message names. Raises where its ticket is another's, or where it is none."""
    try:
        message: Any = message_factory.GetMessageClass(method.input_type).FromString(first)
        holder = _holder(message)
    except DecodeError as error:
        raise InvalidArgument(
            "MESSAGE_MALFORMED", "the first message cannot be read", domain="mesh.suanmesh"
        ) from error
    if holder != principal:
        problem = f"the ticket is for {holder[:200]}, not for {principal}"
        raise PermissionDenied("TICKET_INVALID", problem, field="ticket")
    return checked_name(message.site, "sites", field="site")


def _holder(message: Any) -> str:
    """Whom the ticket of a message is made out for; its signature is the agent's to check."""
    kinds: dict[str, type[Message]] = {kind.DESCRIPTOR.full_name: kind for kind in (TransferTicket, UploadTicket)}
    kind = kinds.get(message.ticket.payload_type)
    if kind is None:
        return ""
    claim: Any = kind.FromString(message.ticket.payload)
    return str(claim.writer if kind is UploadTicket else claim.reader)


async def _once(request: bytes) -> AsyncIterator[bytes]:
    yield request


async def _chained(first: bytes, others: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for other in others:
        yield other
