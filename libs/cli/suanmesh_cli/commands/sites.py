"""`suan site` and `suan pool`."""

from __future__ import annotations

from collections.abc import Callable

import click

from suanmesh.registry.v1.pool_pb2 import Pool
from suanmesh.registry.v1.registry_service_pb2 import (
    FoundPool,
    GetPoolRequest,
    GetSiteRequest,
    ListSitesRequest,
    SearchPoolsRequest,
)
from suanmesh.registry.v1.site_pb2 import Site
from suanmesh.type.v1.capacity_pb2 import Capacity, Origin
from suanmesh_cli import output, units, values
from suanmesh_cli.commands import joining, owners
from suanmesh_cli.layout import Column
from suanmesh_cli.lazy import Verbs
from suanmesh_cli.names import Name, short
from suanmesh_cli.session import Session, each_of, full_name, listed, listing, reading
from suanmesh_cli.values import Cell, Facts
from suanmesh_kernel.addresses import RELAY
from suanmesh_kernel.texts import Text
from suanmesh_sdk.enums import enum_name

BY_RELAY = Text(
    "it only dials out; gateways carry calls to it (relay)", "只向外连接；发往它的调用由网关经其建立的流转送（中继）"
)
SITE_COLUMNS = (
    Column("SITE", lambda site: site.name),
    Column("PARTY", lambda site: site.party, rank=1),
    Column("LIVENESS", lambda site: liveness(site.liveness)),
    Column("ADMISSION", owners.admission),
    Column("CITY", lambda site: site.city_code, rank=2),
    Column("RESIDENCY", lambda site: ",".join(site.residency), rank=3),
    Column("DATA ENDPOINT", lambda site: site.data_endpoint, rank=4),
    Column("NAME", lambda site: site.display_name, rank=1),
)
POOL_COLUMNS = (
    Column("POOL", lambda found: short(found.pool.name)),
    Column("LIVENESS", lambda found: liveness(found.liveness)),
    Column("PHASE", lambda found: phase(found.pool), rank=2),
    Column("ARCH", lambda found: found.pool.architecture, rank=2),
    Column("HOSTS", lambda found: len(found.pool.hosts), rank=3),
    Column("FREE CORES", lambda found: free(found, cores)),
    Column("FREE MEMORY", lambda found: free(found, lambda capacity: values.size(capacity.memory_bytes)), rank=1),
    Column("DEVICES", lambda found: devices(found.pool.host_capacity), rank=1),
    Column("ORIGIN", lambda found: enum_name(Origin, found.pool.capacity_origin, "ORIGIN_"), rank=4),
    Column("PRICES", lambda found: ",".join(units.short(offer.price_book) for offer in found.pool.offers), rank=4),
    Column("TROUBLE", lambda found: found.state.reason.code),
    Column("IDENTIFIER", lambda found: found.pool.identifier, rank=5),
)


@click.group(cls=Verbs)
def site() -> None:
    """Sites: places with compute, each run by one provider."""


for verb in (*owners.VERBS, *joining.OF_SITES):
    site.add_command(verb)


@site.command("list")
@listing
async def list_sites(session: Session) -> None:
    """List the sites by name."""
    async with session.mesh() as mesh:
        sites = await listed(session, mesh.registry.ListSites, ListSitesRequest(), "sites")
    output.show_list(session.view, "sites", sites, SITE_COLUMNS)


@site.command("show")
@click.argument("names", type=Name("sites"), nargs=-1, required=True)
@reading
async def show_site(session: Session, names: tuple[str, ...]) -> int:
    """Show the sites NAMES."""
    async with session.mesh() as mesh:

        async def show(name: str) -> None:
            request = GetSiteRequest(name=full_name("sites", name))
            found = await mesh.registry.GetSite(request, timeout=session.timeout_s)
            wanted = SearchPoolsRequest(filter=f'site.name = "{found.name}"')
            pools = await listed(session, mesh.registry.SearchPools, wanted, "pools")
            troubles: Facts = [("trouble", each.state.reason) for each in pools if each.state.reason.code]
            reached: Facts = [("reached", BY_RELAY.of(session.lang))] if found.data_endpoint == RELAY else []
            facts = site_facts(found) + reached + troubles
            output.show_one(session.view, found, lambda: output.facts(session.view, facts), SITE_COLUMNS)

        return await each_of(session, names, show)


@click.group(cls=Verbs)
def pool() -> None:
    """Pools: hosts of one site under one identifier."""


@pool.command("search")
@click.argument("filter_", metavar="[FILTER]", default="")
@listing
async def search_pools(session: Session, filter_: str) -> None:
    """Find pools by their own fields, `free.*` and `site.*`.

    For example: 'architecture = "x86_64" AND free.cpu_milli >= 1000'
    """
    async with session.mesh() as mesh:
        request = SearchPoolsRequest(filter=filter_)
        found = await listed(session, mesh.registry.SearchPools, request, "pools")
    output.show_list(session.view, "pools", found, POOL_COLUMNS, name=lambda each: str(each.pool.name))


@pool.command("show")
@click.argument("names", type=Name("pools"), nargs=-1, required=True)
@reading
async def show_pool(session: Session, names: tuple[str, ...]) -> int:
    """Show the pools NAMES, as `SITE/POOL` or sites/SITE/pools/POOL."""
    async with session.mesh() as mesh:

        async def show(name: str) -> None:
            found = await mesh.registry.GetPool(GetPoolRequest(name=pool_name(name)), timeout=session.timeout_s)
            output.show_one(session.view, found, lambda: output.facts(session.view, pool_facts(found)))

        return await each_of(session, names, show)


def pool_name(given: str) -> str:
    """`sites/a/pools/p` for `a/p`, as people type it and tables show it."""
    site, _, last = given.partition("/")
    return given if site == "sites" or not last else f"sites/{site}/pools/{last}"


def liveness(value: Site.Liveness.ValueType) -> str:
    """`ALIVE` and the like."""
    return enum_name(Site.Liveness, value, "LIVENESS_")


def phase(pool: Pool) -> str:
    """`ACTIVE` and the like."""
    return enum_name(Pool.Phase, pool.phase, "PHASE_")


def free(found: FoundPool, shown: Callable[[Capacity], Cell]) -> Cell:
    """What is free as the agent sees it, or `?` while it has not said."""
    return shown(found.state.free) if found.HasField("state") else "?"


def cores(capacity: Capacity) -> Cell:
    """Milli-cores as cores."""
    return values.Quantity(capacity.cpu_milli, units.cores(capacity.cpu_milli))


def devices(capacity: Capacity) -> str:
    """`2×gpu A100` and the like."""
    return ", ".join(f"{device.count}×{getattr(device, 'class')} {device.model}" for device in capacity.devices)


def capacity(held: Capacity) -> str:
    """Everything a capacity holds, on one line."""
    parts = [
        f"{units.cores(held.cpu_milli)} cores",
        units.size(held.memory_bytes),
        f"{units.size(held.scratch_bytes)} scratch",
    ]
    return ", ".join([*parts, devices(held)] if held.devices else parts)


def site_facts(site: Site) -> Facts:
    """What is known of a site."""
    place = f"{site.latitude_microdegrees / 1e6:.4f} N, {site.longitude_microdegrees / 1e6:.4f} E"
    return [
        ("site", site.name),
        ("name", site.display_name),
        ("party", site.party),
        ("liveness", liveness(site.liveness)),
        ("because", site.liveness_reason if site.liveness_reason.code else ""),
        ("admission", owners.admission(site)),
        ("note", site.admission_note),
        ("city", site.city_code),
        ("place", place),
        ("residency", ", ".join(site.residency)),
        ("PUE", f"{site.pue_milli / 1000:g}" if site.HasField("pue_milli") else ""),
        ("agent", site.agent),
        ("certificate until", site.certificate_expire_time if site.HasField("certificate_expire_time") else ""),
        ("data endpoint", site.data_endpoint),
        ("enrolled", site.create_time),
    ]


def pool_facts(pool: Pool) -> Facts:
    """What is known of a pool."""
    measured = (
        f"{each.quantity} = {each.value} {each.unit} ({enum_name(Origin, each.origin, 'ORIGIN_')})"
        for each in pool.capabilities
    )
    return [
        ("pool", pool.name),
        ("identifier", pool.identifier),
        ("party", pool.party),
        ("phase", phase(pool)),
        ("architecture", pool.architecture),
        ("hosts", ", ".join(host.name for host in pool.hosts)),
        ("a host holds", capacity(pool.host_capacity)),
        ("origin", enum_name(Origin, pool.capacity_origin, "ORIGIN_")),
        ("runtimes", ", ".join(pool.runtimes)),
        ("capabilities", "; ".join(measured)),
        ("prices", ", ".join(offer.price_book for offer in pool.offers)),
        ("limits", owners.limits_of(pool.limits)),
        ("generation", pool.generation),
    ]
