"""Ways for data between sites: all that the jobs of a round may need, looked for in one call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from suanmesh.network_orchestrator.v1 import link_pb2
from suanmesh.network_orchestrator.v1 import network_orchestrator_service_pb2 as network
from suanmesh_scheduler import wire
from suanmesh_scheduler.domain.moving import RESULT_BPS_MIN
from suanmesh_scheduler.domain.values import Blocked, JobSpec, Opening, Path
from suanmesh_scheduler.domain.widths import Capacity, widest_bps
from suanmesh_scheduler.ports import Peers

Pair = tuple[str, str]
Query = tuple[str, str, int, int]
"""Source, target, least bandwidth in bit/s and most latency in µs: what one path is looked for by."""
Bound = tuple[str, str, int]
"""A site, and the field of the job with the value that opens ways there."""
Found = Mapping[Query, Path | Blocked]
_KINDS = {
    network.PathObstacle.KIND_DISCONNECTED: "disconnected",
    network.PathObstacle.KIND_BANDWIDTH: "bandwidth",
    network.PathObstacle.KIND_LATENCY: "latency",
}


@dataclass(frozen=True, slots=True)
class Ways:
    """Every way that a job of the round may need."""

    sites: tuple[str, ...] = ()
    """Where the jobs might run."""
    found: Found = field(default_factory=dict)
    opened: Found = field(default_factory=dict)
    """Ways under the bounds that open those that are blocked."""
    links: Mapping[str, link_pb2.Link] = field(default_factory=dict)
    """By name; empty where no job moves data."""
    revision: int = 0
    """Of the topology."""

    def inputs(self, spec: JobSpec) -> dict[Pair, Path | Blocked]:
        """From every replica to every site that lacks it."""
        return {(query[0], query[1]): self.found[query] for query in _input_queries(spec, self.sites)}

    def homes(self, spec: JobSpec) -> dict[Pair, Path | Blocked]:
        """From every site to where results are wanted."""
        queries = _home_queries(spec, self.sites)
        return {(query[0], query[1]): _wide_enough(self.found[query], self.links) for query in queries}

    def openings(self, spec: JobSpec) -> dict[str, tuple[Opening, ...]]:
        """By site: how paths there would open."""
        openings: dict[str, tuple[Opening, ...]] = {}
        for (site, name, value), queries in _relaxed(spec, self.inputs(spec)):
            opened = {pair: self.opened[query] for pair, query in queries.items()}
            openings[site] = (*openings.get(site, ()), Opening(name, value, opened))
        return openings


async def find_ways(peers: Peers, specs: Sequence[JobSpec], sites: Iterable[str]) -> Ways:
    """Paths of inputs and of results; then, for sites that are blocked, under the bounds that open their paths."""
    sites = tuple(sorted(set(sites)))
    queries = sorted({query for spec in specs for query in _input_queries(spec, sites) + _home_queries(spec, sites)})
    if not queries:
        return Ways()
    answer = await peers.find_paths([_path_query(query) for query in queries])
    found = {query: _path(result) for query, result in zip(queries, answer.results, strict=True)}
    first = Ways(sites, found)
    relaxed = sorted({
        query
        for spec in specs
        for _, by_pair in _relaxed(spec, first.inputs(spec))
        for query in by_pair.values()
    })  # fmt: skip
    opened: dict[Query, Path | Blocked] = {}
    if relaxed:
        results = (await peers.find_paths([_path_query(query) for query in relaxed])).results
        opened = {query: _path(result) for query, result in zip(relaxed, results, strict=True)}
    links = {link.name: link for link in await peers.links()}
    return Ways(sites, _with_widths(found, links), opened, links, answer.revision)


def _with_widths(found: Found, links: Mapping[str, link_pb2.Link]) -> Found:
    """The same, where bandwidth is missing with what there would be on idle links."""
    capacities = [Capacity(link.source, link.target, link.capacity_bps) for link in links.values()]
    return {
        query: replace(way, most_bps=widest_bps(capacities, query[0], query[1]))
        if isinstance(way, Blocked) and way.kind == "bandwidth"
        else way
        for query, way in found.items()
    }


def _input_queries(spec: JobSpec, sites: Sequence[str]) -> list[Query]:
    if not spec.needs:
        return []
    pairs = {(s, t) for need in spec.needs for s in need.sites for t in sites if t not in need.sites}
    return [(*pair, spec.min_bandwidth_bps, spec.max_latency_us) for pair in sorted(pairs)]


def _home_queries(spec: JobSpec, sites: Sequence[str]) -> list[Query]:
    """No bound of the job is on them."""
    if not spec.results:
        return []
    return sorted({(s, result.target, 0, 0) for result in spec.results for s in sites if s != result.target})


def _relaxed(
    spec: JobSpec, paths: Mapping[Pair, Path | Blocked]
) -> list[tuple[tuple[str, str, int], dict[Pair, Query]]]:
    """For each blocked site the bounds with which its paths open, and the queries of such a job."""
    bounds = sorted({(pair[1], *bound) for pair, found in paths.items() for bound in _bounds_that_open(found)})
    return [
        (bound, {pair: _relaxed_query(spec, pair, bound) for pair in paths if pair[1] == bound[0]}) for bound in bounds
    ]


def _relaxed_query(spec: JobSpec, pair: Pair, bound: Bound) -> Query:
    relaxed = replace(spec, **{bound[1]: bound[2]})  # type: ignore[arg-type]
    return (*pair, relaxed.min_bandwidth_bps, relaxed.max_latency_us)


def _wide_enough(home: Path | Blocked, links: Mapping[str, link_pb2.Link]) -> Path | Blocked:
    """A way that results could never be held on is none, however free it is."""
    if isinstance(home, Blocked):
        return home
    capacities = [(links[link].capacity_bps if link in links else 0, link) for link in home.links]
    capacity_bps, link = min(capacities, default=(RESULT_BPS_MIN, ""))
    return home if capacity_bps >= RESULT_BPS_MIN else Blocked("bandwidth", link, capacity_bps, most_bps=capacity_bps)


def _bounds_that_open(found: Path | Blocked) -> list[tuple[str, int]]:
    """The field of the job and its value with which a blocked path opens."""
    if isinstance(found, Path):
        return []
    if found.kind == "bandwidth" and found.available_bps > 0:
        return [("min_bandwidth_bps", found.available_bps)]
    if found.kind == "latency" and found.least_latency_us > 0:
        return [("max_latency_us", found.least_latency_us)]
    return []


def _path_query(query: Query) -> network.PathQuery:
    source, target, least_bps, most_us = query
    return network.PathQuery(source=source, target=target, min_bandwidth_bps=least_bps, max_latency_us=most_us)


def _path(result: network.PathResult) -> Path | Blocked:
    if result.HasField("path"):
        return wire.path_from(result.path)
    blocked = result.obstacle
    return Blocked(
        _KINDS.get(blocked.kind, "disconnected"), blocked.link, blocked.available_bps, blocked.least_latency_us
    )
