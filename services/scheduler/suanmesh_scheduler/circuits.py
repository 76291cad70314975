"""The circuit breakers of all sites, told by the placements alone: a scheduler that takes over comes to the same."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC

import structlog

from suanmesh.scheduler.v1 import placement_pb2
from suanmesh_kernel.clock import Clock
from suanmesh_scheduler import wire
from suanmesh_scheduler.domain.breaker import Circuit, is_fault
from suanmesh_scheduler.domain.states import PLACEMENT_ENDS, PlacementState
from suanmesh_scheduler.domain.values import Failing
from suanmesh_sdk.state_reasons import reason_from
from suanmesh_telemetry.metrics import SITE_FAULTS

log = structlog.get_logger()

_FAILED = frozenset({PlacementState.FAILED, PlacementState.REFUSED, PlacementState.EXPIRED})
_WAITING = frozenset({PlacementState.COMMITTED, PlacementState.ACCEPTED, PlacementState.STAGING})


class Circuits:
    """Notes what becomes of placements, and says which sites are not to be sent any."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._circuits: dict[str, Circuit] = {}
        self._waiting: dict[str, set[str]] = {}
        self._noted: set[str] = set()

    def forget(self, name: str) -> None:
        """The placement has moved out of the store."""
        self._noted.discard(name)
        for waiting in self._waiting.values():
            waiting.discard(name)

    def note(self, placement: placement_pb2.Placement) -> None:
        """A placement was written, or is seen for the first time; in the order of their names when all are."""
        site, state = placement.site, wire.placement_state(placement)
        waiting = self._waiting.setdefault(site, set())
        (waiting.add if state in _WAITING else waiting.discard)(placement.name)
        starts = [task.start_time.ToDatetime(UTC) for task in placement.tasks if task.HasField("start_time")]
        if starts and site in self._circuits:
            self._circuits[site] = self._circuits[site].worked(min(starts))
        if state not in PLACEMENT_ENDS or placement.name in self._noted:
            return
        self._noted.add(placement.name)
        reason = reason_from(placement.state_reason)
        if state in _FAILED and is_fault(reason, begun=bool(starts)):
            ended = placement.end_time.ToDatetime(UTC)
            circuit = self._circuits.get(site, Circuit()).faulted(ended, reason)
            self._circuits[site] = circuit
            SITE_FAULTS.labels(site).inc()
            if circuit.retry_time is not None:
                message = f"{circuit.faults} runs in a row have failed before they began"
                log.warning("site keeps failing", site=site, reason=str(reason), message=message)

    @property
    def sites(self) -> Collection[str]:
        """Those that have failed: what is said of one of them may change with time alone."""
        return self._circuits.keys()

    def failing(self, site: str) -> Failing | None:
        """Why the site is not to be sent anything now; None where it may be."""
        return self._told(site, barred=True)

    def on_trial(self, site: str) -> Failing | None:
        """What it has failed before, where it may be sent one run to see whether it still does."""
        return self._told(site, barred=False)

    def _told(self, site: str, *, barred: bool) -> Failing | None:
        circuit = self._circuits.get(site)
        if circuit is None or circuit.retry_time is None:
            return None
        if circuit.bars(self._clock.now(), trying=bool(self._waiting.get(site))) is not barred:
            return None
        return Failing(circuit.faults, circuit.retry_time, circuit.reason)
