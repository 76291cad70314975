"""What restarts and deaths cost callers: `python bench/failover.py`.

A node on this machine with two processes of each service that is led and three members of etcd, all durable. First
every one of these processes is restarted in turn under 50 calls a second: `failed_calls` of them. Then, several
times, the leader of each service is killed, and etcd's: `next_write_*` from the kill to the answer of the first write
made after it, and `failed_reads` of the reads made meanwhile, 50 a second, that any instance answers. Prints one JSON
object a line.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from suanmesh_local.node import Node
from suanmesh_local.traffic import Traffic
from suanmesh_sdk import Mesh

SETTLE_S = 2.0


@dataclass(frozen=True)
class Death:
    """What one death cost."""

    next_write_s: float
    reads: int
    failed_reads: int
    slowest_read_s: float


async def measure(rounds: int, folder: Path) -> None:
    """Restart everything, then kill each leader `rounds` times."""
    node = Node(folder, 1, replicas=2, etcd_members=3)
    async with node, node.mesh() as user, node.mesh("operator") as operator:
        traffic = Traffic(user, operator)
        async with traffic.flowing():
            await restart_all(node)
        tell("calls_restarting", len(traffic.made), "calls")
        tell("failed_calls", shown(traffic), "calls")
        tell("slowest_call_restarting", max(made.ended - made.begun for made in traffic.made), "s")
        deaths = {area: [await killed(node, user, operator, area) for _ in range(rounds)] for area in traffic.writes}
        deaths["etcd"] = [await killed_etcd(node, user, operator) for _ in range(rounds)]
    for area, found in deaths.items():
        tell(f"next_write_{area}", max(death.next_write_s for death in found), "s")
    every = [death for found in deaths.values() for death in found]
    waits = sorted(death.next_write_s for death in every)
    tell("next_write_p95", waits[math.ceil(0.95 * len(waits)) - 1], "s")
    tell("reads_killing", sum(death.reads for death in every), "calls")
    tell("failed_reads", sum(death.failed_reads for death in every), "calls")
    tell("slowest_read_killing", max(death.slowest_read_s for death in every), "s")


async def restart_all(node: Node) -> None:
    """Every process, one after the other; the gateway too, though there is one."""
    for name, process in node.services.items():
        await process.stop()
        process.start()
        await node.ready(name)


async def killed(node: Node, user: Mesh, operator: Mesh, area: str) -> Death:
    """Kill the leader of a service."""
    name = await node.leader_of(area)
    death = await without(node.services[name].kill, user, operator, area)
    node.services[name].start()
    await node.ready(name)
    await asyncio.sleep(SETTLE_S)
    return death


async def killed_etcd(node: Node, user: Mesh, operator: Mesh) -> Death:
    """Kill the member that leads etcd; the write is the registry's."""
    member = await node.etcd_leader()
    death = await without(member.process.kill, user, operator, "registry")
    member.start()
    await asyncio.sleep(SETTLE_S)
    return death


async def without(kill: Callable[[], None], user: Mesh, operator: Mesh, area: str) -> Death:
    """What is seen from the kill to the first write after it."""
    reads, writes = Traffic(user, operator), Traffic(user, operator)
    async with reads.flowing(writes=False):
        begun = time.monotonic()
        await asyncio.to_thread(kill)
        while (await writes.one(area, writes=True)).refusal is not None:
            pass
        wait_s = time.monotonic() - begun
    shown(writes)
    slowest_s = max(made.ended - made.begun for made in reads.made)
    return Death(wait_s, len(reads.made), shown(reads), slowest_s)


def shown(traffic: Traffic) -> int:
    """How many calls failed; each is shown."""
    for made in traffic.failed:
        print(made, file=sys.stderr)
    return len(traffic.failed)


def tell(name: str, value: float, unit: str) -> None:
    """One figure."""
    print(json.dumps({"name": name, "value": round(value, 3), "unit": unit}), flush=True)


def main() -> None:
    """Print one JSON object a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="how often each leader is killed")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir="build", prefix="bench-failover-") as folder:
        asyncio.run(measure(options.rounds, Path(folder)))


if __name__ == "__main__":
    main()
