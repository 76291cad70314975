"""`suan doctor`: what this machine has, what it lacks, how long its certificates are good, and what that means."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

import psutil

from suanmesh_client import contexts
from suanmesh_kernel.refusals import Refusal
from suanmesh_local import tools
from suanmesh_local.check import certificate_finding
from suanmesh_local.findings import BAD, Finding, told
from suanmesh_sdk.renewal import life_of

GIBIBYTE = 1 << 30
MEMORY_BYTES_MIN = 2 * GIBIBYTE
DISK_BYTES_MIN = 2 * GIBIBYTE


def main() -> int:
    """Print what was found; the exit status is 1 when something needed is missing."""
    return told(chain((look() for look in LOOKS), _certificates(os.environ, Path.cwd())))


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


def _certificates(environment: Mapping[str, str], here: Path) -> Iterator[Finding]:
    """How long what the contexts show is good still."""
    try:
        known = contexts.load(contexts.files(environment, here)).contexts.values()
    except Refusal as fault:
        yield Finding("contexts", "warning", fault.message)
        return
    for each in known:
        if not each.cert:
            continue
        try:
            life = life_of(Path(each.cert).read_bytes())
        except (OSError, ValueError) as fault:
            yield Finding("certificate", "warning", f"context {each.name}: {fault}")
            continue
        found = certificate_finding(life, datetime.now(UTC), f"context {each.name}")
        yield replace(found, state="warning") if found.state in BAD else found


LOOKS: tuple[Callable[[], Finding], ...] = (_python, _etcd, _bubblewrap, _scratch, _cgroups, _cores, _memory, _disk)
