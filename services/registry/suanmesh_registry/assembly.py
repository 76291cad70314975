"""What the registry of a process is made of, for its main and for tests that need all of it."""

from __future__ import annotations

from dataclasses import dataclass

from suanmesh_chassis.authorities import Authorities
from suanmesh_chassis.ca import NodeCa
from suanmesh_kernel.clock import Clock, Rng
from suanmesh_kernel.identifiers import sortable_id
from suanmesh_registry.admission import SiteAdmission
from suanmesh_registry.catalogue import Catalogue
from suanmesh_registry.certificates import Certifier
from suanmesh_registry.enrolment import Enrolment
from suanmesh_registry.mirrors import Mirrors, open_mirrors
from suanmesh_registry.presence import Presence
from suanmesh_registry.reads import RegistryReads
from suanmesh_registry.reconciler import LivenessReconciler
from suanmesh_registry.registrar import Registrar
from suanmesh_registry.renewing import Renewals
from suanmesh_registry.revoking import Revoking
from suanmesh_registry.service import Dependencies, RegistryService
from suanmesh_registry.settings import RegistrySettings
from suanmesh_registry.signing_keys import SigningKeys
from suanmesh_registry.trusted_nodes import TrustedNodes
from suanmesh_store import Store


@dataclass(frozen=True, slots=True)
class Replica:
    """What any instance has; `mirrors.run` is to be started as a task."""

    mirrors: Mirrors
    catalogue: Catalogue
    reads: RegistryReads


@dataclass(frozen=True, slots=True)
class Registry:
    """The registry of one term; `mirrors.run` and `liveness.run` are to be started as tasks."""

    mirrors: Mirrors
    catalogue: Catalogue
    presence: Presence
    liveness: LivenessReconciler
    service: RegistryService


async def open_replica(store: Store) -> Replica:
    """What any instance has, with its mirrors loaded."""
    mirrors = await open_mirrors(store)
    return Replica(mirrors, Catalogue(mirrors.sites, mirrors.pools), RegistryReads(store, mirrors))


def lead(
    replica: Replica,
    node: str,
    store: Store,
    clock: Clock,
    rng: Rng,
    authorities: Authorities,
    settings: RegistrySettings,
) -> Registry:
    """What the leader has besides, over a store that is fenced by its term."""
    bounds, caps, mirrors, catalogue = settings.bounds(), settings.caps(), replica.mirrors, replica.catalogue
    presence = Presence(store, clock, catalogue, lease_s=settings.alive_lease_s, silence_s=settings.report_silence_s)
    liveness = LivenessReconciler(store, mirrors, catalogue, presence, bounds, clock, tick_s=settings.tick_s)
    certifier = Certifier(authorities, node, settings.certificate_days, settings.user_certificate_days)
    key_days = settings.signing_key_days
    revoking = Revoking(store, mirrors, clock)
    enrolment = Enrolment(node, store, mirrors, certifier, clock, caps, revoking, key_days)
    registrar = Registrar(store, mirrors, node, clock, rng, caps)
    keys, nodes = SigningKeys(store, clock, key_days), TrustedNodes(node, store, authorities, clock)
    term = sortable_id(clock.now(), rng)
    given = Dependencies(
        store,
        clock,
        mirrors,
        catalogue,
        presence,
        enrolment,
        Renewals(store, certifier, revoking, clock),
        revoking,
        registrar,
        keys,
        nodes,
        SiteAdmission(store, mirrors, clock, revoking),
        bounds,
        caps,
        term,
    )
    return Registry(mirrors, catalogue, presence, liveness, RegistryService(given))


async def assemble(node: str, store: Store, clock: Clock, rng: Rng, ca: NodeCa, settings: RegistrySettings) -> Registry:
    """All of a registry over one store."""
    return lead(await open_replica(store), node, store, clock, rng, Authorities.of(ca, clock), settings)
