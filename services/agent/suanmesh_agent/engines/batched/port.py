"""What an engine that hands over batches needs of the scheduler: one call for many tasks, each with a bound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from suanmesh_agent.domain.tasks import TaskKey
from suanmesh_agent.engines.queued import Node
from suanmesh_kernel.reasons import StateReason


class BatchTooLarge(Exception):
    """The scheduler takes no batch of so many, and would take fewer."""


class SchedulerFull(Exception):
    """The scheduler takes no more for now, and will once something has ended or is mended."""

    def __init__(self, waits_for: StateReason) -> None:
        """`waits_for` is what, with its own words."""
        super().__init__(str(waits_for))
        self.waits_for = waits_for


THE_REST = -1
"""Element of an entry that stands for all of its batch that are not listed by themselves."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What one task takes of a node."""

    cpu_milli: int
    memory_bytes: int
    duration_s: int
    cards: tuple[tuple[str, str, int], ...] = ()
    """Class, model and number; no model is any."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Tasks with equal needs that are handed over together."""

    placement: str
    name: str
    mark: str
    """Our own key of it, which the scheduler keeps for us: what it calls a job itself it may give to another."""
    keys: tuple[TaskKey, ...]
    """In the order of its elements, which are numbered from 0."""
    needs: Needs
    folder: Path
    """Its own, where what goes wrong before a shim runs is written to `<element>.out`."""
    command: tuple[str, ...]
    """What runs an element on a node, with the element's number behind it."""


class Entry(Protocol):
    """One element of a batch as the scheduler lists it."""

    @property
    def mark(self) -> str:
        """Which batch it is of."""

    @property
    def element(self) -> int:
        """Which it is, or `THE_REST`."""

    @property
    def waits(self) -> bool:
        """Whether it has not begun."""

    @property
    def ended(self) -> bool:
        """Whether it will not run any more."""

    @property
    def stopped(self) -> bool:
        """Whether somebody at the site has taken it out of the queue."""

    @property
    def waits_for(self) -> StateReason:
        """Why it does not run."""


E = TypeVar("E", bound=Entry)


class Scheduler(Protocol[E]):
    """The scheduler. All raise SchedulerSilent."""

    @property
    def title(self) -> str:
        """What people call it."""

    async def submit(self, batch: Batch) -> str:
        """Take a batch. Answers why it will never be taken, empty where it has been.

        Raises BatchTooLarge, SchedulerFull: nothing of it has been taken.
        """

    async def listed(self, prefix: str) -> list[E]:
        """All whose mark begins so that wait or run; what has ended may be among them."""

    async def cancel(self, batch: tuple[str, str], entries: Sequence[E]) -> None:
        """Take elements that wait out of the queue; of which batch, by its placement and name."""

    async def nodes(self) -> list[Node]:
        """The nodes that tasks are sent to."""

    def close(self) -> None:
        """End what only the agent needs."""
