"""Builds the gateway."""

from __future__ import annotations

from suanmesh_chassis import Forwarded, Parts, Served, ServiceContext, run
from suanmesh_chassis.assertion import Minter
from suanmesh_gateway.contracts import FORWARDED, OTLP, OTLP_SEMANTICS, OWN, RELAYED, SITES
from suanmesh_gateway.data_planes import DataPlanes
from suanmesh_gateway.forwarder import Forwarder
from suanmesh_gateway.passthrough import passthrough
from suanmesh_gateway.relay import Relay
from suanmesh_gateway.relay_service import RelayService
from suanmesh_gateway.service import GatewayService, TraceReceiver
from suanmesh_gateway.settings import GatewaySettings
from suanmesh_gateway.site_forwarder import SiteForwarder
from suanmesh_gateway.sweeper import Sweeper
from suanmesh_gateway.trace_store import TraceStore


async def build(context: ServiceContext[GatewaySettings]) -> Parts:
    """The trace store, the relay, and a way to every other area."""
    settings = context.settings
    store = TraceStore(context.data_dir / "traces.sqlite", trace_spans_max=settings.trace_spans_max)
    context.closing.push_async_callback(store.close)
    forwarder = Forwarder(context.mesh, Minter(context.signer, context.clock), FORWARDED)
    relay, planes = Relay(), DataPlanes(context.mesh, context.clock)
    through = passthrough(settings, context.node, planes)
    own = [
        Served(OWN, GatewayService(store, context.mesh, planes, through.endpoint if through else "")),
        Served(OTLP, TraceReceiver(store), OTLP_SEMANTICS),
        Served(RELAYED, RelayService(relay), relays=True),
    ]
    sites = Forwarded(SITES, SiteForwarder(context.mesh, SITES, planes, relay), reads_ahead=True)
    return Parts(
        servicers=[*own, *(Forwarded(service, forwarder) for service in FORWARDED), sites],
        tasks=[Sweeper(store, settings, context.clock).run, *([through.run] if through else [])],
        components={"traces": lambda: store.fault},
    )


def main() -> None:
    """Run the gateway until told to stop."""
    run("gateway", GatewaySettings, build, edge=True)
