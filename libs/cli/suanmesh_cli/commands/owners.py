"""What the owner of a site does: `suan site cordon`, `uncordon`, `drain`, `remove`, `jobs`, `limits` and the like."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from suanmesh.registry.v1.pool_pb2 import OwnerLimits, WorkKind
from suanmesh.registry.v1.registry_service_pb2 import (
    GetSiteRequest,
    ListSitesRequest,
    RemoveSiteRequest,
    SearchPoolsRequest,
    SetSiteAdmissionRequest,
)
from suanmesh.registry.v1.site_pb2 import Site
from suanmesh.scheduler.v1.placement_pb2 import Placement
from suanmesh.scheduler.v1.scheduler_service_pb2 import ListSitePlacementsRequest
from suanmesh_cli import output, units, values
from suanmesh_cli.following import Outage, goes_on, telling_who_leaves
from suanmesh_cli.layout import Column
from suanmesh_cli.names import Name, short
from suanmesh_cli.session import Session, command, each_of, full_name, listed, listing, tell
from suanmesh_cli.texts import refusal
from suanmesh_cli.usage import Misuse
from suanmesh_kernel.refusals import DeadlineExceeded, NotFound, Unavailable
from suanmesh_kernel.texts import Text
from suanmesh_sdk.enums import enum_name

if TYPE_CHECKING:
    from suanmesh_sdk import Mesh

LOOK_S = 1.0
"""How often a drain is looked at."""
EMPTY_LOOKS = 2
"""So often nothing is found before nothing is left: a round that was under way may still have placed something."""
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
PLACEMENT_COLUMNS = (
    Column("JOB", lambda each: units.short(each.job)),
    Column("PARTY", lambda each: units.short(each.party)),
    Column("STATE", lambda each: enum_name(Placement.State, each.state, "STATE_")),
    Column("TASKS", lambda each: f"{each.tasks_ended}/{each.tasks}", rank=1),
    Column("CORES", lambda each: values.Quantity(each.holds.cpu_milli, units.cores(each.holds.cpu_milli)), rank=1),
    Column("MEMORY", lambda each: values.size(each.holds.memory_bytes), rank=2),
    Column("POOL", lambda each: units.short(each.pool), rank=3),
    Column("SINCE", lambda each: each.create_time, rank=2),
    Column("LONGEST", lambda each: values.duration_us(each.max_duration_s * 1_000_000), rank=3),
    Column("PLACEMENT", lambda each: units.short(each.name), rank=4),
)
LIMIT_COLUMNS = (
    Column("POOL", lambda each: short(each.pool.name)),
    Column("PARTIES", lambda each: ", ".join(map(units.short, each.pool.limits.parties)) or "all", fold=True),
    Column("HOURS", lambda each: hours(each.pool.limits), fold=True),
    Column("REFUSED", lambda each: kinds(each.pool.limits)),
    Column("SHARE", lambda each: share(each.pool.limits)),
    Column("UPLOADS", lambda each: uploads(each.pool.limits)),
)
HEALTH_COLUMNS = (
    Column("SITE", lambda each: each["site"]),
    Column("LIVENESS", lambda each: each["liveness"]),
    Column("ADMISSION", lambda each: each["admission"]),
    Column("HEARD", lambda each: values.stamp(each["heard"]), rank=1),
    Column("REASON", lambda each: each["reason"], fold=True),
)

CARD_COLUMNS = (
    Column("MODEL", lambda each: each.model),
    Column("BUSY", lambda each: f"{each.busy_milli / 10:g} %"),
    Column("MEMORY USED", lambda each: values.size(each.memory_used_bytes)),
    Column("CLASS", lambda each: getattr(each, "class"), rank=2),
    Column("FAULT", lambda each: each.fault, fold=True),
    Column("CARD", lambda each: each.id, rank=1),
)


def admission(site: Site) -> str:
    """`OPEN` and the like."""
    return "OPEN" if not site.admission else enum_name(Site.Admission, site.admission, "ADMISSION_")


@click.command("cordon")
@click.argument("names", type=Name("sites"), nargs=-1, required=True)
@click.option("--note", default="", help="Why, for those whose jobs do not come.")
@command
async def cordon(session: Session, names: tuple[str, ...], note: str) -> int:
    """Let nothing new come to the sites NAMES; what is there stays (their owner, the operator)."""
    return await each_of(session, names, lambda name: _admit(session, name, Site.ADMISSION_CORDONED, note))


@click.command("uncordon")
@click.argument("names", type=Name("sites"), nargs=-1, required=True)
@command
async def uncordon(session: Session, names: tuple[str, ...]) -> int:
    """Let new work come to the sites NAMES again (their owner, the operator)."""
    return await each_of(session, names, lambda name: _admit(session, name, Site.ADMISSION_OPEN, ""))


@click.command("drain")
@click.argument("name", type=Name("sites"))
@click.option("--note", default="", help="Why, for those whose jobs do not come.")
@click.option("--wait/--no-wait", default=True, help="Follow until nothing is left; Ctrl-C leaves it draining.")
@command
async def drain(session: Session, name: str, note: str, wait: bool) -> None:
    """Empty the site NAME: what has not begun goes elsewhere, what runs goes on (its owner, the operator)."""
    await _admit(session, name, Site.ADMISSION_DRAINING, note)
    if wait:
        async with session.mesh() as mesh:
            name = full_name("sites", name)
            with telling_who_leaves(session, goes_on(name, f"suan site jobs {name.removeprefix('sites/')}")):
                await _until_empty(session, mesh, name)


@click.command("remove")
@click.argument("name", type=Name("sites"))
@click.option("--yes", is_flag=True, help="Do not ask.")
@command
async def remove(session: Session, name: str, yes: bool) -> None:
    """Let the drained site NAME leave for good; its name stays taken (its owner, the operator)."""
    name = full_name("sites", name)
    if not yes:
        if not sys.stdin.isatty():
            raise Misuse(Text("Nobody is there to be asked: say --yes.", "无人可问：请加 --yes。"))
        asked = Text(f"{name} leaves for good. Remove it?", f"{name} 将永久退出。确定移除？").of(session.lang)
        click.confirm(asked, abort=True, err=True)
    async with session.mesh() as mesh:
        _show(session, await mesh.registry.RemoveSite(RemoveSiteRequest(name=name), timeout=session.timeout_s))


@click.command("jobs")
@click.argument("name", type=Name("sites"))
@listing
async def jobs(session: Session, name: str) -> None:
    """List what lives at the site NAME, and for whom; of a site of others only what is yours."""
    request = ListSitePlacementsRequest(site=full_name("sites", name))
    async with session.mesh() as mesh:
        found = await listed(session, mesh.scheduler.ListSitePlacements, request, "placements")
        await _require_known(session, mesh, name, found)
    output.show_list(session.view, "placements", found, PLACEMENT_COLUMNS, name=lambda each: str(each.job))


@click.command("limits")
@click.argument("name", type=Name("sites"))
@listing
async def limits(session: Session, name: str) -> None:
    """Show what the owner of the site NAME refuses to others. It is set at its agent, which keeps to it."""
    request = SearchPoolsRequest(filter=f'site.name = "{full_name("sites", name)}"')
    async with session.mesh() as mesh:
        found = await listed(session, mesh.registry.SearchPools, request, "pools")
        await _require_known(session, mesh, name, found)
    output.show_list(session.view, "pools", found, LIMIT_COLUMNS, name=lambda each: str(each.pool.name))


@click.command("health")
@click.argument("names", type=Name("sites"), nargs=-1)
@listing
async def health(session: Session, names: tuple[str, ...]) -> int:
    """List whether the agents of all sites, or of NAMES, are heard, and what is wrong; status 1 if anything is."""
    wanted, whole = {full_name("sites", name) for name in names}, replace(session, limit=None)
    async with session.mesh() as mesh:
        sites = await listed(whole, mesh.registry.ListSites, ListSitesRequest(), "sites")
        pools = await listed(whole, mesh.registry.SearchPools, SearchPoolsRequest(), "pools")
    rows = [_health(session, each, pools) for each in sites if not wanted or each.name in wanted]
    rows = [row for row in rows if row["admission"] != "REMOVED" or row["site"] in wanted]
    shown = rows[: session.limit or len(rows)]
    if len(shown) < len(rows):
        output.note_more(session.view, len(shown))
    output.show_list(session.view, "sites", shown, HEALTH_COLUMNS, name=lambda row: str(row["site"]))
    statuses = [await tell(session, _unknown(name)) for name in sorted(wanted - {row["site"] for row in rows})]
    return next(iter(statuses), 1 if any(row["reason"] for row in rows) else 0)


@click.command("cards")
@click.argument("name", type=Name("sites"))
@listing
async def cards(session: Session, name: str) -> None:
    """List the accelerator cards of the site NAME: how busy each is, and what is wrong with it."""
    whole = replace(session, limit=None)
    request = SearchPoolsRequest(filter=f'site.name = "{full_name("sites", name)}"')
    async with session.mesh() as mesh:
        pools = await listed(whole, mesh.registry.SearchPools, request, "pools")
        await _require_known(session, mesh, name, pools)
    found = [card for each in pools for card in each.state.cards]
    shown = found[: session.limit or len(found)]
    if len(shown) < len(found):
        output.note_more(session.view, len(shown))
    output.show_list(session.view, "cards", shown, CARD_COLUMNS, name=lambda each: str(each.id))


def limits_of(limits: OwnerLimits) -> str:
    """All that an owner refuses to others, on one line; nothing where that is nothing."""
    parts = [
        ("parties", ", ".join(map(units.short, limits.parties))),
        ("hours", hours(limits) if limits.hours else ""),
        ("refused", kinds(limits) if limits.refused_kinds else ""),
        ("share", share(limits) if limits.party_share_milli else ""),
        ("uploads", uploads(limits) if limits.upload_party_bytes or limits.upload_bytes else ""),
    ]
    return "; ".join(f"{name} {value}" for name, value in parts if value)


def hours(limits: OwnerLimits) -> str:
    """When work is taken, in UTC."""
    return ", ".join(f"{_minute(each.start_min)}-{_minute(each.end_min)}Z" for each in limits.hours) or "always"


def kinds(limits: OwnerLimits) -> str:
    """Kinds of work that are not taken."""
    names = (enum_name(WorkKind, kind, "WORK_KIND_") for kind in limits.refused_kinds)
    return ", ".join(names) or "none"


def uploads(limits: OwnerLimits) -> str:
    """`10.0 GiB a party, 1.0 TiB in all`."""
    if WorkKind.WORK_KIND_UPLOADS in limits.refused_kinds:
        return "none"
    bounds = ((limits.upload_party_bytes, "a party"), (limits.upload_bytes, "in all"))
    return ", ".join(f"{units.size(most)} {of}" for most, of in bounds if most) or "all"


def share(limits: OwnerLimits) -> str:
    """What one party may hold at a time."""
    return f"{limits.party_share_milli / 10:g} %" if limits.party_share_milli else "all"


async def _admit(session: Session, name: str, wanted: Site.Admission.ValueType, note: str) -> None:
    request = SetSiteAdmissionRequest(name=full_name("sites", name), admission=wanted, note=note)
    async with session.mesh() as mesh:
        _show(session, await mesh.registry.SetSiteAdmission(request, timeout=session.timeout_s))


def _show(session: Session, site: Site) -> None:
    told = [("site", site.name), ("admission", admission(site)), ("note", site.admission_note)]
    output.show_one(session.view, site, lambda: output.facts(session.view, told))


async def _until_empty(session: Session, mesh: Mesh, name: str) -> None:
    """Tell how much is left whenever that changes, until nothing is, or the site takes work again."""
    last, outage = -1, Outage(session)
    empty = 0
    while True:
        try:
            left = await mesh.scheduler.ListSitePlacements(ListSitePlacementsRequest(site=name, page_size=1))
            site = await mesh.registry.GetSite(GetSiteRequest(name=name))
            outage.told(None)
        except (Unavailable, DeadlineExceeded) as refusal:
            outage.told(refusal)
        else:
            if left.total != last:
                last = left.total
                output.note(Text(f"{name}: {last} left", f"{name}：还剩 {last} 个").of(session.lang))
            empty = 0 if last else empty + 1
            if empty == EMPTY_LOOKS or site.admission != Site.ADMISSION_DRAINING:
                return
        await asyncio.sleep(LOOK_S)


def _health(session: Session, site: Site, pools: list[Any]) -> dict[str, Any]:
    """What is known of an agent, with the reason in words."""
    own = [each.state for each in pools if each.pool.name.startswith(f"{site.name}/") and each.HasField("state")]
    heard = max((state.observe_time for state in own), key=lambda at: at.ToNanoseconds(), default=None)
    alive = site.liveness == Site.LIVENESS_ALIVE
    silent = Text("the agent is not heard", "听不到代理").of(session.lang)
    told = [session.view.words(state.reason) for state in own if state.reason.code]
    return {
        "site": site.name,
        "liveness": enum_name(Site.Liveness, site.liveness, "LIVENESS_"),
        "admission": admission(site),
        "heard": heard.ToJsonString() if heard and heard.seconds else "",
        "reason": "; ".join([*([] if alive else [silent]), *told]),
    }


def _minute(minute: int) -> str:
    day, rest = divmod(minute, 24 * 60)
    if rest == 0 and day:
        return f"{DAYS[(day - 1) % 7]} 24:00"
    return f"{DAYS[day % 7]} {rest // 60}:{rest % 60:02d}"


VERBS = (cordon, uncordon, drain, remove, jobs, limits, health, cards)


def _unknown(name: str) -> NotFound:
    return refusal(NotFound, "SITE_UNKNOWN", Text(f"there is no site {name}", f"没有站点 {name}"), name=name)


async def _require_known(session: Session, mesh: Mesh, name: str, pools: Sequence[object]) -> None:
    """Raises NotFound where there are no pools because there is no such site."""
    if not pools:
        await mesh.registry.GetSite(GetSiteRequest(name=full_name("sites", name)), timeout=session.timeout_s)
