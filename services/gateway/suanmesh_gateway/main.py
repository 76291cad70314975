"""Builds the gateway."""

from __future__ import annotations

from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

from suanmesh.accounting.v1 import accounting_service_pb2
from suanmesh.gateway.v1 import gateway_service_pb2
from suanmesh.network_orchestrator.v1 import network_orchestrator_service_pb2
from suanmesh.registry.v1 import registry_service_pb2
from suanmesh.scheduler.v1 import scheduler_service_pb2
from suanmesh.transport.v1 import transport_service_pb2
from suanmesh.type.v1.semantics_pb2 import EFFECT_STREAM, ROLE_AGENT, ROLE_SERVICE, Semantics
from suanmesh_chassis import Forwarded, House, Listener, Parts, Served, run
from suanmesh_chassis.assertion import Minter
from suanmesh_gateway.forwarder import Forwarder
from suanmesh_gateway.service import GatewayService, TraceReceiver
from suanmesh_gateway.settings import GatewaySettings
from suanmesh_gateway.sweeper import Sweeper
from suanmesh_gateway.trace_store import TraceStore

OWN = gateway_service_pb2.DESCRIPTOR.services_by_name["GatewayService"]
OTLP = trace_service_pb2.DESCRIPTOR.services_by_name["TraceService"]
# Taking in spans is not itself traced, or every export would make a trace that is exported.
OTLP_SEMANTICS = Semantics(roles=[ROLE_SERVICE, ROLE_AGENT], effect=EFFECT_STREAM)
FORWARDED = [
    service
    for module in (
        accounting_service_pb2,
        network_orchestrator_service_pb2,
        registry_service_pb2,
        scheduler_service_pb2,
        transport_service_pb2,
    )
    for service in module.DESCRIPTOR.services_by_name.values()
]


async def build(house: House[GatewaySettings]) -> Parts:
    """The trace store, and a way to every other area."""
    settings = house.settings
    store = TraceStore(house.data_dir / "traces.sqlite", trace_spans_max=settings.trace_spans_max)
    forwarder = Forwarder(house.mesh, Minter(house.signer, house.clock), FORWARDED)
    own = [Served(OWN, GatewayService(store)), Served(OTLP, TraceReceiver(store), OTLP_SEMANTICS)]
    return Parts(
        servicers=[*own, *(Forwarded(service, forwarder) for service in FORWARDED)],
        tasks=[Sweeper(store, settings, house.clock).run],
        extra_listeners=[Listener(settings.enrol_listen, client_certificate=False)],
        closing=[store.close],
    )


def main() -> None:
    """Run the gateway until told to stop."""
    run("gateway", GatewaySettings, build, leads=False)
