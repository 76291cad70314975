"""What the gateway answers itself, and which services it passes callers on to."""

from __future__ import annotations

from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

from suanmesh.accounting.v1 import accounting_service_pb2
from suanmesh.agent.v1 import agent_service_pb2
from suanmesh.gateway.v1 import gateway_service_pb2, relay_service_pb2
from suanmesh.network_orchestrator.v1 import network_orchestrator_service_pb2
from suanmesh.registry.v1 import registry_service_pb2
from suanmesh.scheduler.v1 import scheduler_service_pb2
from suanmesh.transport.v1 import transport_service_pb2
from suanmesh.type.v1.semantics_pb2 import (
    EFFECT_STREAM,
    OWNERSHIP_OWN,
    ROLE_AGENT,
    ROLE_SERVICE,
    SERVED_BY_ANY,
    Semantics,
)

OWN = gateway_service_pb2.DESCRIPTOR.services_by_name["GatewayService"]
OTLP = trace_service_pb2.DESCRIPTOR.services_by_name["TraceService"]
# Taking in spans is not itself traced, or every export would make a trace that is exported.
OTLP_SEMANTICS = Semantics(
    roles=[ROLE_SERVICE, ROLE_AGENT], effect=EFFECT_STREAM, ownership=OWNERSHIP_OWN, served_by=SERVED_BY_ANY
)
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
RELAYED = relay_service_pb2.DESCRIPTOR.services_by_name["RelayService"]
SITES = agent_service_pb2.DESCRIPTOR.services_by_name["AgentService"]
"""What the data planes of sites serve; users reach what of it is public."""
