"""`suan node check`: whether a node is reached, and what it keeps can be read; it is not started for that."""

from __future__ import annotations

import asyncio
import socket
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil

from suanmesh_etcd3 import EtcdError
from suanmesh_kernel.refusals import Refusal
from suanmesh_local.backups import MANIFEST, NoBackup, findings_of
from suanmesh_local.facts import FILE as FACTS
from suanmesh_local.facts import NodeFacts, read_facts
from suanmesh_local.findings import Finding, told
from suanmesh_local.format import OtherFormat, claim_format
from suanmesh_local.identities import ETCD_ROOT_DIR, Identities
from suanmesh_local.machine_list import listed_here
from suanmesh_local.machine_rules import NodeMachine, machines_of
from suanmesh_local.relied_on import relied_on
from suanmesh_local.sealed_backups import opened
from suanmesh_sdk.renewal import Life, life_of
from suanmesh_store.soundness import damage_of

CONNECT_S = 3.0
LATE_PART = 0.25
"""The part of the time in which a certificate is to be renewed after which something is wrong."""
ANEW = "a node gets its own anew from `suan node run`, or `suan node prepare` under systemd, whoever else joins again"
ADDED_AGAIN = "this machine cannot issue another: have the node remove it, and add it again"
_STORES = ("services/*/*.sqlite", "sites/*/agent.db")
_SOFT = frozenset({"traces.sqlite"})
"""Begun anew by the process itself where they are damaged."""


def main(folder: Path, identities: Path | None = None) -> int:
    """Print what was found in a node's folder, or in a backup; exit status 1 where something is damaged or missing.

    `identities` is the file with the keys of an encrypted one, which is decrypted where temporary files are.
    """
    if not folder.is_file():
        return told(findings_of(folder) if (folder / MANIFEST).exists() else findings_in(folder))
    try:
        with opened(folder, identities, Path(tempfile.gettempdir()) / "suanmesh-check") as clear:
            return told(findings_of(clear))
    except (NoBackup, OSError) as fault:
        return told([Finding("backup", "damaged", f"{folder}: {fault}")])


def findings_in(folder: Path) -> Iterator[Finding]:
    """Its format, its certificates, and every store whole; a node that runs meanwhile is not disturbed."""
    if not (folder / "tls").is_dir():
        yield Finding("node", "missing", f"{folder} holds no node")
        return
    yield _format(folder)
    if (folder / FACTS).exists():
        yield from reached(folder)
        yield from _followed(folder)
        with suppress(ValueError, OSError):  # said above
            yield from relied_on(folder, read_facts(folder))
    remedy = ANEW if (folder / "tls" / "ca").is_dir() or not (folder / FACTS).exists() else ADDED_AGAIN
    for certificate in sorted(folder.glob("**/cert.pem")):
        if certificate.parent.name == ETCD_ROOT_DIR:  # issued whenever it is needed
            continue
        yield _certificate(certificate, certificate.relative_to(folder), remedy)
    for store in sorted(path for pattern in _STORES for path in folder.glob(pattern)):
        yield _store(store, store.relative_to(folder))
    for aside in sorted(folder.glob("**/*.damaged")):
        yield Finding(
            "set aside", "warning", f"{aside.relative_to(folder)}: was damaged; remove it when it is not needed"
        )


def reached(folder: Path) -> Iterator[Finding]:
    """Of a node that others join: whether they can."""
    try:
        facts = read_facts(folder)
        addresses = {str(each[4][0]) for each in socket.getaddrinfo(facts.host.strip("[]"), None)}
    except ValueError as fault:
        yield Finding("node", "damaged", str(fault))
        return
    except OSError as fault:
        yield Finding("address", "damaged", f"the node's host has no address: {fault.strerror}")
        return
    if not facts.runs_services:
        return
    gateway = f"{facts.host}:{facts.gateway_port}"
    own = {each.address for link in psutil.net_if_addrs().values() for each in link}
    if addresses & own:
        yield Finding("address", "ok", f"{gateway} is an address of this machine")
    else:
        problem = f"{facts.host} is no address of this machine: what passes on to it must reach port"
        yield Finding("address", "warning", f"{problem} {facts.gateway_port} here")
    try:
        socket.create_connection((facts.host.strip("[]"), facts.gateway_port), CONNECT_S).close()
    except OSError as fault:
        start = f"start the node with `suan node run {folder}`, or open the port"
        yield Finding("gateway", "warning", f"nothing answers at {gateway} ({fault.strerror or fault}): {start}")
    else:
        yield Finding("gateway", "ok", f"answers at {gateway}")


def _followed(folder: Path) -> Iterator[Finding]:
    """Of a node on several machines: whether this one knows them all."""
    with suppress(ValueError, OSError, Refusal, EtcdError):  # whether it is reached is said elsewhere
        facts = read_facts(folder)
        if facts.is_spread:
            listed = asyncio.run(listed_here(Identities(folder / "tls", facts.name), facts))
            yield machines_finding(facts, listed or machines_of(facts), folder)


def machines_finding(facts: NodeFacts, listed: Sequence[NodeMachine], folder: Path) -> Finding:
    """Whether what is started on a machine of a node is told of the machines that etcd `listed`."""
    hosts = ", ".join(each.host for each in listed)
    if facts.host not in {each.host for each in listed}:
        left = f"{facts.host} is no machine of {facts.name} any more"
        return Finding("machines", "warning", f"{left}: stop what runs here, and remove {folder}, which holds keys")
    if set(machines_of(facts)) != set(listed):
        problem = f"the node is on {hosts}, and what is started here is told of other machines"
        return Finding("machines", "warning", f"{problem}: suan node prepare {folder}")
    return Finding("machines", "ok", f"{hosts}, as all of them know")


def _format(folder: Path) -> Finding:
    try:
        claim_format(folder)
    except OtherFormat as other:
        return Finding("format", "damaged", str(other))
    return Finding("format", "ok", "of this version")


def _certificate(path: Path, shown: Path, remedy: str) -> Finding:
    try:
        life = life_of(path.read_bytes())
    except (OSError, ValueError) as fault:
        return Finding("certificate", "damaged", f"{shown}: {fault}; it has to be issued anew")
    return certificate_finding(life, datetime.now(UTC), str(shown), remedy)


def certificate_finding(life: Life, now: datetime, shown: str, remedy: str = ANEW) -> Finding:
    """How long a certificate is good still, and whether it ought to have been renewed."""
    days = (life.end - now) / timedelta(days=1)
    until = f"{shown}: {days:.1f} days left, until {life.end:%Y-%m-%d %H:%M} UTC"
    if now < life.begin:
        ahead = f"{(life.begin - now).total_seconds():.0f} s"
        return Finding(
            "certificate", "damaged", f"{shown}: not good for another {ahead}: this machine's clock is behind"
        )
    if days <= 0:
        return Finding(
            "certificate", "damaged", f"{shown}: lapsed {abs(days):.1f} days ago by this machine's clock; {remedy}"
        )
    if now >= life.due + (life.end - life.due) * LATE_PART:
        return Finding("certificate", "warning", f"{until}: it ought to have been renewed by itself; see the log")
    return Finding("certificate", "ok", until)


def _store(path: Path, shown: Path) -> Finding:
    try:
        damage = damage_of(path)
        size = path.stat().st_size
    except (sqlite3.Error, OSError) as fault:
        return Finding("store", "warning", f"{shown}: cannot be read now: {fault}")
    if not damage:
        return Finding("store", "ok", f"{shown}: {size} bytes")
    if path.name in _SOFT:
        return Finding("store", "warning", f"{shown}: {damage}; it is begun anew when its service starts")
    return Finding("store", "damaged", f"{shown}: {damage}; bring back a copy, or move it away and lose what it holds")
