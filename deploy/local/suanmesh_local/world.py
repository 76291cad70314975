"""The world that is tried out on one machine: sites in real places, links between them, prices, parties.

Places, distances and latencies are real ones; capacities partition this machine's own cores, and what is declared
beyond them is marked SIMULATED.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import permutations

MEBIBYTE = 1 << 20
GIBIBYTE = 1 << 30
FIBRE_US_PER_KM = 5.0
DETOUR = 1.4
"""Fibre follows roads and rivers: it is longer than the great circle by about so much."""
EARTH_KM = 6371.0
CORE_HOUR_MICROS = 300_000
GIB_HOUR_MICROS = 30_000
MIB_MOVED_MICROS = 20
LINK_BPS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Place:
    """A place with compute, as it is offered here."""

    site: str
    city: str
    city_code: str
    latitude: float
    longitude: float
    provider: str
    price_percent: int
    weight: int
    """Share of this machine's cores, among the weights of all sites."""


PLACES = (
    Place("shanghai", "上海", "310000", 31.230, 121.474, "east-compute", 100, 1),
    Place("wuhu", "芜湖", "340200", 31.334, 118.376, "east-compute", 80, 3),
    Place("guiyang", "贵阳", "520100", 26.647, 106.630, "guizhou-cloud", 55, 5),
    Place("ulanqab", "乌兰察布", "150900", 41.017, 113.114, "north-cloud", 50, 4),
    Place("zhongwei", "中卫", "640500", 37.514, 105.189, "north-cloud", 52, 4),
    Place("shaoguan", "韶关", "440200", 24.801, 113.592, "south-compute", 75, 3),
    Place("chengdu", "成都", "510100", 30.573, 104.066, "guizhou-cloud", 70, 4),
    Place("qingyang", "庆阳", "621000", 35.709, 107.643, "north-cloud", 48, 4),
)
CONSUMER = "demo"
CARRIER = "backbone"
CURRENCY = "CNY"
OPENING_MICROS = 100_000_000


@dataclass(frozen=True, slots=True)
class Share:
    """What a site gets of this machine."""

    cpu_milli: int
    memory_bytes: int
    scratch_bytes: int


def places(count: int) -> tuple[Place, ...]:
    """The first `count` places. Raises ValueError outside 1 to 8."""
    if not 1 <= count <= len(PLACES):
        raise ValueError(f"sites: {count} is not within 1 to {len(PLACES)}")
    return PLACES[:count]


def shares(chosen: tuple[Place, ...], cores: int, memory_bytes: int, disk_bytes: int) -> dict[str, Share]:
    """Partition this machine by the places' weights, half of memory and disk left for everything else."""
    total = sum(place.weight for place in chosen)
    return {
        place.site: Share(
            cores * 1000 * place.weight // total,
            memory_bytes // 2 * place.weight // total // MEBIBYTE * MEBIBYTE,
            disk_bytes // 2 * place.weight // total // MEBIBYTE * MEBIBYTE,
        )
        for place in chosen
    }


def latency_us(one: Place, other: Place) -> int:
    """One-way latency over fibre between two places, by their distance."""
    a, b = math.radians(one.latitude), math.radians(other.latitude)
    east = math.radians(other.longitude - one.longitude)
    half = math.sin((b - a) / 2) ** 2 + math.cos(a) * math.cos(b) * math.sin(east / 2) ** 2
    return round(2 * EARTH_KM * math.asin(math.sqrt(half)) * DETOUR * FIBRE_US_PER_KM)


def pairs(chosen: tuple[Place, ...]) -> list[tuple[Place, Place]]:
    """Every ordered pair: links are directed."""
    return list(permutations(chosen, 2))
