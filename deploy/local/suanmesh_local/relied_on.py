"""What a node's services cannot do without, as `suan node check` finds it: room on the disk, etcd, the database."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from suanmesh_etcd3 import EtcdError, connect
from suanmesh_etcd3.values import Status
from suanmesh_local.facts import LOOPBACK, NodeFacts
from suanmesh_local.findings import Finding
from suanmesh_local.format import PORTS
from suanmesh_local.identities import Identities
from suanmesh_local.ports import noted_ports, spread_ports
from suanmesh_telemetry.thresholds import DISK_BYTES_LEAST, DISK_BYTES_MIN

ASK_S = 3.0
BLOCKED_BY = """
SELECT DISTINCT holder.pid, holder.usename, holder.application_name
FROM pg_stat_activity AS waiting
CROSS JOIN LATERAL unnest(pg_blocking_pids(waiting.pid)) AS blocking (pid)
JOIN pg_stat_activity AS holder ON holder.pid = blocking.pid
WHERE waiting.datname = current_database() AND now() - waiting.query_start > interval '1 second'
ORDER BY holder.pid LIMIT 8
"""


def relied_on(folder: Path, facts: NodeFacts) -> Iterator[Finding]:
    """All of it, of the node in a folder."""
    yield disk_finding(shutil.disk_usage(folder).free)
    yield from etcd_findings(asyncio.run(_asked(folder, facts)))
    if facts.sql and facts.runs_services:
        yield database_finding(facts.sql)


def disk_finding(free_bytes: int) -> Finding:
    """Whether there is room for what the node will write."""
    left = f"{free_bytes / 1e9:.2f} GB left"
    if free_bytes < DISK_BYTES_LEAST:
        return Finding("disk", "missing", f"{left}: writes are refused, and etcd ends where it cannot write; make room")
    if free_bytes < DISK_BYTES_MIN:
        return Finding("disk", "warning", f"{left}: make room before it is full")
    return Finding("disk", "ok", left)


def etcd_findings(asked: Mapping[str, Status | str]) -> Iterator[Finding]:
    """How each member stands, by `name at host:port`: its status, or why there is none."""
    for member, answer in asked.items():
        if isinstance(answer, str):
            fix = "start its machine's node again; where its data is lost, remove the machine and add it again"
            yield Finding("etcd", "warning", f"{member} does not answer ({answer}): {fix}")
        elif not answer.leader_id:
            yield Finding(
                "etcd", "warning", f"{member} answers and knows of no leader: too few members run, start them"
            )
        else:
            yield Finding("etcd", "ok", f"{member} answers{', and leads' if answer.leads else ''}")


def database_finding(url: str) -> Finding:
    """Whether the database answers, and whether somebody else keeps the services waiting there."""
    import psycopg  # not in the extra of agents

    try:
        with psycopg.connect(url, connect_timeout=int(ASK_S)) as connection:
            holders = connection.execute(BLOCKED_BY.encode()).fetchall()
    except psycopg.Error as fault:
        said = str(fault).strip().partition("\n")[0]
        return Finding("database", "warning", f"it cannot be used ({said}): start it, or open the way to it")
    if not holders:
        return Finding("database", "ok", "it answers")
    who = ", ".join(f"pid {pid} of {user} ({program or 'unnamed'})" for pid, user, program in holders)
    return Finding("database", "warning", f"others wait for {who}: end it there by SELECT pg_terminate_backend(PID)")


async def _asked(folder: Path, facts: NodeFacts) -> dict[str, Status | str]:
    places = _places(folder, facts)
    if not places:
        return {}
    found: dict[str, Status | str] = {}
    tls = Identities(folder / "tls", facts.name).etcd_client("etcd")
    async with connect([*places.values()], tls=tls, timeout_s=ASK_S) as client:
        for name, address in places.items():
            try:
                found[f"{name} at {address}"] = await client.status(address)
            except EtcdError as fault:
                found[f"{name} at {address}"] = str(fault).partition(":")[0]
    return found


def _places(folder: Path, facts: NodeFacts) -> dict[str, str]:
    """Where the members listen; none where the node has never run."""
    if facts.is_spread:
        ports = spread_ports(facts.gateway_port, [*facts.members])
        return {name: f"{host}:{ports[name]}" for name, host in facts.members.items()}
    noted = noted_ports(folder / PORTS)
    return {name: f"{LOOPBACK}:{noted[name]}" for name in ("etcd",) if name in noted}
