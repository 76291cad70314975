"""`suan site` and `suan pool`."""

from __future__ import annotations

import click

from suanmesh.registry.v1.pool_pb2 import Pool
from suanmesh.registry.v1.registry_service_pb2 import (
    CreateJoinTokenRequest,
    FoundPool,
    GetPoolRequest,
    GetSiteRequest,
    ListSitesRequest,
    SearchPoolsRequest,
)
from suanmesh.registry.v1.site_pb2 import Site
from suanmesh.type.v1.capacity_pb2 import Capacity, Origin
from suanmesh_cli import output, units
from suanmesh_cli.lazy import Verbs
from suanmesh_cli.render.states import because
from suanmesh_cli.session import Session, command, full_name, listed

SITE_COLUMNS: output.Columns = (
    ("SITE", lambda site: site.name),
    ("PARTY", lambda site: site.party),
    ("LIVENESS", lambda site: liveness(site.liveness)),
    ("CITY", lambda site: site.city_code),
    ("RESIDENCY", lambda site: ",".join(site.residency)),
    ("DATA ENDPOINT", lambda site: site.data_endpoint),
    ("NAME", lambda site: site.display_name),
)
POOL_COLUMNS: output.Columns = (
    ("POOL", lambda found: found.pool.name),
    ("LIVENESS", lambda found: liveness(found.liveness)),
    ("PHASE", lambda found: phase(found.pool)),
    ("ARCH", lambda found: found.pool.architecture),
    ("HOSTS", lambda found: str(len(found.pool.hosts))),
    ("FREE CORES", lambda found: free(found, lambda capacity: units.cores(capacity.cpu_milli))),
    ("FREE MEMORY", lambda found: free(found, lambda capacity: units.size(capacity.memory_bytes))),
    ("DEVICES", lambda found: devices(found.pool.host_capacity)),
    ("ORIGIN", lambda found: Origin.Name(found.pool.capacity_origin).removeprefix("ORIGIN_")),
    ("PRICES", lambda found: ",".join(units.short(offer.price_book) for offer in found.pool.offers)),
    ("TROUBLE", lambda found: found.state.reason.code),
    ("IDENTIFIER", lambda found: found.pool.identifier),
)


@click.group(cls=Verbs)
def site() -> None:
    """Sites: places with compute, each run by one provider."""


@site.command("list")
@command
async def list_sites(session: Session) -> None:
    """List the sites by name."""
    async with session.mesh() as mesh:
        sites = await listed(mesh.registry.ListSites, ListSitesRequest(), "sites", session.timeout_s)
    output.show_list(session.output, "sites", sites, SITE_COLUMNS)


@site.command("show")
@click.argument("name")
@command
async def show_site(session: Session, name: str) -> None:
    """Show the site NAME."""
    async with session.mesh() as mesh:
        found = await mesh.registry.GetSite(GetSiteRequest(name=full_name("sites", name)), timeout=session.timeout_s)
        request = SearchPoolsRequest(filter=f'site.name = "{found.name}"')
        pools = await listed(mesh.registry.SearchPools, request, "pools", session.timeout_s)
    reasons = [each.state.reason for each in pools if each.state.reason.code]
    troubles = [("trouble", because(reason, session.lang)) for reason in reasons]
    output.show_one(session.output, found, lambda: output.facts(site_facts(found) + troubles))


@site.command("token")
@click.option("--party", required=True, help="Party the site will belong to, such as parties/acme.")
@click.option(
    "--ttl", "ttl_s", type=click.IntRange(1, 86400), default=3600, show_default=True, help="Seconds it lasts."
)
@command
async def join_token(session: Session, party: str, ttl_s: int) -> None:
    """Issue a one-time token with which one agent may join (operator)."""
    request = CreateJoinTokenRequest(party=full_name("parties", party), ttl_s=ttl_s)
    async with session.mesh() as mesh:
        token = await mesh.registry.CreateJoinToken(request, timeout=session.timeout_s)
    if session.output in ("table", "name"):
        click.echo(token.token)
        output.note(f"spend it before {units.moment(token.expire_time)}; it is not shown again")
    else:
        output.show_data(session.output, output.as_data(token))


@click.group(cls=Verbs)
def pool() -> None:
    """Pools: hosts of one site under one identifier."""


@pool.command("search")
@click.argument("filter_", metavar="FILTER", default="")
@command
async def search_pools(session: Session, filter_: str) -> None:
    """Find pools by their own fields, `free.*` and `site.*`.

    For example: 'architecture = "x86_64" AND free.cpu_milli >= 1000'
    """
    async with session.mesh() as mesh:
        request = SearchPoolsRequest(filter=filter_)
        found = await listed(mesh.registry.SearchPools, request, "pools", session.timeout_s)
    if session.output == "name":
        for each in found:
            click.echo(each.pool.name)
        return
    output.show_list(session.output, "pools", found, POOL_COLUMNS)


@pool.command("show")
@click.argument("name")
@command
async def show_pool(session: Session, name: str) -> None:
    """Show the pool NAME (sites/SITE/pools/POOL)."""
    async with session.mesh() as mesh:
        found = await mesh.registry.GetPool(GetPoolRequest(name=name), timeout=session.timeout_s)
    output.show_one(session.output, found, lambda: output.facts(pool_facts(found)))


def liveness(value: Site.Liveness.ValueType) -> str:
    """`ALIVE` and the like."""
    return Site.Liveness.Name(value).removeprefix("LIVENESS_")


def phase(pool: Pool) -> str:
    """`ACTIVE` and the like."""
    return Pool.Phase.Name(pool.phase).removeprefix("PHASE_")


def free(found: FoundPool, shown: object) -> str:
    """What is free as the agent sees it, or `?` while it has not said."""
    if not found.HasField("state"):
        return "?"
    return str(shown(found.state.free)) if callable(shown) else ""


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


def site_facts(site: Site) -> list[tuple[str, str]]:
    """What is known of a site."""
    place = f"{site.latitude_microdegrees / 1e6:.4f} N, {site.longitude_microdegrees / 1e6:.4f} E"
    return [
        ("site", site.name),
        ("name", site.display_name),
        ("party", site.party),
        ("liveness", liveness(site.liveness)),
        ("city", site.city_code),
        ("place", place),
        ("residency", ", ".join(site.residency)),
        ("PUE", f"{site.pue_milli / 1000:g}" if site.HasField("pue_milli") else ""),
        ("agent", site.agent),
        ("data endpoint", site.data_endpoint),
        ("enrolled", units.moment(site.create_time)),
    ]


def pool_facts(pool: Pool) -> list[tuple[str, str]]:
    """What is known of a pool."""
    measured = (
        f"{each.quantity} = {each.value} {each.unit} ({Origin.Name(each.origin).removeprefix('ORIGIN_')})"
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
        ("origin", Origin.Name(pool.capacity_origin).removeprefix("ORIGIN_")),
        ("runtimes", ", ".join(pool.runtimes)),
        ("capabilities", "; ".join(measured)),
        ("prices", ", ".join(offer.price_book for offer in pool.offers)),
        ("generation", str(pool.generation)),
    ]
