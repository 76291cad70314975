"""Builds the registry."""

from __future__ import annotations

from suanmesh.registry.v1 import registry_service_pb2
from suanmesh_chassis import Parts, Served, ServiceContext, run
from suanmesh_chassis.authorities import Authorities
from suanmesh_registry.assembly import lead, open_replica
from suanmesh_registry.readings import SiteReadings
from suanmesh_registry.settings import RegistrySettings

SERVICE = registry_service_pb2.DESCRIPTOR.services_by_name["RegistryService"]


async def build(context: ServiceContext[RegistrySettings]) -> Parts:
    """What any instance answers from its mirrors; and in a term the service, and who judges liveness."""
    authorities = Authorities.load(context.settings.ca_dir, context.clock)
    replica = await open_replica(context.store)

    async def term(led: ServiceContext[RegistrySettings]) -> Parts:
        registry = lead(replica, led.node, led.store, led.clock, led.rng, authorities, led.settings)
        led.closing.push_async_callback(registry.presence.close)
        shown = [SiteReadings(registry.mirrors, registry.catalogue, registry.presence.ahead_s)]
        return Parts([Served(SERVICE, registry.service)], [registry.liveness.run], led.store, readings=shown)

    return Parts([Served(SERVICE, replica.reads)], [replica.mirrors.run], term=term)


def main() -> None:
    """Run the registry until told to stop."""
    run("registry", RegistrySettings, build)
