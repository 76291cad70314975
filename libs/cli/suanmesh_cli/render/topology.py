"""The topology as a picture: the same links, sites and centre always give the same text.

Sites lie around a centre on circles of latency, in the direction in which they lie on the map where that is known;
links are as wide as they are used.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from heapq import heappop, heappush
from typing import NamedTuple
from xml.sax.saxutils import escape

from suanmesh.network_orchestrator.v1.link_pb2 import Link
from suanmesh.registry.v1.site_pb2 import Site
from suanmesh_cli import units

CIRCLES_US = (1_000, 5_000, 20_000, 50_000, 100_000, 500_000)
"""One-way latencies of the circles: within a city, a region, a country, and beyond."""
SIDE = 800
MARGIN = 70
BUSY, FULL = 0.5, 0.8
"""Shares in use from which on a link is drawn as busy, and as full."""
COLOURS = ("#2a7f3f", "#c77800", "#c0202a")


class Spot(NamedTuple):
    """Where an end is drawn, and its latency from the centre in microseconds; None where no path leads there."""

    x: float
    y: float
    latency_us: int | None


def use(link: Link) -> float:
    """The part of a link that is reserved."""
    return link.state.reserved_bps / link.capacity_bps if link.capacity_bps else 0.0


def latency_us(link: Link) -> int:
    """As path searches take it: the worse of what is declared and half of the measured round trip."""
    return max(link.latency_us, link.state.probed_rtt_us // 2)


def ends_of(links: Iterable[Link], sites: Iterable[Site]) -> list[str]:
    """Everything there is to draw, by name."""
    return sorted({site.name for site in sites} | {end for link in links for end in (link.source, link.target)})


def centre_of(links: Sequence[Link], ends: Sequence[str]) -> str:
    """The end that most links leave; of several the first by name."""
    return max(ends, key=lambda end: (sum(link.source == end for link in links), [-ord(each) for each in end]))


def latencies(links: Iterable[Link], centre: str) -> dict[str, int]:
    """The least latency from the centre of every end that a path leads to."""
    leaving: dict[str, list[Link]] = {}
    for link in links:
        leaving.setdefault(link.source, []).append(link)
    found: dict[str, int] = {}
    heap = [(0, centre)]
    while heap:
        far_us, end = heappop(heap)
        if end in found:
            continue
        found[end] = far_us
        for link in leaving.get(end, ()):
            heappush(heap, (far_us + latency_us(link), link.target))
    return found


def dot(links: Sequence[Link], sites: Sequence[Site]) -> str:
    """In the language of Graphviz."""
    alive = {site.name: site.liveness == Site.LIVENESS_ALIVE for site in sites}
    lines = ["digraph topology {", '  node [shape=box, fontname="sans-serif"];', '  edge [fontname="sans-serif"];']
    for end in ends_of(links, sites):
        style = "" if alive.get(end, True) else ", style=dashed"
        lines.append(f"  {_quoted(end)} [label={_quoted(units.short(end))}{style}];")
    for link in sorted(links, key=lambda link: link.name):
        label = f"{units.short(link.name)}\\n{_load(link)}\\n{units.duration_us(latency_us(link))}"
        width = f"{1 + 4 * min(1.0, use(link)):.1f}"
        colour = _quoted(_colour(link))
        lines.append(
            f"  {_quoted(link.source)} -> {_quoted(link.target)} "
            f"[label={_quoted(label)}, color={colour}, penwidth={width}];"
        )
    return "\n".join([*lines, "}"])


def svg(links: Sequence[Link], sites: Sequence[Site], centre: str) -> str:
    """As a picture that any browser shows."""
    ends = ends_of(links, sites)
    spots = _spots(ends, {site.name: site for site in sites}, latencies(links, centre), centre)
    known = [spot.latency_us for spot in spots.values() if spot.latency_us is not None]
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{SIDE}" height="{SIDE}" viewBox="0 0 {SIDE} {SIDE}" '
        'font-family="sans-serif" font-size="12">',
        '<defs><marker id="to" viewBox="0 0 8 8" refX="13" refY="4" markerUnits="userSpaceOnUse" markerWidth="10" '
        'markerHeight="10" orient="auto"><path d="M0 0 8 4 0 8z" fill="#444"/></marker></defs>',
        f"<title>{escape(centre)}</title>",
    ]
    lines += [_circle(far_us, max(known)) for far_us in _circles(max(known))]
    lines += [_drawn(link, spots) for link in sorted(links, key=lambda link: link.name) if link.source != link.target]
    lines += [_named(end, spots[end], centre) for end in ends]
    return "\n".join([*lines, "</svg>"])


def _circles(farthest_us: int) -> list[int]:
    """The circles up to the first that holds everything."""
    within = [far_us for far_us in CIRCLES_US if far_us < farthest_us]
    return [*within, *CIRCLES_US[len(within) : len(within) + 1]]


def _radius(far_us: float, farthest_us: int) -> float:
    """By the root of the latency, so that near circles stay apart."""
    widest_us = max(_circles(farthest_us)[-1], farthest_us)
    return (SIDE / 2 - MARGIN) * math.sqrt(far_us / widest_us)


def _spots(ends: Sequence[str], sites: Mapping[str, Site], far: Mapping[str, int], centre: str) -> dict[str, Spot]:
    farthest_us = max(far.values())
    others = [end for end in ends if end != centre]
    middle = SIDE / 2
    spots = {centre: Spot(middle, middle, 0)}
    for index, end in enumerate(others):
        angle = _bearing(sites.get(centre), sites.get(end))
        if angle is None:
            angle = 2 * math.pi * index / len(others)
        radius = _radius(far[end], farthest_us) if end in far else SIDE / 2 - MARGIN / 3
        x, y = middle + max(radius, 24) * math.sin(angle), middle - max(radius, 24) * math.cos(angle)
        spots[end] = Spot(round(x, 1), round(y, 1), far.get(end))
    return spots


def _bearing(here: Site | None, there: Site | None) -> float | None:
    """In what direction one lies from the other, clockwise from north; None where that is not known."""
    if here is None or there is None:
        return None
    places = [(each.latitude_microdegrees, each.longitude_microdegrees) for each in (here, there)]
    if (0, 0) in places or places[0] == places[1]:
        return None
    (north, east), (norther, easter) = places
    return math.atan2((easter - east) * math.cos(math.radians(north / 1e6)), norther - north)


def _circle(far_us: int, farthest_us: int) -> str:
    radius, middle = _radius(far_us, farthest_us), SIDE / 2
    told = units.duration_us(far_us)
    return (
        f'<circle cx="{middle:.0f}" cy="{middle:.0f}" r="{radius:.1f}" fill="none" stroke="#bbb" '
        f'stroke-dasharray="3 4"/><text x="{middle:.0f}" y="{middle - radius - 3:.1f}" fill="#888" '
        f'text-anchor="middle">{told}</text>'
    )


def _drawn(link: Link, spots: Mapping[str, Spot]) -> str:
    """A curve to the right of the straight line, so that the link back is beside it."""
    start, end = spots[link.source], spots[link.target]
    across = ((start.y - end.y) * 0.12, (end.x - start.x) * 0.12)
    bend = ((start.x + end.x) / 2 + across[0], (start.y + end.y) / 2 + across[1])
    width = 1 + 5 * min(1.0, use(link))
    told = f"{link.name}: {_load(link)}, {units.duration_us(latency_us(link))}"
    title = f"<title>{escape(told)}</title>"
    return (
        f'<path d="M{start.x:.1f} {start.y:.1f}Q{bend[0]:.1f} {bend[1]:.1f} {end.x:.1f} {end.y:.1f}" fill="none" '
        f'stroke="{_colour(link)}" stroke-width="{width:.1f}" marker-end="url(#to)">{title}</path>'
        f'<text x="{bend[0]:.1f}" y="{bend[1]:.1f}" fill="#555" text-anchor="middle" font-size="10">'
        f"{100 * use(link):.0f} %</text>"
    )


def _named(end: str, spot: Spot, centre: str) -> str:
    fill = "#1f4e9c" if end == centre else "#333" if spot.latency_us is not None else "#c0202a"
    far = units.duration_us(spot.latency_us) if spot.latency_us is not None else "—"
    outwards, anchor = (-9, "end") if spot.x < SIDE / 2 - 1 else (9, "start")
    halo = 'stroke="#fff" stroke-width="3" paint-order="stroke"'
    return (
        f'<circle cx="{spot.x:.1f}" cy="{spot.y:.1f}" r="6" fill="{fill}"><title>{escape(end)}</title></circle>'
        f'<text x="{spot.x + outwards:.1f}" y="{spot.y - 8:.1f}" text-anchor="{anchor}" {halo}>'
        f"{escape(units.short(end))} {far}</text>"
    )


def _load(link: Link) -> str:
    return f"{units.rate(link.state.reserved_bps)} / {units.rate(link.capacity_bps)}"


def _colour(link: Link) -> str:
    return COLOURS[(use(link) >= BUSY) + (use(link) >= FULL)]


def _quoted(text: str) -> str:
    """A text of Graphviz: `\\n` in it is a line break."""
    return '"' + text.replace('"', '\\"') + '"'
