"""Which site takes what a user brings, and why."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from suanmesh_kernel.refusals import FailedPrecondition
from suanmesh_transport.domain.datasets import Dataset
from suanmesh_transport.domain.transfers import Place

EARTH_KM = 6371.0
ABOUT_AS_NEAR = 1.5
"""Up to how many times the least latency is as near."""


class Choice(StrEnum):
    """Why a site takes what is brought."""

    NAMED = "NAMED"
    HAS_IT = "HAS_IT"
    DEFAULT = "DEFAULT"
    OWN = "OWN"
    NEAREST = "NEAREST"
    FIRST = "FIRST"


class Target(NamedTuple):
    """A site that is to take what is brought, why, and how far it is where that was weighed."""

    place: Place
    choice: Choice
    distance_km: int = 0
    latency_us: int = 0


@dataclass(frozen=True, slots=True)
class Leanings:
    """What a party's data leans to when it names no site."""

    default: str = ""
    """The site that the party has set."""
    homes: frozenset[str] = frozenset()
    """Where data of it lies."""
    latencies_us: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """From there to where it may go, as links were measured of late or are declared."""


NO_LEANINGS = Leanings()


def chosen_target(
    dataset: Dataset,
    places: Collection[Place],
    *,
    wanted: str = "",
    but: Collection[str] = (),
    rather: Collection[str],
    leanings: Leanings = NO_LEANINGS,
) -> Target:
    """A site that is to take a dataset from its owner: the one wanted, else one of `rather`, the owner's default, one
    of its own, or the one nearest to where its data lies.

    Near is by latency, and by kilometres among what is about as near, so that it is not decided by what two
    measurements differ in. One that is heard of comes first, of equal ones the first by name; none that takes nothing
    new. Raises FailedPrecondition (`SITE_NOT_REACHABLE`).
    """
    open_ones = open_to(dataset, places, wanted=wanted, but=but)

    def rank(place: Place) -> tuple[bool, bool, bool, bool]:
        own = place.party == dataset.party
        return place.site not in rather, place.site != leanings.default, not own, not place.alive

    first = min(map(rank, open_ones))
    home = [place for place in places if place.site in leanings.homes]
    ways = {place: _way(place, home, leanings.latencies_us) for place in open_ones if rank(place) == first}
    place = _nearest(ways)
    if wanted:
        return Target(place, Choice.NAMED)
    if place.site in rather:
        return Target(place, Choice.HAS_IT)
    if place.site == leanings.default:
        return Target(place, Choice.DEFAULT)
    if place.party == dataset.party:
        return Target(place, Choice.OWN)
    way = ways[place]
    return (
        Target(place, Choice.NEAREST, round(way.km), way.latency_us or 0) if way.known else Target(place, Choice.FIRST)
    )


def open_to(dataset: Dataset, places: Collection[Place], *, wanted: str = "", but: Collection[str] = ()) -> list[Place]:
    """Sites that may take a dataset: those that it may lie at, where there are any; at least one.

    Raises FailedPrecondition (`SITE_NOT_REACHABLE`).
    """
    open_ones = [p for p in places if p.endpoint and not p.lost and not p.closed and p.site not in but]
    if wanted:
        open_ones = [place for place in open_ones if place.site == wanted]
    else:
        allowed = [
            place for place in open_ones if not dataset.residency or set(place.residency) & set(dataset.residency)
        ]
        open_ones = allowed or open_ones
    if not open_ones:
        closed = any(place.site == wanted and place.closed for place in places)
        where = wanted or "any site"
        why = "takes nothing new, as its owner says" if closed else f"that could take {dataset.name} cannot be reached"
        if wanted and all(place.site != wanted for place in places):
            why = "is not here: no site of that name has joined"
        raise FailedPrecondition("SITE_NOT_REACHABLE", f"{where} {why}", name=dataset.name, site=wanted)
    return open_ones


class _Way(NamedTuple):
    """From where a party's data lies to a place."""

    known: bool
    km: float
    latency_us: int | None


def _nearest(ways: Mapping[Place, _Way]) -> Place:
    """The place with the shortest way; one whose latency is known is nearer than all of which only kilometres are."""
    known = [way.latency_us for way in ways.values() if way.latency_us is not None]
    most_us = min(known, default=0) * ABOUT_AS_NEAR
    near = [p for p, way in ways.items() if way.latency_us is not None and way.latency_us <= most_us] or list(ways)
    return min(near, key=lambda place: (ways[place].km, place.site))


def _way(place: Place, homes: Collection[Place], latencies_us: Mapping[tuple[str, str], int]) -> _Way:
    """The shortest; none is needed where data lies already."""
    if any(place.site == home.site for home in homes):
        return _Way(True, 0.0, 0)
    km = min((_km(place, home) for home in homes if home.latitude or home.longitude), default=None)
    found = [latencies_us[key] for home in homes if (key := (home.site, place.site)) in latencies_us]
    return _Way(bool(found) or km is not None, km or 0.0, min(found, default=None))


def _km(one: Place, other: Place) -> float:
    """Along the earth; a place that nobody has given one is far from all."""
    if not (one.latitude or one.longitude):
        return EARTH_KM * math.pi
    latitudes = math.radians(one.latitude), math.radians(other.latitude)
    apart = math.radians(one.longitude - other.longitude)
    half = math.sin((latitudes[0] - latitudes[1]) / 2) ** 2
    half += math.cos(latitudes[0]) * math.cos(latitudes[1]) * math.sin(apart / 2) ** 2
    return 2 * EARTH_KM * math.asin(min(1.0, math.sqrt(half)))
