"""`suan doctor`: what this machine has and lacks, how long its certificates are good, and which ways are open."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Protocol

import psutil

from suanmesh_client import contexts
from suanmesh_client.contexts import Context
from suanmesh_kernel.addresses import host_of
from suanmesh_kernel.refusals import Refusal
from suanmesh_local import tools
from suanmesh_local.check import CONNECT_S, certificate_finding, reached
from suanmesh_local.facts import FILE as FACTS
from suanmesh_local.findings import BAD, Finding, told
from suanmesh_sdk.kept_gateways import FILE as LEARNED
from suanmesh_sdk.kept_gateways import KeptGateways
from suanmesh_sdk.renewal import life_of

SITE_SETTINGS = "agent.env"
"""In the folder of a site that has joined."""
GIBIBYTE = 1 << 30
MEMORY_BYTES_MIN = 2 * GIBIBYTE
DISK_BYTES_MIN = 2 * GIBIBYTE


class Direction(Protocol):
    """A way that a site needs, as it was tried."""

    @property
    def open(self) -> bool:
        """Whether it is."""

    @property
    def what(self) -> str:
        """From where or to where."""

    @property
    def detail(self) -> str:
        """How it was found; where it fails, what to open."""


Directions = Callable[[Path], Awaitable[Sequence[Direction]]]
"""Tries every direction that the site in a folder needs. Raises Refusal, OSError."""


def main(directions: Directions) -> int:
    """Print what was found; the exit status is 1 when something needed is missing."""
    here = Path.cwd()
    known = _contexts(os.environ, here)
    looks = (look() for look in LOOKS)
    return told(chain(looks, _certificates(known), _gateways(known), _nodes(here), _sites(here, directions)))


def _python() -> Finding:
    version = ".".join(str(part) for part in sys.version_info[:3])
    return Finding("python", "ok" if sys.version_info >= (3, 11) else "missing", f"{version}, at least 3.11 is needed")


def _etcd() -> Finding:
    try:
        tool = tools.etcd(tools.cache_dir())
    except tools.ToolMissing as missing:
        return Finding("etcd", "missing", str(missing))
    return Finding(
        "etcd", "warning" if tool.warning else "ok", tool.warning or f"{tool.version}, {tool.origin}, {tool.path}"
    )


def _bubblewrap() -> Finding:
    try:
        tool = tools.bubblewrap(tools.cache_dir())
    except tools.ToolMissing as missing:
        why = "a site refuses tasks of other parties; `suan dev` runs its own unsandboxed"
        return Finding("bubblewrap", "warning", f"{missing}; {why}")
    return Finding("bubblewrap", "ok", f"{tool.version}, {tool.origin}, {tool.path}")


def _scratch() -> Finding:
    """An agent bounds the scratch of tasks by a file system where it has root, loop devices and mke2fs."""
    lacking = [
        what
        for what, there in (
            ("root", os.geteuid() == 0),
            ("loop devices", Path("/dev/loop-control").exists()),
            ("mke2fs", bool(shutil.which("mke2fs", path="/usr/sbin:/sbin:/usr/bin:/bin"))),
        )
        if not there
    ]
    if lacking:
        return Finding("scratch", "warning", f"watched, not bounded: without {', '.join(lacking)}")
    return Finding("scratch", "ok", "a file system of its own for each task")


def _cgroups() -> Finding:
    """Control groups bound processor, memory and processes where the agent has root."""
    if os.geteuid() != 0 or not os.access("/sys/fs/cgroup", os.W_OK):
        return Finding("cgroups", "warning", "memory is watched, not bounded: control groups need root")
    version = "v2" if Path("/sys/fs/cgroup/cgroup.controllers").exists() else "v1"
    return Finding("cgroups", "ok", f"{version}, a group of its own for each task")


def _memory() -> Finding:
    memory = psutil.virtual_memory().available
    state = "ok" if memory >= MEMORY_BYTES_MIN else "warning"
    return Finding("memory", state, f"{memory / GIBIBYTE:.1f} GiB free, a node with three sites uses about 1 GiB")


def _disk() -> Finding:
    disk = shutil.disk_usage(".").free
    state = "ok" if disk >= DISK_BYTES_MIN else "warning"
    return Finding("disk", state, f"{disk / GIBIBYTE:.1f} GiB free here")


def _cores() -> Finding:
    cores = psutil.cpu_count() or 1
    return Finding("cores", "ok" if cores >= 2 else "warning", f"{cores}; the sites of `suan dev` share them")


def _contexts(environment: Mapping[str, str], here: Path) -> Sequence[Context] | Finding:
    """Those that `suan` finds here."""
    try:
        return list(contexts.load(contexts.files(environment, here)).contexts.values())
    except Refusal as fault:
        return Finding("contexts", "warning", fault.message)


def _certificates(known: Sequence[Context] | Finding) -> Iterator[Finding]:
    """How long what the contexts show is good still."""
    if isinstance(known, Finding):
        yield known
        return
    for each in known:
        if not each.cert:
            continue
        try:
            life = life_of(Path(each.cert).read_bytes())
        except (OSError, ValueError) as fault:
            yield Finding("certificate", "warning", f"context {each.name}: {fault}")
            continue
        yield _lightened(certificate_finding(life, datetime.now(UTC), f"context {each.name}"))


def _gateways(known: Sequence[Context] | Finding) -> Iterator[Finding]:
    """Whether something answers at each gateway of the contexts, those that came later too."""
    if isinstance(known, Finding):
        return
    every: dict[str, list[str]] = {}
    for each in known:
        learned = Path(each.key).with_name(LEARNED) if each.key else Path(os.devnull)
        for address in KeptGateways(each.gateway, learned).addresses if each.gateway else ():
            every.setdefault(address, []).append(each.name)
    for address, names in every.items():
        yield _answers(address, ", ".join(names))


def _answers(address: str, names: str) -> Finding:
    try:
        socket.create_connection((host_of(address), int(address.rpartition(":")[2])), CONNECT_S).close()
    except (OSError, ValueError, Refusal) as fault:
        why = fault.strerror if isinstance(fault, OSError) and fault.strerror else fault
        problem = f"{address} of {names} is not reached from here ({why})"
        return Finding("gateway", "warning", f"{problem}: open outgoing TCP to it, and incoming TCP there")
    return Finding("gateway", "ok", f"{address} of {names} is reached from here")


def _nodes(here: Path) -> Iterator[Finding]:
    """Whether the nodes whose folders are here are reached where they say."""
    for facts in _beneath(here, FACTS):
        yield from map(_lightened, reached(facts.parent))


def _sites(here: Path, directions: Directions) -> Iterator[Finding]:
    """Whether the sites whose folders are here reach all that they need, and are reached."""
    for settings in _beneath(here, SITE_SETTINGS):
        site = settings.parent
        try:
            for each in asyncio.run(_tried(directions, site)):
                state = "ok" if each.open else "warning"
                yield Finding("site", state, f"{site.name}, {each.what}: {each.detail}")
        except (Refusal, OSError, ValueError) as fault:
            said = fault.message if isinstance(fault, Refusal) else fault
            yield Finding("site", "warning", f"{site.name}: its directions cannot be tried: {said}")


async def _tried(directions: Directions, site: Path) -> Sequence[Direction]:
    return await directions(site)


def _beneath(here: Path, file: str) -> list[Path]:
    """The files of that name in this folder, and in those that are in it."""
    return sorted(path for path in (*here.glob(file), *here.glob(f"*/{file}")) if path.is_file())


def _lightened(found: Finding) -> Finding:
    """What is bad for one context, node or site is nothing that this machine lacks."""
    return replace(found, state="warning") if found.state in BAD else found


LOOKS: tuple[Callable[[], Finding], ...] = (_python, _etcd, _bubblewrap, _scratch, _cgroups, _cores, _memory, _disk)
