"""`suan path`: which way data takes, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from suanmesh.network_orchestrator.v1.network_orchestrator_service_pb2 import (
    ExplainPathRequest,
    FindPathsRequest,
    PathObstacle,
    PathQuery,
)
from suanmesh.network_orchestrator.v1.reservation_pb2 import Path
from suanmesh.registry.v1.registry_service_pb2 import GetSiteRequest
from suanmesh_cli import output, units, values
from suanmesh_cli.commands.network import LINK_COLUMNS
from suanmesh_cli.layout import Column
from suanmesh_cli.lazy import Verbs
from suanmesh_cli.names import Name
from suanmesh_cli.session import Session, Wrapped, full_name, reading
from suanmesh_cli.tables import table
from suanmesh_cli.usage import Amount
from suanmesh_kernel.texts import Text

if TYPE_CHECKING:
    from suanmesh.network_orchestrator.v1.network_orchestrator_service_pb2 import PathExplanation, PathResult
    from suanmesh_sdk import Mesh

NOTHING_FITS = 6
Told = tuple[str, Path]


def _width(path: Path) -> values.Cell:
    return values.rate(path.available_bps) if path.links else "unlimited"


COLUMNS = (
    Column("WHICH", lambda told: told[0]),
    Column("PATH", lambda told: " → ".join(map(units.short, told[1].links)) or "here", fold=True),
    Column("LATENCY", lambda told: values.duration_us(told[1].latency_us)),
    Column("AVAILABLE", lambda told: _width(told[1])),
    Column("NARROWEST", lambda told: units.short(told[1].narrowest_link), rank=2),
    Column("PRICE A MIB", lambda told: values.money(told[1].price_micros_per_mib)),
)


@click.group(cls=Verbs)
def path() -> None:
    """Paths: which way data takes from site to site, and why."""


def _bounds(run: Wrapped) -> Wrapped:
    """The ends and the bounds of a path."""
    time, rate = Amount(units.MICROSECONDS), Amount(units.RATES)
    for option in (
        click.option("--latency", type=time, default="0us", metavar="TIME", help="Longest one way."),
        click.option("--bandwidth", type=rate, default="0bit/s", metavar="RATE", help="Least to be left."),
        click.argument("target", type=Name("sites")),
        click.argument("source", type=Name("sites")),
    ):
        run = option(run)
    return run


@path.command("find")
@_bounds
@reading
async def find(session: Session, source: str, target: str, bandwidth: int, latency: int) -> int:
    """Find the cheapest path from the site SOURCE to TARGET within the bounds; exit status 6 where there is none."""
    request = FindPathsRequest(queries=[_query(source, target, bandwidth, latency)])
    async with session.mesh() as mesh:
        answer = await mesh.network_orchestrator.FindPaths(request, timeout=session.timeout_s)
        found = answer.results[0]
        await _require_sites(session, mesh, found, request.queries[0])

    def rendered() -> list[str]:
        if found.HasField("path"):
            return table(session.view, [("cheapest", found.path)], COLUMNS)
        return output.sentence(session.view, words(found.obstacle).of(session.lang))

    rows = [("cheapest", found.path)] if found.HasField("path") else []
    output.show_one(session.view, found, rendered, COLUMNS, rows=rows, names=found.path.links)
    return 0 if found.HasField("path") else NOTHING_FITS


@path.command("explain")
@_bounds
@reading
async def explain(session: Session, source: str, target: str, bandwidth: int, latency: int) -> int:
    """Say why the path from the site SOURCE to TARGET is the one: what else there is, and every link as it is now."""
    request = ExplainPathRequest(query=_query(source, target, bandwidth, latency))
    async with session.mesh() as mesh:
        told = await mesh.network_orchestrator.ExplainPath(request, timeout=session.timeout_s)
        await _require_sites(session, mesh, told.found, request.query)
    rows = _ways(told)
    output.show_one(
        session.view, told, lambda: _explained(session, told), COLUMNS, rows=rows, names=told.found.path.links
    )
    return 0 if told.found.HasField("path") else NOTHING_FITS


async def _require_sites(session: Session, mesh: Mesh, found: PathResult, query: PathQuery) -> None:
    """Raises NotFound (`SITE_UNKNOWN`) where no links join the two because one of them is mistyped."""
    if found.HasField("obstacle") and found.obstacle.kind == PathObstacle.KIND_DISCONNECTED:
        for name in (query.source, query.target):
            if name.startswith("sites/"):
                await mesh.registry.GetSite(GetSiteRequest(name=name), timeout=session.timeout_s)


def words(obstacle: PathObstacle) -> Text:
    """What stands in the way of a path."""
    if obstacle.kind == PathObstacle.KIND_BANDWIDTH:
        left = units.rate(obstacle.available_bps)
        return Text(
            f"BANDWIDTH: {obstacle.link} has no more than {left} left, and no other path has more",
            f"BANDWIDTH：{obstacle.link} 只剩 {left}，其他通路也不更多",
        )
    if obstacle.kind == PathObstacle.KIND_LATENCY:
        least = units.duration_us(obstacle.least_latency_us)
        return Text(f"LATENCY: the fastest such path takes {least}", f"LATENCY：最快的此类通路需 {least}")
    return Text("DISCONNECTED: no links join the two", "DISCONNECTED：没有链路相连")


def _query(source: str, target: str, bandwidth: int, latency: int) -> PathQuery:
    return PathQuery(
        source=full_name("sites", source),
        target=full_name("sites", target),
        min_bandwidth_bps=bandwidth,
        max_latency_us=latency,
    )


def _ways(told: PathExplanation) -> list[Told]:
    found = [("cheapest", told.found.path)] if told.found.HasField("path") else []
    return found + [(which, getattr(told, which)) for which in ("fastest", "widest") if told.HasField(which)]


def _explained(session: Session, told: PathExplanation) -> list[str]:
    view, ways = session.view, _ways(told)
    no = [] if told.found.HasField("path") else output.sentence(view, words(told.found.obstacle).of(session.lang))
    paths = table(view, ways, COLUMNS) if ways else []
    return [*no, *paths, *(["", *table(view, told.links, LINK_COLUMNS)] if told.links else [])]
