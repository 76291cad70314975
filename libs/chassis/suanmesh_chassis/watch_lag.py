"""How far the watch of etcd is behind: tried by writing the record of this process once more, as it is."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from suanmesh_chassis.discovery import Directory, Registration
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.refusals import FailedPrecondition, Unavailable
from suanmesh_telemetry import names
from suanmesh_telemetry.readings import Reading

EVERY_S = 10.0
"""How often it is tried, seconds."""


class WatchLag:
    """Measures from a write to when the directory, which watches, knows of it; what hangs counts while it does."""

    def __init__(self, clock: Clock, directory: Directory) -> None:
        self._clock = clock
        self._directory = directory
        self._last_s: float | None = None
        self._since_s: float | None = None

    async def run(self, registration: Registration) -> None:
        """Try again and again until cancelled."""
        while True:
            began_s = self._since_s = self._clock.monotonic() if self._since_s is None else self._since_s
            try:
                revision = await registration.again()
            except (Unavailable, FailedPrecondition):
                revision = 0
            if revision:
                await self._directory.reached(revision)
                self._last_s = self._clock.monotonic() - began_s
                self._since_s = None
            await asyncio.sleep(EVERY_S if revision else 1.0)

    def readings(self) -> Iterator[Reading]:
        """The last one, or how long the one under way has taken where that is more."""
        under_way_s = 0.0 if self._since_s is None else self._clock.monotonic() - self._since_s
        if self._last_s is not None or under_way_s > 0:
            yield Reading(names.WATCH_LAG, max(self._last_s or 0.0, under_way_s))
