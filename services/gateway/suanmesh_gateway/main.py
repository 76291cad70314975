"""Builds the gateway."""

from __future__ import annotations

from suanmesh_chassis import Forwarded, House, Listener, Parts, Served, run
from suanmesh_chassis.assertion import Minter
from suanmesh_gateway.contracts import FORWARDED, OTLP, OTLP_SEMANTICS, OWN
from suanmesh_gateway.forwarder import Forwarder
from suanmesh_gateway.service import GatewayService, TraceReceiver
from suanmesh_gateway.settings import GatewaySettings
from suanmesh_gateway.sweeper import Sweeper
from suanmesh_gateway.trace_store import TraceStore


async def build(house: House[GatewaySettings]) -> Parts:
    """The trace store, and a way to every other area."""
    settings = house.settings
    store = TraceStore(house.data_dir / "traces.sqlite", trace_spans_max=settings.trace_spans_max)
    house.closing.push_async_callback(store.close)
    forwarder = Forwarder(house.mesh, Minter(house.signer, house.clock), FORWARDED)
    own = [Served(OWN, GatewayService(store)), Served(OTLP, TraceReceiver(store), OTLP_SEMANTICS)]
    return Parts(
        servicers=[*own, *(Forwarded(service, forwarder) for service in FORWARDED)],
        tasks=[Sweeper(store, settings, house.clock).run],
        extra_listeners=[Listener(settings.enrol_listen, client_certificate=False)],
        components={"traces": lambda: store.trouble},
    )


def main() -> None:
    """Run the gateway until told to stop."""
    run("gateway", GatewaySettings, build, edge=True)
