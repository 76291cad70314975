"""The processes of a node within one: each is a task with its own keys, its own network, its own folder."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from suanmesh_chassis.ca import Issued, NodeCa
from suanmesh_chassis.lifecycle import Lifecycle
from suanmesh_chassis.memory_network import MemoryNetwork
from suanmesh_chassis.network import ProcessTls
from suanmesh_chassis.process import Process
from suanmesh_chassis.settings import Common
from suanmesh_chassis.signing import Signer
from suanmesh_fake.keyspace import ProcessKeys
from suanmesh_kernel.clock import Clock, HandClock, Rng, seeded_rng
from suanmesh_kernel.identifiers import sortable_id
from suanmesh_sdk import Tls
from suanmesh_telemetry.rpc import CallSpans

NODE = "node"
END_S_MAX = 30.0
"""How long a process may take to end that was told to, or killed."""
SEED_BYTES = 16

Live = Callable[[asyncio.Event], Awaitable[None]]


class Authority:
    """The authority of a node with all that it has issued."""

    def __init__(self, begin: datetime) -> None:
        self.ca = NodeCa.create(NODE, HandClock(begin))
        self._issued: dict[tuple[str, tuple[str, ...]], Issued] = {}

    def issued(self, identity: str, names: tuple[str, ...] = ()) -> Issued:
        """Keys and certificate of an identity: always the same."""
        if (identity, names) not in self._issued:
            self._issued[identity, names] = self.ca.issue(identity, names)
        return self._issued[identity, names]


@lru_cache(maxsize=4)
def authority(begin: datetime) -> Authority:
    """That of every node that begins then: its keys decide nothing, and making them takes time."""
    return Authority(begin)


class Supervised:
    """One process: it is started, stopped, killed and started again; what it dies of by itself is kept."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.faults: list[BaseException] = []
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._killed = False

    @property
    def up(self) -> bool:
        """Whether it runs."""
        return self._task is not None and not self._task.done()

    def run(self, live: Live) -> None:
        """Start it."""
        self._stop, self._killed = asyncio.Event(), False
        context = Context()
        context.run(structlog.contextvars.bind_contextvars, process=self.name)
        self._task = asyncio.get_running_loop().create_task(_lived(live, self._stop), name=self.name, context=context)
        self._task.add_done_callback(self._note)

    async def stop(self) -> None:
        """Tell it to stop, and wait for its end."""
        self._stop.set()
        await self._ended()

    def cancel(self) -> None:
        """End it wherever it is."""
        if self._task is not None:
            self._killed = True
            self._task.cancel()

    async def kill(self) -> None:
        """End it wherever it is, and wait for that."""
        self.cancel()
        await self._ended()

    async def _ended(self) -> None:
        if self._task is not None:
            done, _ = await asyncio.wait([self._task], timeout=END_S_MAX)
            if not done:
                raise TimeoutError(f"{self.name} does not end")
            self._task = None

    def _note(self, task: asyncio.Task[None]) -> None:
        """Whatever ends a process by itself is a finding; after a kill it is what was left of it that failed."""
        fault = None if task.cancelled() else task.exception()
        if fault is not None and not self._killed:
            self.faults.append(fault)


async def _lived(live: Live, stop: asyncio.Event) -> None:
    await live(stop)


class Host:
    """What a process has of the world: certificates, chance, network, folder. Each start is a new process."""

    def __init__(
        self,
        authority: Authority,
        name: str,
        identity: str,
        names: tuple[str, ...],
        folder: Path,
        network: MemoryNetwork,
    ) -> None:
        self.authority = authority
        self.name = name
        self.identity = identity
        self.names = names
        self.folder = folder
        self.network = network

    def process(self, area: str, clock: Clock, rng: Rng, **common: Any) -> Process:
        """A process that begins now."""
        shown = self.authority.issued(self.identity, self.names)
        return Process(
            area=area,
            identity=self.identity,
            instance=sortable_id(clock.now(), rng),
            common=Common(node=NODE, tls_dir=self.folder, data_dir=self.folder, **common),
            clock=clock,
            tls=ProcessTls.of(Tls(shown.ca, shown.certificate, shown.key), clock),
            signer=Signer(Ed25519PrivateKey.from_private_bytes(rng(32)), self.identity),
            spans=CallSpans(0.0, Random(rng(SEED_BYTES))),
            tracing=None,
            network=self.network.of(self.name),
            rng=rng,
        )


class ServiceProcess:
    """One instance of a service."""

    def __init__(
        self, area: str, host: Host, listen: str, build: Any, settings: Any, clock: Clock, rng: Rng,
        keys: Callable[[], ProcessKeys],
    ) -> None:  # fmt: skip
        self.area = area
        self.host = host
        self.clock = clock
        self.supervised = Supervised(host.name)
        self._listen = listen
        self._build = build
        self._settings = settings
        self._rng = rng
        self._open_keys = keys
        self._keys: ProcessKeys | None = None

    def start(self) -> None:
        """A new process of it."""
        rng = seeded_rng(int.from_bytes(self._rng(8), "big"))
        keys = self._keys = self._open_keys()
        process = self.host.process(self.area, self.clock, rng, listen=self._listen)
        lifecycle = Lifecycle(process, keys, self._settings, rng, edge=self.area == "gateway")

        async def live(stop: asyncio.Event) -> None:
            await lifecycle.live(self._build, stop)

        self.supervised.run(live)

    async def stop(self) -> None:
        """As on SIGTERM."""
        await self.supervised.stop()

    async def kill(self) -> None:
        """As on SIGKILL: from here on it does nothing any more, and its leases lapse."""
        if self._keys is not None:
            self._keys.die()
        self.host.network.crash(self.host.name)
        await self.supervised.kill()

    def strike_dead(self) -> None:
        """As `kill`, in the middle of what it does: `kill` waits for its end afterwards."""
        if self._keys is not None:
            self._keys.die()
        self.host.network.crash(self.host.name)
        self.supervised.cancel()

    def fall_silent(self) -> None:
        """Its keep-alives do not arrive any more."""
        if self._keys is not None:
            self._keys.fall_silent()
