"""Builds the registry."""

from __future__ import annotations

from suanmesh.registry.v1 import registry_service_pb2
from suanmesh_chassis import House, Parts, Served, run
from suanmesh_chassis.ca import NodeCa
from suanmesh_registry.certificates import Certifier
from suanmesh_registry.presence import Presence
from suanmesh_registry.reconciler import Watchman
from suanmesh_registry.registrar import Registrar
from suanmesh_registry.service import RegistryService, Surroundings
from suanmesh_registry.settings import RegistrySettings
from suanmesh_store import open_mirror
from suanmesh_store.layout import POOLS, SITES

SERVICE = registry_service_pb2.DESCRIPTOR.services_by_name["RegistryService"]


async def build(house: House[RegistrySettings]) -> Parts:
    """The service, its mirrors, and who judges liveness."""
    settings, store, clock = house.settings, house.store, house.clock
    bounds = settings.bounds()
    sites, pools = await open_mirror(store, SITES), await open_mirror(store, POOLS)
    presence = Presence(store, clock, lease_s=settings.alive_lease_s, silence_s=settings.report_silence_s)
    watchman = Watchman(store, sites, pools, presence, bounds, clock, tick_s=settings.tick_s)
    certifier = Certifier(NodeCa.load(settings.ca_dir, clock), house.node, settings.certificate_days)
    caps = house.settings.caps()
    registrar = Registrar(store, pools, house.node, clock, house.rng, caps)
    around = Surroundings(
        house.node, store, sites, pools, presence, certifier, registrar, clock, house.rng, bounds, caps
    )
    service = Served(SERVICE, RegistryService(around))
    return Parts(servicers=[service], tasks=[sites.run, pools.run, watchman.run], requests=store)


def main() -> None:
    """Run the registry until told to stop."""
    run("registry", RegistrySettings, build)
