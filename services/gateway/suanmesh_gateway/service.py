"""The gateway's own calls: the trace store, filled over OTLP and read by people; who is reached, and where."""

from __future__ import annotations

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from suanmesh.gateway.v1 import gateway_service_pb2 as pb
from suanmesh.gateway.v1 import trace_pb2
from suanmesh_chassis import Call
from suanmesh_gateway import wire
from suanmesh_gateway.data_planes import DataPlanes
from suanmesh_gateway.domain import pages, traces
from suanmesh_gateway.trace_store import TraceStore
from suanmesh_kernel.addresses import RELAY
from suanmesh_kernel.names import checked_name
from suanmesh_kernel.pages import checked_size
from suanmesh_kernel.refusals import NotFound
from suanmesh_sdk import InstanceState, Mesh


class TraceReceiver:
    """OTLP's TraceService (opentelemetry.proto.collector.trace.v1)."""

    def __init__(self, store: TraceStore) -> None:
        self._store = store

    async def Export(self, request: ExportTraceServiceRequest, call: Call) -> ExportTraceServiceResponse:
        spans = wire.spans_from(request)
        await self._store.add((traces.told_by(call.site, span) for span in spans) if call.site else spans)
        return ExportTraceServiceResponse()


GATEWAYS_MAX = 64


class GatewayService:
    """Reads traces, of which a user sees those that a call of their party began; looks whether sites answer."""

    def __init__(self, store: TraceStore, mesh: Mesh, planes: DataPlanes, passthrough: str) -> None:
        """`passthrough` is the `host:port` at which connections to sites are passed through; empty for none."""
        self._store = store
        self._mesh = mesh
        self._planes = planes
        self._passthrough = passthrough

    async def ListGateways(self, request: pb.ListGatewaysRequest, call: Call) -> pb.ListGatewaysResponse:
        known = self._mesh.instances("gateway")
        serving = {each.address for each in known if each.state is InstanceState.ACTIVE}
        return pb.ListGatewaysResponse(addresses=sorted(serving)[:GATEWAYS_MAX])

    async def CheckDataPlane(self, request: pb.CheckDataPlaneRequest, call: Call) -> pb.CheckDataPlaneResponse:
        return pb.CheckDataPlaneResponse(reached=await self._planes.answers(call.site, request.endpoint))

    async def LocateDataPlane(self, request: pb.LocateDataPlaneRequest, call: Call) -> pb.LocateDataPlaneResponse:
        site = checked_name(request.site, "sites", field="site")
        relayed = await self._planes.place_of(site) == RELAY
        return pb.LocateDataPlaneResponse(endpoint="" if relayed else self._passthrough)

    async def GetTrace(self, request: pb.GetTraceRequest, call: Call) -> trace_pb2.Trace:
        spans = await self._store.trace(traces.trace_id(request.name))
        if not spans or not (call.is_("operator") or traces.belongs_to(spans, call.party)):
            raise NotFound("TRACE_UNKNOWN", f"no spans of {request.name} are kept", name=request.name)
        return wire.trace_to(request.name, spans)

    async def ListTraces(self, request: pb.ListTracesRequest, call: Call) -> pb.ListTracesResponse:
        size = checked_size(request.page_size)
        summaries = await self._store.newest(size + 1, pages.before(request.page_token))
        token = pages.token(summaries[size - 1]) if len(summaries) > size else ""
        return pb.ListTracesResponse(traces=[wire.summary_to(each) for each in summaries[:size]], next_page_token=token)
