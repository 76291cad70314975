"""A placement on its way through the steps, and what a step comes to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from suanmesh.scheduler.v1 import placement_pb2
from suanmesh_agent.domain.stages import Stage


class Carried(Protocol):
    """A placement as the mesh shows it; `changed` is set and replaced at every change."""

    placement: placement_pb2.Placement
    changed: asyncio.Event
    confirmed: int | None
    """Epoch of the permission to run under which the mesh last said that the placement lives."""

    @property
    def to_stop(self) -> bool:
        """Whether it is to run no longer."""

    @property
    def counts_as_lost(self) -> bool:
        """Whether the mesh counts it as lost, and would still take what its tasks came to by then."""

    def answered(self, placement: placement_pb2.Placement) -> None:
        """A report was taken, and it stands so."""


@dataclass(frozen=True, slots=True)
class Reached:
    """The stage that a placement has come to, what is written down with it, and what is done once both are on disk."""

    stage: Stage
    write: Callable[[], None] = lambda: None
    written: Callable[[], None] = lambda: None


class StepDeferred(Exception):
    """The mesh has put the placement down as ended, or given it to others: stop, and report nothing more."""
