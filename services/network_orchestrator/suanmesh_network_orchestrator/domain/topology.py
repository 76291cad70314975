"""The topology as a path search sees it: what is declared, less what is reserved, corrected by what was measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from suanmesh_kernel.money import Price, rated_up

MIB = 1024 * 1024


class LinkClass(Enum):
    """What a link joins; values are those of the contract."""

    ACCESS = 1
    INTER = 2
    INTRA = 3


@dataclass(frozen=True, slots=True)
class Link:
    """A declared link: directed, with what its owner promises."""

    name: str
    source: str
    target: str
    link_class: LinkClass
    capacity_bps: int
    latency_us: int
    loss_ppm: int = 0
    price: Price | None = None
    risk_groups: tuple[str, ...] = ()
    owner: str = ""


@dataclass(frozen=True, slots=True)
class Edge:
    """A link as a path may use it now."""

    name: str
    source: str
    target: str
    available_bps: int
    latency_us: int
    price_micros_per_mib: int


@dataclass(frozen=True, slots=True)
class Topology:
    """Edges by where they begin, sorted by name; built by `topology`."""

    edges_from: Mapping[str, tuple[Edge, ...]]


def topology(links: Iterable[Link], reserved_bps: Mapping[str, int], rtt_us: Mapping[tuple[str, str], int]) -> Topology:
    """Join the declared links with what is reserved of each and what was measured between two ends."""
    edges: dict[str, list[Edge]] = {}
    for link in sorted(links, key=lambda link: link.name):
        edges.setdefault(link.source, []).append(
            edge(link, reserved_bps.get(link.name, 0), rtt_us.get((link.source, link.target)))
        )
    return Topology({source: tuple(found) for source, found in edges.items()})


def edge(link: Link, reserved_bps: int, rtt_us: int | None) -> Edge:
    """One link as it is now.

    Its price of a mebibyte is rounded up: money is held by it, and bytes are charged by the exact price.

    Its latency is the worse of the declared one and half of the measured round trip: a promise that the edge does not
    keep is not worth more than what it does, and one that it beats on a quiet day is still all that is promised.
    """
    measured_us = 0 if rtt_us is None else rtt_us // 2
    return Edge(
        name=link.name,
        source=link.source,
        target=link.target,
        available_bps=max(0, link.capacity_bps - reserved_bps),
        latency_us=max(link.latency_us, measured_us),
        price_micros_per_mib=0 if link.price is None else rated_up(MIB, link.price),
    )
