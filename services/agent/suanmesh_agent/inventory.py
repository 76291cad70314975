"""What the site has: read off the real host, measured where that is cheap, declared where it is simulated."""

from __future__ import annotations

import hashlib
import platform
import re
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psutil
from blake3 import blake3

from suanmesh.registry.v1 import pool_pb2
from suanmesh.type.v1 import capacity_pb2
from suanmesh_agent.domain.cards import Card, counted
from suanmesh_agent.domain.tasks import Capabilities
from suanmesh_agent.settings import AgentSettings
from suanmesh_kernel.architectures import architecture_of
from suanmesh_kernel.owner_limits import NO_LIMITS
from suanmesh_kernel.quantities import Capacity, Device, total
from suanmesh_sdk.values import capacity_to, limits_to

BENCH_BYTES = 8 * 1024 * 1024
BENCH_ROUNDS = 3
WALLED = "tasks_walled_off"
"""Capability of value 1 where every task runs in a sandbox, else 0: a job may ask for 1."""
HOSTS_MAX = 64
"""Of one pool, after its contract."""
_SCRATCH_SHARE = 2
"""Of the disk that is free, one part in so many is offered as scratch where nothing is set."""


@dataclass(frozen=True, slots=True)
class HostFacts:
    """One host."""

    name: str
    cpu_milli: int
    memory_bytes: int
    devices: tuple[Device, ...] = ()


@dataclass(frozen=True, slots=True)
class Inventory:
    """What is offered, and where the figures come from."""

    hosts: tuple[tuple[str, Capacity], ...]
    """Name and capacity of each: one, or the nodes of the site's own scheduler."""
    architecture: str
    runtimes: tuple[str, ...]
    simulated: bool
    can: Capabilities
    """What its engine can do for tasks."""
    sha256_bytes_per_s: int
    blake3_bytes_per_s: int
    measured_at: datetime

    @property
    def capacity(self) -> Capacity:
        """Of all hosts together."""
        return total(capacity for _, capacity in self.hosts)


def take_stock(settings: AgentSettings, now: datetime, can: Capabilities, *, cards: tuple[Card, ...] = ()) -> Inventory:
    """Read the host and measure it; takes a fraction of a second. The engine knows what it `can` do for tasks.

    `cards` are the accelerators that were found; those that settings declare stand for them.
    """
    own = HostFacts(platform.node(), (psutil.cpu_count() or 1) * 1000, psutil.virtual_memory().total)
    return Inventory(
        hosts=hosts_of(settings, [own], shutil.disk_usage(settings.data_dir).free, cards),
        architecture=architecture_of(platform.machine()),
        runtimes=_runtimes(settings.runtime_prefix),
        simulated=bool(settings.devices),
        can=can,
        sha256_bytes_per_s=_best_rate(lambda data: hashlib.sha256(data).digest()),
        blake3_bytes_per_s=_best_rate(lambda data: blake3(data).digest()),
        measured_at=now,
    )


def hosts_of(
    settings: AgentSettings, found: Sequence[HostFacts], disk_bytes: int, cards: tuple[Card, ...] = ()
) -> tuple[tuple[str, Capacity], ...]:
    """What each of the hosts offers: no more than it has, nor than is set; the disk they share is divided among them.

    Of more hosts than a pool may have, those with the most processors.
    """
    declared, own = tuple(settings.devices), counted(cards)
    chosen = sorted(found, key=lambda host: (-host.cpu_milli, host.name))[:HOSTS_MAX]
    free = disk_bytes // max(1, len(chosen))
    offered = []
    for host in sorted(chosen, key=lambda host: host.name):
        capacity = Capacity(
            cpu_milli=min(settings.cpu_milli or host.cpu_milli, host.cpu_milli),
            memory_bytes=min(settings.memory_bytes or host.memory_bytes, host.memory_bytes),
            scratch_bytes=min(settings.scratch_bytes or free // _SCRATCH_SHARE, free),
            devices=declared or host.devices or own,
        )
        offered.append((_host_id(host.name), capacity))
    return tuple(offered)


def _host_id(name: str) -> str:
    return re.sub(r"[^a-z0-9-]+", "-", name.lower()).strip("-")[:63] or "host"


def descriptor(settings: AgentSettings, found: Inventory, generation: int) -> pool_pb2.PoolDescriptor:
    """The pool as the agent signs it."""
    name = f"sites/{settings.site}/pools/{settings.pool}"
    usual = Counter(capacity for _, capacity in found.hosts).most_common(1)[0][0]
    made = pool_pb2.PoolDescriptor(
        name=name,
        architecture=found.architecture,
        hosts=[pool_pb2.Host(name=name, capacity=_unlike(capacity, usual)) for name, capacity in found.hosts],
        host_capacity=capacity_to(usual),
        runtimes=found.runtimes,
        generation=generation,
        capacity_origin=capacity_pb2.ORIGIN_SIMULATED if found.simulated else capacity_pb2.ORIGIN_PROBED,
    )
    for quantity, value, unit, origin in (
        ("sha256_bytes_per_s", found.sha256_bytes_per_s, "bytes/s", capacity_pb2.ORIGIN_BENCHMARKED),
        ("blake3_bytes_per_s", found.blake3_bytes_per_s, "bytes/s", capacity_pb2.ORIGIN_BENCHMARKED),
        (WALLED, int(found.can.walled), "bool", capacity_pb2.ORIGIN_PROBED),
    ):
        capability = made.capabilities.add(quantity=quantity, value=value, unit=unit, origin=origin)
        capability.measure_time.FromDatetime(found.measured_at)
    if settings.limits != NO_LIMITS:
        made.limits.CopyFrom(limits_to(settings.limits))
    if settings.price_book:
        made.offers.add(
            name=f"{name}/offers/on-demand",
            kind=pool_pb2.Offer.KIND_ON_DEMAND,
            price_book=settings.price_book,
            max_duration_s=settings.max_duration_s,
        )
    return made


def _unlike(capacity: Capacity, usual: Capacity) -> capacity_pb2.Capacity | None:
    return None if capacity == usual else capacity_to(capacity)


def _runtimes(prefix: Path) -> tuple[str, ...]:
    """Interpreters a task finds under their own names in the environment it may read."""
    found = sorted(
        path.name for path in (prefix / "bin").glob("python3*") if re.fullmatch(r"python3(\.\d+)?", path.name)
    )
    return tuple(found) or (f"python3.{sys.version_info.minor}",)


def _best_rate(digest: Callable[[bytes], bytes]) -> int:
    """Bytes per second of the best of a few rounds: the machine's ability, not its neighbours' noise."""
    data = bytes(BENCH_BYTES)
    best_s = min(_timed(digest, data) for _ in range(BENCH_ROUNDS))
    return int(BENCH_BYTES / best_s)


def _timed(digest: Callable[[bytes], bytes], data: bytes) -> float:
    begin = time.perf_counter()
    digest(data)
    return max(time.perf_counter() - begin, 1e-9)
