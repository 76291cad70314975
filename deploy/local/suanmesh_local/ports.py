"""Free TCP ports on loopback, and a node's own from one start to the next."""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from pathlib import Path

from suanmesh_chassis.private import write_private


def free_ports(count: int) -> list[int]:
    """So many different ports that nobody listens on now."""
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_STREAM) for _ in range(count)]
    try:
        for each in sockets:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def kept_ports(file: Path, names: Sequence[str]) -> dict[str, int]:
    """A port for each name: the one noted in `file` where it is free, else another, which is noted."""
    noted = _noted(file)
    kept = {name: noted[name] for name in names if name in noted and _is_free(noted[name])}
    new = [name for name in names if name not in kept]
    others = [port for port in free_ports(len(names)) if port not in kept.values()]
    ports = kept | dict(zip(new, others, strict=False))
    draft = file.with_suffix(".new")
    write_private(draft, json.dumps(noted | ports).encode())
    draft.replace(file)
    return ports


def _noted(file: Path) -> dict[str, int]:
    """What an earlier start noted; nothing where it is not readable, since other ports do as well."""
    try:
        noted = json.loads(file.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return {name: port for name, port in noted.items() if isinstance(port, int)} if isinstance(noted, dict) else {}


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
