"""The relay as it is called: by agents that only dial out, and by whoever would dial them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from suanmesh.gateway.v1 import relay_service_pb2 as pb
from suanmesh_chassis import Call
from suanmesh_gateway.contracts import SITES
from suanmesh_gateway.domain.relaying import timeout_ms
from suanmesh_gateway.relay import Relay
from suanmesh_kernel.names import checked_name
from suanmesh_kernel.refusals import InvalidArgument
from suanmesh_sdk.methods import declared


class RelayService:
    """Serves `suanmesh.gateway.v1.RelayService`. Which site an agent speaks for its certificate alone says."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay

    async def AwaitCalls(
        self, request: pb.AwaitCallsRequest, call: Call
    ) -> AsyncGenerator[pb.AwaitCallsResponse, None]:
        """The calls to the agent's site."""
        async with aclosing(self._relay.awaited(call.site)) as calls:
            async for each in calls:
                yield pb.AwaitCallsResponse(call=each)

    async def ServeCall(
        self, requests: AsyncIterator[pb.ServeCallRequest], call: Call
    ) -> AsyncGenerator[pb.ServeCallResponse, None]:
        """One of them."""
        with self._relay.opening(call.site):
            first = await anext(requests, pb.ServeCallRequest())
        async with aclosing(self._relay.served(call.site, first.call, requests)) as frames:
            async for frame in frames:
                yield frame

    async def CallSite(self, request: pb.CallSiteRequest, call: Call) -> AsyncGenerator[pb.CallSiteResponse, None]:
        """A call to a site, for whoever would dial it."""
        site = checked_name(request.site, "sites", field="site")
        if not request.method.startswith(f"{SITES.full_name}/") or declared(f"/{request.method}").effect != "READ":
            problem = f"method: {request.method!a} is none of a data plane's that changes nothing"
            raise InvalidArgument("FIELD_INVALID", problem, field="method")
        head = pb.RelayedHead(
            method=request.method,
            timeout_ms=timeout_ms(call.time_left()),
            caller=request.caller,
            traceparent=call.traceparent,
        )
        async with aclosing(self._relay.carry(site, head, _once(request.request))) as frames:
            async for frame in frames:
                yield pb.CallSiteResponse(content=frame.content, whole=frame.whole)


async def _once(message: bytes) -> AsyncIterator[bytes]:
    yield message
