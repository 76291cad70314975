"""The nemesis: brings each fault of a schedule about and heals it, and restarts what ended, as a supervisor would."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from chaos.proxies import Rule
from chaos.schedule import EVERYBODY, Fault, Kind
from chaos.world import OF_DISK, ChaosNode

WATCH_S = 0.5
FILL_BYTES = 1 << 20
BALLAST = "chaos-ballast"
"""File that fills a disk."""


@dataclass(frozen=True, slots=True)
class Death:
    """A process that ended though nobody had killed it."""

    name: str
    status: int
    at_s: float
    under: tuple[str, ...]
    """Faults of it that stood then, or had until just before."""


class Nemesis:
    """Hurts one node."""

    def __init__(self, node: ChaosNode, faults: Sequence[Fault], tell: Callable[[str], None]) -> None:
        self._node = node
        self._faults = faults
        self._tell = tell
        self._begin = 0.0
        self._killed: set[str] = set()
        self.done: Counter[str] = Counter()
        self.deaths: list[Death] = []

    async def run(self) -> None:
        """Every fault at its time; returns when the last is healed and all processes run."""
        self._begin = time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(self.supervise())
            async with asyncio.TaskGroup() as faults:
                for fault in self._faults:
                    faults.create_task(self._bring_about(fault))
            watching.cancel()
        await self._restart_ended()

    async def supervise(self) -> None:
        """Restart what ends by itself, and note it down."""
        while True:
            await asyncio.sleep(WATCH_S)
            await self._restart_ended()

    async def _restart_ended(self) -> None:
        for name, process in self._node.processes().items():
            if name in self._killed or process.status is None:
                continue
            at_s = time.monotonic() - self._begin
            under = tuple(
                fault.text() for fault in self._faults
                if _hurts(fault, name) and fault.begin_s <= at_s <= fault.end_s + 2 * WATCH_S
            )  # fmt: skip
            self.deaths.append(Death(name, process.status, round(at_s, 1), under))
            self._tell(f"{at_s:6.1f} s  {name} ended with {process.status} by itself: {process.last_words()}")
            await self._node.restart(name)

    async def _bring_about(self, fault: Fault) -> None:
        await self._at(fault.begin_s)
        self._tell(f"{fault.begin_s:6.1f} s  {fault.text()} for {fault.end_s - fault.begin_s:.1f} s")
        match fault.kind:
            case Kind.KILL:
                await self._kill(fault)
            case Kind.FREEZE:
                await self._freeze(fault)
            case Kind.FILL_DISK:
                await self._fill_disk(fault)
            case Kind.CUT:
                await self._rules(fault, Rule(fault.source, fault.target, fault.mode))
            case Kind.ISOLATE:
                rules = (Rule(EVERYBODY, fault.target, fault.mode), Rule(fault.target, EVERYBODY, fault.mode))
                await self._rules(fault, *rules)
        self.done[fault.kind] += 1

    async def _kill(self, fault: Fault) -> None:
        self._killed.add(fault.target)
        await asyncio.to_thread(self._node.processes()[fault.target].kill)
        await self._at(fault.end_s)
        await self._node.restart(fault.target)
        self._killed.discard(fault.target)

    async def _freeze(self, fault: Fault) -> None:
        process = self._node.processes()[fault.target]
        pid = process.pid
        process.signal(signal.SIGSTOP)
        try:
            await self._at(fault.end_s)
        finally:
            if pid:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    async def _fill_disk(self, fault: Fault) -> None:
        ballast = self._node.folder / fault.target / BALLAST
        try:
            until = self._begin + fault.end_s
            while time.monotonic() < until:
                await asyncio.to_thread(_fill, ballast)  # again and again: what is deleted meanwhile makes room
                await asyncio.sleep(WATCH_S)
        finally:
            ballast.unlink(missing_ok=True)

    async def _rules(self, fault: Fault, *rules: Rule) -> None:
        await self._node.proxies.add(*rules)
        await self._at(fault.end_s)
        await self._node.proxies.remove(*rules)

    async def _at(self, moment_s: float) -> None:
        await asyncio.sleep(max(0.0, self._begin + moment_s - time.monotonic()))


def _hurts(fault: Fault, name: str) -> bool:
    """Whether a fault is one of that process; both instances of a service lie on one disk."""
    owner = OF_DISK.get(fault.target, fault.target)
    return name in (owner, fault.source) or (fault.target in OF_DISK and name == f"{owner}-2")


def _fill(ballast: Path) -> None:
    """Write until nothing more fits."""
    piece = bytes(FILL_BYTES)
    with suppress(OSError), ballast.open("ab", buffering=0) as file:
        while file.write(piece) == FILL_BYTES:
            pass
        while file.write(piece[:4096]):
            pass
