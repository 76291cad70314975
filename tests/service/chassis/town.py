"""Processes of one area over one etcd in memory, for tests of what they do with each other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from suanmesh_chassis import Parts, Served, ServiceContext
from suanmesh_chassis.discovery import Directory
from suanmesh_chassis.lifecycle import Lifecycle
from suanmesh_chassis.probe import PROBE_SERVICE, Probes
from suanmesh_chassis.testing import LoopbackNode
from suanmesh_kernel.clock import system_rng
from suanmesh_store import MemoryKeyspace, MemoryStore

Build = Callable[[ServiceContext[None]], Awaitable[Parts]]


class Town:
    """Processes of one area over one etcd in memory, watched as another service would watch them."""

    def __init__(self, node: LoopbackNode, probes: Probes) -> None:
        self.node = node
        self.probes = probes
        self.keys: MemoryKeyspace = MemoryKeyspace()
        self.directory = Directory(MemoryStore("registry", keys=self.keys))
        self.contexts: list[ServiceContext[None]] = []
        """Of each term, or of each process where nobody leads."""
        self.replicas: list[ServiceContext[None]] = []

    async def build(self, context: ServiceContext[None]) -> Parts:
        self.contexts.append(context)
        return Parts([Served(PROBE_SERVICE, self.probes)], requests=self.probes)

    def replica(self, term: Build) -> Build:
        """A process of which any instance answers what is declared so, and the leader the rest."""

        async def build(context: ServiceContext[None]) -> Parts:
            self.replicas.append(context)
            return Parts([Served(PROBE_SERVICE, self.probes)], term=term)

        return build

    @asynccontextmanager
    async def living(
        self, build: Build | None = None, *, leads: bool = True, advertise: str = ""
    ) -> AsyncIterator[asyncio.Event]:
        """One process, told to stop at the end; what it raised is raised here."""
        stop = asyncio.Event()
        process = self.node.process("probe")
        process = replace(process, common=replace(process.common, advertise=advertise))
        lifecycle: Lifecycle[None] = Lifecycle(process, self.keys, None, system_rng)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(lifecycle.live(self.replica(build or self.build) if leads else build or self.build, stop))
            try:
                yield stop
            finally:
                stop.set()

    async def seen(self, wanted: Callable[[list[Any]], bool]) -> list[Any]:
        """The instances of the area, once they are as wanted."""
        async with asyncio.timeout(60):
            while not wanted(list(self.directory.instances("probe"))):
                await self.directory.changed("probe")
        return list(self.directory.instances("probe"))


def begun(contexts: list[ServiceContext[None]], terms: int, found: list[Any]) -> bool:
    """Whether the only instance leads again, after so many terms."""
    return len(contexts) > terms and [each.leader for each in found] == [True]
