"""The placements of this site: each is carried from stage to stage, through restarts of the agent."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import structlog

from suanmesh.scheduler.v1 import placement_pb2
from suanmesh.scheduler.v1 import scheduler_service_pb2 as pb
from suanmesh_agent import wire
from suanmesh_agent.domain.stages import HOLDING, Stage
from suanmesh_agent.following import follow
from suanmesh_agent.journal import Journal
from suanmesh_agent.ports import Executor, SchedulerPort
from suanmesh_agent.steps import Steps
from suanmesh_kernel.names import last
from suanmesh_kernel.quantities import Capacity, total

log = structlog.get_logger()

State = placement_pb2.Placement
OVER = frozenset(
    (
        State.STATE_DONE,
        State.STATE_FAILED,
        State.STATE_REFUSED,
        State.STATE_CANCELLED,
        State.STATE_PREEMPTED,
        State.STATE_EXPIRED,
        State.STATE_LOST,
    )
)
LOGS_KEPT = 200
"""Ended placements whose logs stay at the site; those of older ones are in their datasets only."""


@dataclass(slots=True)
class Carried:
    """A placement on its way, as the mesh shows it now."""

    placement: placement_pb2.Placement
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def show(self, placement: placement_pb2.Placement) -> None:
        """The mesh shows it anew."""
        self.placement = placement
        self.changed.set()
        self.changed = asyncio.Event()

    @property
    def to_stop(self) -> bool:
        """Whether it is to run no longer: by request, or because the mesh has put it down as ended."""
        return self.placement.stop_requested or self.placement.state in OVER


class Placements:
    """Follows the mesh, and carries what it says to its end."""

    def __init__(
        self, site: str, *, scheduler: SchedulerPort, journal: Journal, executor: Executor, steps: Steps
    ) -> None:
        self._site = site
        self._scheduler = scheduler
        self._journal = journal
        self._executor = executor
        self._steps = steps
        self._carried: dict[str, Carried] = {}

    async def run(self) -> None:
        """Take up what was begun, then follow the mesh for good."""
        async with asyncio.TaskGroup() as tasks:
            for _, message, _ in self._journal.placements():
                self._carry(placement_pb2.Placement.FromString(message), tasks)

            def take(batch: pb.WatchPlacementsResponse) -> None:
                for placement in batch.placements:
                    self._look_at(placement, tasks)
                if batch.snapshot:
                    self._let_go({placement.name for placement in batch.placements})

            await follow("WatchPlacements", lambda: self._scheduler.watch_placements(self._site), take)

    def taken(self, *, but: str = "") -> Capacity:
        """What the placements that are held here take together."""
        return taken_capacity(self._journal, but=but)

    def _look_at(self, placement: placement_pb2.Placement, tasks: asyncio.TaskGroup) -> None:
        if placement.name not in self._carried and placement.state in OVER:
            self._forget(placement.name)
            return
        self._journal.keep_placement(placement.name, placement.SerializeToString())
        self._carry(placement, tasks)

    def _carry(self, placement: placement_pb2.Placement, tasks: asyncio.TaskGroup) -> None:
        carried = self._carried.get(placement.name)
        if carried is not None:
            carried.show(placement)
            return
        carried = self._carried[placement.name] = Carried(placement)
        tasks.create_task(self._to_the_end(carried))

    async def _to_the_end(self, carried: Carried) -> None:
        name = carried.placement.name
        while (stage := self._journal.stage(name)) is not Stage.REPORTED:
            reached = await self._steps.step(carried, stage or Stage.SEEN)
            self._journal.go_on(name, reached)
            log.info("placement went on", placement=name, state=reached.value)
        while carried.placement.state not in OVER:
            await carried.changed.wait()
        self._carried.pop(name, None)
        self._forget(name)

    def _let_go(self, standing: set[str]) -> None:
        """What the mesh does not name any more has ended while we were away."""
        for name, carried in list(self._carried.items()):
            if name not in standing and carried.placement.state not in OVER:
                gone = placement_pb2.Placement()
                gone.CopyFrom(carried.placement)
                gone.state = State.STATE_LOST
                carried.show(gone)

    def _forget(self, name: str) -> None:
        """Clear up after a placement that has ended in the mesh; its log stays for a while."""
        self._journal.forget_placement(name)
        self._executor.forget_work(last(name))
        for old in self._executor.ended_placements()[LOGS_KEPT:]:
            self._executor.forget(old)


def taken_capacity(journal: Journal, *, but: str = "") -> Capacity:
    """What the placements that hold capacity take together, `but` one."""
    held = [
        wire.work_from(placement_pb2.Placement.FromString(message)).capacity
        for name, message, stage in journal.placements()
        if stage in HOLDING and name != but
    ]
    return total(held)
