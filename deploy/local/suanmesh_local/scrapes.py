"""What the processes of a node on this machine answer for their metrics and their health, asked directly.

Whoever is on call may have nothing else left: it needs no gateway, no etcd and no Prometheus.
"""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from suanmesh_local.prometheus_files import FOLDER

ANSWER_S_MAX = 5.0
"""How long one process may take to answer."""


@dataclass(frozen=True, slots=True)
class Target:
    """A process that is asked."""

    address: str
    """`host:port` on the loopback."""
    process: str
    area: str
    node: str


@dataclass(frozen=True, slots=True)
class Scrape:
    """What one process answered."""

    target: Target
    answers: bool = False
    ready: bool = False
    health: str = ""
    """The answer of `/readyz`."""
    metrics: str = ""
    """The answer of `/metrics`, in Prometheus' text."""
    samples: Mapping[str, Sequence[tuple[Mapping[str, str], float]]] = field(default_factory=dict)
    """Labels and values by the name of the series."""

    def sum(self, name: str, **labels: str) -> float:
        """All values of a series that have these labels, 0 where there is none."""
        return sum(value for of, value in self.samples.get(name, ()) if labels.items() <= of.items())

    def has(self, name: str) -> bool:
        """Whether there is such a series."""
        return bool(self.samples.get(name))


def targets_in(folder: Path) -> list[Target]:
    """The processes of the node in a folder. Raises OSError, and ValueError where the file is damaged."""
    told = json.loads((folder / FOLDER / "targets.json").read_text())
    return [
        Target(each["targets"][0], each["labels"]["process"], each["labels"]["area"], each["labels"]["node"])
        for each in told
    ]


async def scraped(targets: Iterable[Target]) -> list[Scrape]:
    """Ask all of them at once."""
    return list(await asyncio.gather(*(asyncio.to_thread(_scrape, target) for target in targets)))


def _scrape(target: Target) -> Scrape:
    try:
        status, health = _get(target.address, "/readyz")
        _, metrics = _get(target.address, "/metrics")
    except (OSError, http.client.HTTPException):
        return Scrape(target)
    return Scrape(target, True, status == http.client.OK, health, metrics, parsed(metrics))


def parsed(metrics: str) -> dict[str, list[tuple[Mapping[str, str], float]]]:
    """The samples in Prometheus' text, by the name of their series."""
    found: dict[str, list[tuple[Mapping[str, str], float]]] = {}
    for family in text_string_to_metric_families(metrics):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def _get(address: str, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(address, timeout=ANSWER_S_MAX)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()
