"""Free TCP ports on loopback, and a node's own from one start to the next."""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Sequence
from pathlib import Path

from suanmesh_kernel.clock import system_rng
from suanmesh_kernel.private import write_private
from suanmesh_kernel.refusals import invalid_field

KERNELS_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
RANGE = "SUANMESH_PORTS"
"""Environment variable `FIRST-LAST`: the ports to choose from, for several who start nodes on one machine at once."""
FIRST_PORT, LAST_PORT = 10_000, 65_535
"""Below lie the ports of well-known servers."""
TRIES_MAX = 100_000
SPREAD = 8
METRICS = 28
PASSTHROUGH = "gateway-passthrough"
SPREAD_AREAS = ("registry", "scheduler", "network_orchestrator", "transport", "accounting")


def free_ports(count: int) -> list[int]:
    """So many different ports that nobody listens on now.

    None is of those that the kernel gives to outgoing connections: any program's connection could be on a server's
    port when the server starts again. Raises OSError where there are not so many.
    """
    found: list[int] = []
    first, last = served_ports()
    for _ in range(TRIES_MAX):
        if len(found) == count:
            return found
        port = first + int.from_bytes(system_rng(4), "big") % (last - first + 1)
        if port not in found and is_free(port):
            found.append(port)
    raise OSError(f"no {count} free ports found within {first} to {last}")


def served_ports() -> tuple[int, int]:
    """The first and the last port that a server may have: as told, else the larger part beside the kernel's range.

    Raises InvalidArgument (`FIELD_INVALID`) where what is told is no range of ports.
    """
    if told := os.environ.get(RANGE):
        return _range(told)
    try:
        low, high = map(int, KERNELS_RANGE.read_text().split())
    except (OSError, ValueError):
        low, high = 32768, 60999
    return max((FIRST_PORT, low - 1), (high + 1, LAST_PORT), key=lambda ports: ports[1] - ports[0])


def kept_ports(file: Path, names: Sequence[str]) -> dict[str, int]:
    """A port for each name: the one noted in `file` where it is free, else another, which is noted."""
    noted = noted_ports(file)
    kept = {name: noted[name] for name in names if name in noted and is_free(noted[name])}
    new = [name for name in names if name not in kept]
    others = [port for port in free_ports(len(names)) if port not in kept.values()]
    ports = kept | dict(zip(new, others, strict=False))
    draft = file.with_suffix(".new")
    write_private(draft, json.dumps(noted | ports).encode())
    draft.replace(file)
    return ports


def gateway_ports(port: int) -> dict[str, int]:
    """The ports of a gateway that others know: for calls, and two above it for connections that it passes through.

    The one between is usual for the data plane of a site, which may be on the same machine.
    """
    return {"gateway": port, PASSTHROUGH: port + 2}


def spread_ports(gateway_port: int, members: Sequence[str]) -> dict[str, int]:
    """The ports of a node on several machines, which each of them knows: the gateway's two, and from eight above it on.

    The services, etcd's members for clients, and for each other; a machine has one member. Metrics are for the machine
    itself.
    """
    ports = gateway_ports(gateway_port) | {area: gateway_port + SPREAD + at for at, area in enumerate(SPREAD_AREAS)}
    ports |= {f"{area}-metrics": gateway_port + METRICS + at for at, area in enumerate(("gateway", *SPREAD_AREAS))}
    first = gateway_port + SPREAD + len(SPREAD_AREAS)
    return ports | dict.fromkeys(members, first) | {f"{name}-peer": first + 1 for name in members}


def noted_ports(file: Path) -> dict[str, int]:
    """What an earlier start noted; nothing where it is not readable, since other ports do as well."""
    try:
        noted = json.loads(file.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return {name: port for name, port in noted.items() if isinstance(port, int)} if isinstance(noted, dict) else {}


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen on a port of `host`, as it stands before a port."""
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), port))
        except OSError:
            return False
    return True


def _range(told: str) -> tuple[int, int]:
    match = re.fullmatch(r"([0-9]{1,5})-([0-9]{1,5})", told)
    first, last = map(int, match.groups()) if match else (0, 0)
    if not 0 < first <= last <= LAST_PORT:
        raise invalid_field(RANGE, f"{told[:40]!r} is not FIRST-LAST, two ports of 1 to {LAST_PORT}")
    return first, last
