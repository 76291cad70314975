"""Builds the registry."""

from __future__ import annotations

from suanmesh.registry.v1 import registry_service_pb2
from suanmesh_chassis import House, Parts, Served, run
from suanmesh_chassis.ca import NodeCa
from suanmesh_registry.assembly import assemble
from suanmesh_registry.settings import RegistrySettings

SERVICE = registry_service_pb2.DESCRIPTOR.services_by_name["RegistryService"]


async def build(house: House[RegistrySettings]) -> Parts:
    """The service, its mirrors, and who judges liveness."""
    ca = NodeCa.load(house.settings.ca_dir, house.clock)
    registry = await assemble(house.node, house.store, house.clock, house.rng, ca, house.settings)
    service = Served(SERVICE, registry.service)
    return Parts(servicers=[service], tasks=[registry.mirrors.run, registry.liveness.run], requests=house.store)


def main() -> None:
    """Run the registry until told to stop."""
    run("registry", RegistrySettings, build)
