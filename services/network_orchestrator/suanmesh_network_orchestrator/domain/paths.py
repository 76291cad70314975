"""Path search under a least bandwidth and a longest latency: exact, and every no is explained."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from heapq import heappop, heappush

from suanmesh_kernel.money import INT64_MAX
from suanmesh_network_orchestrator.domain.topology import Edge, Topology


@dataclass(frozen=True, slots=True)
class Query:
    """A path to find; a bound of 0 is none."""

    source: str
    target: str
    min_bandwidth_bps: int = 0
    max_latency_us: int = 0


@dataclass(frozen=True, slots=True)
class Path:
    """Links in order with what they give together; none at all where both ends are one."""

    links: tuple[str, ...]
    latency_us: int
    available_bps: int
    narrowest_link: str
    price_micros_per_mib: int


class Missing(Enum):
    """What stands in the way; values are those of the contract."""

    DISCONNECTED = 1
    BANDWIDTH = 2
    LATENCY = 3


@dataclass(frozen=True, slots=True)
class NoPath:
    """Why there is no path, with the number that would have to change."""

    missing: Missing
    link: str = ""
    available_bps: int = 0
    least_latency_us: int = 0


def find_path(topology: Topology, query: Query) -> Path | NoPath:
    """The cheapest path within both bounds, then the fastest, then the shortest, then by names of its links."""
    if query.source == query.target:
        return Path((), 0, INT64_MAX, "", 0)
    cheapest = _cheapest(topology, query)
    return _path(cheapest) if cheapest else _obstacle(topology, query)


def fastest_path(topology: Topology, query: Query) -> Path | None:
    """The path of least latency between the ends whatever the bounds; None where no links join them."""
    found = _fastest(topology, query, 0) if query.source != query.target else None
    return _path(found) if found else None


def widest_path(topology: Topology, query: Query) -> Path | None:
    """The path with the most bandwidth left, and of these the fastest; None where no links join the ends."""
    if query.source == query.target or _fastest(topology, query, 0) is None:
        return None
    return _path(_widest(topology, Query(query.source, query.target)))


_Cost = tuple[int, int, int, tuple[str, ...]]
"""Price, latency, number of links, their names: compared in this order."""


def _cheapest(topology: Topology, query: Query) -> tuple[Edge, ...] | None:
    """Label setting: labels leave the heap by growing price, so one that is no faster than an earlier one is beaten."""
    fastest_seen: dict[str, int] = {}
    heap: list[tuple[_Cost, str, tuple[Edge, ...]]] = [((0, 0, 0, ()), query.source, ())]
    while heap:
        (price, latency_us, hops, names), end, edges = heappop(heap)
        if end == query.target:
            return edges
        if end in fastest_seen and (not query.max_latency_us or latency_us >= fastest_seen[end]):
            continue
        fastest_seen[end] = latency_us
        for edge in _usable(topology, end, query.min_bandwidth_bps):
            later_us = latency_us + edge.latency_us
            if not query.max_latency_us or later_us <= query.max_latency_us:
                cost = (price + edge.price_micros_per_mib, later_us, hops + 1, (*names, edge.name))
                heappush(heap, (cost, edge.target, (*edges, edge)))
    return None


def _fastest(topology: Topology, query: Query, min_bandwidth_bps: int) -> tuple[Edge, ...] | None:
    """The path of least latency with a bandwidth, whatever it costs."""
    done: set[str] = set()
    heap: list[tuple[int, int, tuple[str, ...], str, tuple[Edge, ...]]] = [(0, 0, (), query.source, ())]
    while heap:
        latency_us, hops, names, end, edges = heappop(heap)
        if end == query.target:
            return edges
        if end in done:
            continue
        done.add(end)
        for edge in _usable(topology, end, min_bandwidth_bps):
            if edge.target not in done:
                step = (latency_us + edge.latency_us, hops + 1, (*names, edge.name), edge.target, (*edges, edge))
                heappush(heap, step)
    return None


def _obstacle(topology: Topology, query: Query) -> NoPath:
    if _fastest(topology, query, 0) is None:
        return NoPath(Missing.DISCONNECTED)
    fastest_wide = _fastest(topology, query, query.min_bandwidth_bps)
    if fastest_wide is not None:
        return NoPath(Missing.LATENCY, least_latency_us=_latency_us(fastest_wide))
    widest = _widest(topology, query)
    narrowest = _narrowest(widest)
    return NoPath(Missing.BANDWIDTH, link=narrowest.name, available_bps=narrowest.available_bps)


def _widest(topology: Topology, query: Query) -> tuple[Edge, ...]:
    """The widest path within the latency bound; where none keeps it, the widest of all. The ends are connected."""
    widths = sorted({edge.available_bps for edges in topology.edges_from.values() for edge in edges})
    bound_us = query.max_latency_us
    within = _widest_below(topology, query, widths, bound_us) if bound_us else None
    found = within or _widest_below(topology, query, widths, INT64_MAX)
    assert found is not None, "the ends are connected"
    return found


def _widest_below(topology: Topology, query: Query, widths: list[int], bound_us: int) -> tuple[Edge, ...] | None:
    """Bisect the widths: where a path of one width is fast enough, one of each lesser width is too."""
    best: tuple[Edge, ...] | None = None
    low, high = 0, len(widths)
    while low < high:
        middle = (low + high) // 2
        found = _fastest(topology, query, widths[middle])
        if found is not None and _latency_us(found) <= bound_us:
            best, low = found, middle + 1
        else:
            high = middle
    return best


def _usable(topology: Topology, end: str, min_bandwidth_bps: int) -> Iterator[Edge]:
    return (edge for edge in topology.edges_from.get(end, ()) if edge.available_bps >= min_bandwidth_bps)


def _path(edges: tuple[Edge, ...]) -> Path:
    narrowest = _narrowest(edges)
    return Path(
        links=tuple(edge.name for edge in edges),
        latency_us=_latency_us(edges),
        available_bps=narrowest.available_bps,
        narrowest_link=narrowest.name,
        price_micros_per_mib=sum(edge.price_micros_per_mib for edge in edges),
    )


def _latency_us(edges: tuple[Edge, ...]) -> int:
    return sum(edge.latency_us for edge in edges)


def _narrowest(edges: tuple[Edge, ...]) -> Edge:
    return min(edges, key=lambda edge: (edge.available_bps, edge.name))
