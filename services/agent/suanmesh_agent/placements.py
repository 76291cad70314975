"""The placements of this site: each is carried from stage to stage, through restarts of the agent."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial

import structlog

from suanmesh.scheduler.v1 import placement_pb2
from suanmesh.scheduler.v1 import scheduler_service_pb2 as pb
from suanmesh_agent.carried import Reached
from suanmesh_agent.clearing import Clearing
from suanmesh_agent.domain.stages import Stage
from suanmesh_agent.following import follow
from suanmesh_agent.journal import Journal
from suanmesh_agent.ports import Engine, SchedulerPort
from suanmesh_agent.steps import Steps
from suanmesh_chassis import FailureBackoff
from suanmesh_kernel.clock import Clock

log = structlog.get_logger()

WIND_UP_TRIES = 3
WIND_UP_PAUSE_S_MAX = 5.0
_SNAPSHOT = "snapshot"

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


@dataclass(slots=True)
class Carried:
    """A placement on its way, as the mesh shows it now."""

    placement: placement_pb2.Placement
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    confirmed: int | None = None

    def show(self, placement: placement_pb2.Placement) -> None:
        """The mesh shows it anew. Once it delivers, that it was lost before is no news."""
        delivers = self.placement.state == State.STATE_DELIVERING
        if delivers and placement.state == State.STATE_LOST and not placement.output_datasets:
            return
        self.placement = placement
        self.changed.set()
        self.changed = asyncio.Event()

    def answered(self, placement: placement_pb2.Placement) -> None:
        """A report was taken, and it stands so: news where it was lost, or may yet be shown as it was while it was."""
        delivers = placement.state == State.STATE_DELIVERING and self.placement.state not in OVER
        if delivers or self.counts_as_lost:
            self.show(placement)

    @property
    def counts_as_lost(self) -> bool:
        """Whether the mesh counts it as lost, and would still take what its tasks came to by then."""
        return self.placement.state == State.STATE_LOST and not self.placement.replaced_by

    @property
    def to_stop(self) -> bool:
        """Whether it is to run no longer: by request, or because the mesh has put it down as ended."""
        return self.placement.stop_requested or self.placement.state in OVER


class Placements:
    """Follows the mesh, and carries what it says to its end."""

    def __init__(
        self, site: str, *, scheduler: SchedulerPort, journal: Journal, engine: Engine, steps: Steps, clock: Clock
    ) -> None:
        self._site = site
        self._scheduler = scheduler
        self._journal = journal
        self._steps = steps
        self._clearing = Clearing(self._held, engine, clock)
        self._told = asyncio.Event()
        """The mesh has said once which placements there are: what is neither theirs nor in the journal is nobody's."""
        self._taking = FailureBackoff("take placement", clock)
        self._carrying = FailureBackoff("carry placement", clock)
        self._winding_up = FailureBackoff("wind up placement", clock, pause_max_s=WIND_UP_PAUSE_S_MAX)
        self._forgetting = FailureBackoff("forget placement", clock)
        self._carried: dict[str, Carried] = {}

    async def run(self) -> None:
        """Take up what was begun, then follow the mesh for good."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._clear_up())
            for name, message, _ in self._journal.placements():
                await self._taking.run(name, partial(self._take_up, message, tasks))

            async def take(batch: pb.WatchPlacementsResponse) -> None:
                for placement in batch.placements:
                    await self._taking.run(placement.name, partial(self._look_at, placement, tasks))
                if batch.snapshot:
                    await self._taking.run(_SNAPSHOT, partial(self._let_go, {each.name for each in batch.placements}))
                    self._told.set()

            await follow("WatchPlacements", lambda: self._scheduler.watch_placements(self._site), take)

    async def _clear_up(self) -> None:
        """A journal that was set back knows less than the mesh of what has still to be delivered from here."""
        await self._told.wait()
        await self._clearing.run()

    def _held(self) -> set[str]:
        return {name for name, _, _ in self._journal.placements()} | self._carried.keys()

    async def _take_up(self, message: bytes, tasks: asyncio.TaskGroup) -> None:
        self._carry(placement_pb2.Placement.FromString(message), tasks)

    async def _look_at(self, placement: placement_pb2.Placement, tasks: asyncio.TaskGroup) -> None:
        if placement.name in self._carried or placement.state not in OVER:
            self._carry(placement, tasks)

    def _carry(self, placement: placement_pb2.Placement, tasks: asyncio.TaskGroup) -> None:
        carried = self._carried.get(placement.name)
        if carried is not None:
            carried.show(placement)
            return
        carried = self._carried[placement.name] = Carried(placement)
        tasks.create_task(self._to_the_end(carried))

    async def _to_the_end(self, carried: Carried) -> None:
        """Carry a placement from stage to stage; a defect of ours on its way ends it, and nothing else."""
        name = carried.placement.name
        await self._carrying.until_done(name, partial(self._go_on, carried), partial(self._give_up, carried))
        while carried.placement.state not in OVER:
            await carried.changed.wait()
        self._carried.pop(name, None)
        await self._forgetting.until_done(name, partial(self._forget, name))

    async def _go_on(self, carried: Carried) -> None:
        name = carried.placement.name
        while (stage := self._journal.stage(name) or Stage.SEEN) is not Stage.REPORTED:
            await self._reached(carried, await self._steps.step(carried, stage))

    async def _give_up(self, carried: Carried, defect: Exception) -> None:
        """Fail a placement that met a defect: what runs of it is ended and metered, as far as the defect lets us."""
        name = carried.placement.name
        for _ in range(WIND_UP_TRIES):
            await asyncio.sleep(self._winding_up.parked_s(name))
            if await self._winding_up.run(name, partial(self._steps.wind_up, carried)):
                break
        await self._reached(carried, await self._steps.fail(carried, defect))

    async def _reached(self, carried: Carried, reached: Reached) -> None:
        placement = carried.placement

        def write() -> None:
            self._journal.keep_placement(placement.name, placement.SerializeToString())
            self._journal.go_on(placement.name, reached.stage)
            reached.write()

        await self._journal.commit(write)
        reached.written()
        log.info("placement went on", placement=placement.name, state=reached.stage.value)

    async def _let_go(self, standing: set[str]) -> None:
        """What the mesh does not name any more has ended while we were away."""
        for name, carried in list(self._carried.items()):
            if name not in standing and carried.placement.state not in OVER:
                gone = placement_pb2.Placement()
                gone.CopyFrom(carried.placement)
                gone.state = State.STATE_CANCELLED
                carried.show(gone)

    async def _forget(self, name: str) -> None:
        """Let go of a placement that has ended in the mesh; what it left on disk is cleared up beside the others."""
        await self._journal.commit(partial(self._journal.forget_placement, name))
        self._clearing.wake()
