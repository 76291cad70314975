"""Keeps the trace store within its bounds."""

from __future__ import annotations

import asyncio

import structlog

from suanmesh_chassis import FailureBackoff
from suanmesh_gateway.settings import GatewaySettings
from suanmesh_gateway.trace_store import TraceStore
from suanmesh_kernel.clock import Clock

log = structlog.get_logger()


class Sweeper:
    """Drops old traces every now and then."""

    def __init__(self, store: TraceStore, settings: GatewaySettings, clock: Clock) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock
        self._backoff = FailureBackoff("sweep traces", clock)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._backoff.run("traces", self.sweep)
            await asyncio.sleep(self._settings.sweep_s)

    async def sweep(self) -> int:
        """Once; returns how many traces were dropped."""
        oldest_s = self._clock.now().timestamp() - self._settings.traces_age_s_max
        began_before_ns = int(oldest_s * 1_000_000_000)
        return await self._store.sweep(began_before_ns=began_before_ns, spans_max=self._settings.traces_spans_max)
