"""Clearing up after placements that have ended: best effort, and tried again until it is done.

What is to be removed is read off the disk, so that nothing is forgotten over a restart: working folders of placements
that are not held and that run no more, and the logs of the oldest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

import structlog

from suanmesh_agent.ports import Engine
from suanmesh_chassis import FailureBackoff
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.names import last

log = structlog.get_logger()

LOGS_KEPT = 200
"""Ended placements whose logs stay at the site; those of older ones are in their datasets only."""
PAUSE_S = 3.0
"""Between two looks at the disk: each reads every folder there is, and placements end many a second."""
AGAIN_S = 300.0
"""What could not be removed is tried again after so long."""


class Clearing:
    """Removes what ended placements leave behind, beside everything else."""

    def __init__(
        self,
        held: Callable[[], set[str]],
        engine: Engine,
        clock: Clock,
        *,
        pause_s: float = PAUSE_S,
        again_s: float = AGAIN_S,
    ) -> None:
        self._held = held
        self._engine = engine
        self._backoff = FailureBackoff("clear up placement", clock)
        self._pause_s = pause_s
        self._again_s = again_s
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """A placement was forgotten: there is something to clear up."""
        self._wake.set()

    async def run(self) -> None:
        """Clear up for good."""
        while True:
            self._wake.clear()
            await self._clear()
            await asyncio.sleep(self._pause_s)
            try:
                async with asyncio.timeout(self._again_s):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _clear(self) -> None:
        kept = {last(name) for name in self._held()}
        for placement in self._engine.idle_placements():
            if placement not in kept:
                await self._backoff.run(placement, partial(self._drop, placement, self._engine.forget_work))
        for placement in self._engine.ended_placements()[LOGS_KEPT:]:
            await self._backoff.run(placement, partial(self._drop, placement, self._engine.forget))

    async def _drop(self, placement: str, forget: Callable[[str], None]) -> None:
        try:
            await asyncio.to_thread(forget, placement)
        except OSError as fault:
            log.warning("folders stay", placement=f"placements/{placement}", message=str(fault.strerror))
