"""A leader in its own process, to be stopped and woken: leads, waits for a line, tries to write, says what it got.

It tries twice: as the store would, and as if its own clock had not told it that its lease is over.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass

from suanmesh.scheduler.v1.job_pb2 import Job
from suanmesh_etcd3 import Client, connect
from suanmesh_kernel.clock import SystemClock, system_rng
from suanmesh_kernel.refusals import Refusal
from suanmesh_store import Create, Leadership, Store
from suanmesh_store.etcd import EtcdStore, elect
from suanmesh_store.layout import Kind

JOBS = Kind("scheduler", "jobs", Job)
"""A kind as any."""


@dataclass(frozen=True)
class Believer:
    """A term whose holder believes that it runs."""

    key: str
    fence: int
    lost: asyncio.Event
    alive: bool = True

    async def resign(self) -> None:
        return None


async def main() -> None:
    async with connect(sys.argv[1].split(",")) as client:
        term = await elect(client, "scheduler", "127.0.0.1:1", 2)
        careful = a_store(client, term)
        await careful.commit(Create(JOBS, "jobs/before", Job(name="jobs/before")))
        print("leads", flush=True)
        sys.stdin.readline()  # blocks the loop, as being stopped does
        believing = a_store(client, Believer(term.key, term.fence, term.lost))
        print(json.dumps([await attempt(careful), await attempt(believing)]), flush=True)


def a_store(client: Client, term: Leadership) -> Store:
    return EtcdStore(client, "scheduler", SystemClock(), system_rng, term)


async def attempt(store: Store) -> str:
    try:
        await store.commit(Create(JOBS, "jobs/after", Job(name="jobs/after")))
    except Refusal as refusal:
        return f"{refusal.reason} {refusal.facts.get('leader')}"
    return "written"


asyncio.run(main())
