"""What the processes of a node answer for their metrics and their health, asked directly.

Whoever is on call may have nothing else left: it needs no gateway, no etcd and no Prometheus. Those that listen on the
loopback are asked in the plain, others by TLS with the certificate of an operator.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import ssl
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from suanmesh_chassis.ca import agent_server_name, server_name
from suanmesh_kernel.addresses import host_of, is_loopback
from suanmesh_local.prometheus_files import FOLDER

ANSWER_S_MAX = 5.0
"""How long one process may take to answer."""


@dataclass(frozen=True, slots=True)
class Target:
    """A process that is asked."""

    address: str
    """`host:port`."""
    process: str
    area: str
    node: str
    site: str = ""
    """Of an agent: its site."""

    @property
    def server_name(self) -> str:
        """What its certificate carries."""
        return agent_server_name(self.node, self.site) if self.site else server_name(self.node, self.area)


@dataclass(frozen=True, slots=True)
class Scrape:
    """What one process answered."""

    target: Target
    answers: bool = False
    ready: bool = False
    refused: bool = False
    """Whether its metrics are not for who asks."""
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
    return targets_of(folder / FOLDER / "targets.json")


def targets_of(file: Path) -> list[Target]:
    """Those of a file as Prometheus' file discovery takes it, with the labels node, area, process and at_site.

    Raises OSError, and ValueError where it says something else.
    """
    try:
        groups = [(each["targets"], each["labels"]) for each in json.loads(file.read_text())]
        return [
            Target(address, labels.get("process", address), labels["area"], labels["node"], labels.get("at_site", ""))
            for addresses, labels in groups
            for address in addresses
        ]
    except (AttributeError, KeyError, TypeError) as fault:
        problem = f"{file} is no list of objects with targets, and labels node and area: {fault}"
        raise ValueError(problem) from fault


def trusting(ca: Path, cert: Path, key: Path) -> ssl.SSLContext:
    """What those are asked with that are not on the loopback, of PEM files. Raises OSError."""
    context = ssl.create_default_context(cafile=str(ca))
    context.load_cert_chain(cert, key)
    return context


def operators_tls(folder: Path) -> ssl.SSLContext | None:
    """As the operator whose key lies in a node's folder; None where there is none, as on a machine that joined."""
    try:
        told = tomllib.loads((folder / "config.toml").read_text())["contexts"]["operator"]
        return trusting(*(Path(told[kind]) for kind in ("ca", "cert", "key")))
    except (OSError, ValueError, KeyError):
        return None


async def scraped(targets: Iterable[Target], tls: ssl.SSLContext | None = None) -> list[Scrape]:
    """Ask all of them at once; those that are not on the loopback with `tls`, without which they do not answer."""
    return list(await asyncio.gather(*(asyncio.to_thread(_scrape, target, tls) for target in targets)))


def _scrape(target: Target, tls: ssl.SSLContext | None) -> Scrape:
    try:
        status, health = _get(target, tls, "/readyz")
        answered, metrics = _get(target, tls, "/metrics")
    except (OSError, http.client.HTTPException):
        return Scrape(target)
    ready = status == http.client.OK
    if answered != http.client.OK:
        return Scrape(target, True, ready, True, health)
    return Scrape(target, True, ready, False, health, metrics, parsed(metrics))


def parsed(metrics: str) -> dict[str, list[tuple[Mapping[str, str], float]]]:
    """The samples in Prometheus' text, by the name of their series."""
    found: dict[str, list[tuple[Mapping[str, str], float]]] = {}
    for family in text_string_to_metric_families(metrics):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def _get(target: Target, tls: ssl.SSLContext | None, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(target.address, timeout=ANSWER_S_MAX)
    try:
        if tls is not None and not is_loopback(host_of(target.address)):
            made = socket.create_connection((connection.host, connection.port), ANSWER_S_MAX)
            connection.sock = tls.wrap_socket(made, server_hostname=target.server_name)
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()
