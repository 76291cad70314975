"""Keeps the disk of a site from filling up: with uploads and transfers that were given up, and setups nobody uses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from suanmesh_agent.replicas import Replicas
from suanmesh_agent.setups import Setups
from suanmesh_chassis import FailureBackoff
from suanmesh_kernel.clock import Clock

KEPT_S = 86_400.0
"""How long what has broken off is kept for whoever goes on with it."""
BEGIN_S = 300.0
SWEEP_S = 3600.0
"""When it is looked for what nobody went on with: once what was under way when the agent began is so again, and then
every so often."""


class Sweeper:
    """Removes it, for as long as the agent lives."""

    def __init__(self, replicas: Replicas, under_way: Callable[[], set[str]], setups: Setups, clock: Clock) -> None:
        self._replicas = replicas
        self._under_way = under_way
        self._setups = setups
        self._clock = clock
        self._backoff = FailureBackoff("sweep incoming", clock)

    async def run(self) -> None:
        """For good."""
        await asyncio.sleep(BEGIN_S)
        while True:
            await self._backoff.run("incoming", self._sweep)
            await asyncio.sleep(SWEEP_S)

    async def _sweep(self) -> None:
        now_s = self._clock.now().timestamp()
        await asyncio.to_thread(self._replicas.sweep, now_s - KEPT_S, self._under_way)
        await asyncio.to_thread(self._setups.sweep, now_s)
