"""What a service relies on besides itself, such as its database: whether it does its part, told to whoever watches.

The process as a whole goes on serving: starting it anew makes no room on a disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import structlog

from suanmesh_kernel.refusals import Refusal
from suanmesh_telemetry.metrics import COMPONENT_SERVING

LOOK_S = 0.5
"""How often components are looked at, seconds."""

log = structlog.get_logger()

Look = Callable[[], Refusal | None]


class Components:
    """Watches the components of one term."""

    def __init__(self, area: str, looks: Mapping[str, Look], tell: Callable[[Mapping[str, bool]], None]) -> None:
        self._looks = {f"{area}.{name}": look for name, look in looks.items()}
        self._tell = tell
        self._reasons: dict[str, str] = {}

    async def run(self) -> None:
        """Until cancelled, or at once where there are none."""
        while self._looks:
            self.look()
            await asyncio.sleep(LOOK_S)

    def look(self) -> None:
        """Once: log what has changed, and tell it."""
        reasons = {}
        for name, look in self._looks.items():
            fault = look()
            reasons[name] = fault.reason if fault is not None else ""
            if fault is not None and self._reasons.get(name, "") != fault.reason:
                log.error("component has a fault", component=name, reason=fault.reason, message=fault.message)
            elif fault is None and self._reasons.get(name):
                log.info("component well again", component=name)
            COMPONENT_SERVING.labels(name).set(fault is None)
        if reasons != self._reasons:
            self._reasons = reasons
            self._tell({name: not reason for name, reason in reasons.items()})
