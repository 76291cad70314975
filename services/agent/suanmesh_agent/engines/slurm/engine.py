"""`Engine` on a site's own Slurm: shims as elements of job arrays, found again by our key and not by Slurm's.

Slurm forgets: a slurmctld that is killed has lost what it was told in the last seconds, and gives the numbers of those
jobs to others. So what Slurm says is only ever a hint; what neither runs nor has ended, and Slurm does not list, is
handed over again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Sequence

import structlog

from suanmesh_agent.domain.tasks import TaskKey, TaskLook, TaskSpec, TaskState
from suanmesh_agent.engines.process.layout import Layout
from suanmesh_agent.engines.queued import Node, QueuedTasks
from suanmesh_agent.engines.slurm.batches import Batch, Batches, Handed
from suanmesh_agent.engines.slurm.commands import Needs, Slurm, SlurmSilent
from suanmesh_agent.engines.slurm.listing import THE_REST, Entry
from suanmesh_agent.ports import TaskNotStarted
from suanmesh_kernel.clock import Clock

log = structlog.get_logger()

ASK_S = 2.0
"""How often Slurm is asked for all of them, while one waits."""
FORGOTTEN_S = 5.0
"""What Slurm does not list so long after it was handed over, twice in a row, it has forgotten."""
TIMES_MAX = 20
"""So often a task is handed over before its site has failed to start it."""
Listed = dict[tuple[str, int], Entry]
"""By comment and element."""
_MIB = 1 << 20
_TRUE_TWICE = 2


class SlurmEngine(QueuedTasks):
    """`Engine`: the folders of `layout` are on a file system that all nodes share, with locks that hold on all."""

    def __init__(self, layout: Layout, slurm: Slurm, site: str, clock: Clock, *, settle_s: float = 0.0) -> None:
        """A task begins `settle_s` after Slurm has begun its job: `in_job` says what for."""
        super().__init__(layout, clock)
        self._slurm = slurm
        self._settle_s = settle_s
        folder = self._folder.parent / "slurm"
        self._batches = Batches(folder, self._tasks, site, settle_s=settle_s, apart=layout.apart)
        self._handed_at: dict[TaskKey, float] = {}
        self._missed: dict[TaskKey, int] = defaultdict(int)
        self._handing: set[TaskKey] = set()
        self._unwanted: dict[TaskKey, int] = {}
        self._asked_at = float("-inf")

    async def nodes(self) -> list[Node]:
        """The nodes that jobs are sent to. Raises SlurmSilent."""
        found = await self._slurm.nodes()
        return [Node(each.name, each.cpus * 1000, each.memory_mib * _MIB) for each in found if each.usable]

    async def _hand_over_new(self, specs: Sequence[TaskSpec]) -> dict[TaskKey, TaskNotStarted]:
        needs = [(each.key, Needs(each.cpu_milli, each.memory_bytes, round(self._bound_s(each)))) for each in specs]
        return await self._hand_over(needs)

    def _bound_s(self, spec: TaskSpec) -> float:
        return spec.max_duration_s + self._settle_s

    async def _hand_over(self, wanted: Sequence[tuple[TaskKey, Needs]]) -> dict[TaskKey, TaskNotStarted]:
        """Hand tasks to Slurm; those that it will never take are taken back, with why."""
        faults: dict[TaskKey, TaskNotStarted] = {}
        keys = {key for key, _ in wanted}
        self._handing |= keys
        try:
            for batch in await asyncio.to_thread(lambda: list(self._batches.make(wanted))):
                if said := await self._handed(batch):
                    self.start_fault = said
                    await asyncio.to_thread(self._batches.take_back, batch.keys)
                    faults |= {key: TaskNotStarted(f"Slurm does not take it: {said}") for key in batch.keys}
        finally:
            self._handing -= keys
        return faults

    async def _handed(self, batch: Batch) -> str:
        """Why Slurm will never take a batch; empty where it has, or has not said."""
        name, comment = (of(batch.placement, batch.name) for of in (self._batches.job_name, self._batches.comment))
        said = ""
        try:
            said = await self._slurm.submit(batch.script, name, comment, len(batch.keys), batch.needs)
        except SlurmSilent as silent:
            self._tell_silent(silent)
        else:
            self.start_fault = said
        now = self._clock.monotonic()
        for key in batch.keys:
            self._handed_at[key] = now
            self._missed.pop(key, None)
        return said

    def _tell_silent(self, silent: SlurmSilent) -> None:
        words = f"Slurm does not answer: {silent}"
        if self.start_fault != words:
            log.warning("slurm does not answer", message=str(silent))
        self.start_fault = words

    def _is_busy(self) -> bool:
        return bool(self._followed or self._unwanted)

    async def _mind_queue(self) -> None:
        if self._clock.monotonic() - self._asked_at >= ASK_S and (self._unwanted or self._queued()):
            await self._ask()

    def _forget_waiting(self, key: TaskKey) -> None:
        self._waits_for.pop(key, None)
        self._handed_at.pop(key, None)
        self._missed.pop(key, None)

    async def _ask(self) -> None:
        """What Slurm has of those that wait; what it has forgotten is handed over again."""
        queued = [key for key in self._queued() if key not in self._handing]
        try:
            entries = await self._slurm.queue(self._batches.prefix)
        except SlurmSilent as silent:
            self._tell_silent(silent)
            self._waits_for.clear()
            return
        finally:
            self._asked_at = self._clock.monotonic()
        self.start_fault = self.start_fault if not self.start_fault.startswith("Slurm does not answer") else ""
        listed = {(entry.comment, entry.element): entry for entry in entries}
        again = [key for key in queued if await self._is_due(key, listed)]
        await self._hand_over_again(again)
        await self._take_out(listed)

    async def _is_due(self, key: TaskKey, listed: Listed) -> bool:
        """Whether it is to be handed over again."""
        handed = await asyncio.to_thread(self._batches.handed, key)
        if handed is None or key in self._handing or self._tasks.look(key).state is not TaskState.QUEUED:
            return False
        entry = self._entry(key, handed, listed)
        if entry is not None and not entry.ended:
            self._waits_for[key] = entry.waits_for
            self._missed.pop(key, None)
            return False
        since = self._handed_at.setdefault(key, self._clock.monotonic())
        self._missed[key] += 1
        if self._clock.monotonic() - since < FORGOTTEN_S or self._missed[key] < _TRUE_TWICE:
            return False
        if entry is not None and entry.stopped:
            await self._end_unstarted(key, "SITE_STOPPED")
            return False
        log.warning("task handed over again", placement=f"placements/{key.placement}", item=key.name)
        if handed.times >= TIMES_MAX:
            self.start_fault = await asyncio.to_thread(self._batches.trouble, key) or "Slurm forgets what it is handed"
            await self._end_unstarted(key, "TASK_NOT_STARTED")
            return False
        return True

    def _entry(self, key: TaskKey, handed: Handed, listed: Listed) -> Entry | None:
        comment = self._batches.comment(key.placement, handed.batch)
        return listed.get((comment, handed.element)) or listed.get((comment, THE_REST))

    async def _hand_over_again(self, keys: Sequence[TaskKey]) -> None:
        """What Slurm will not take any more, as with a partition that is gone, its site has failed to start."""
        wanted = [(key, handed.needs) for key in keys if (handed := self._batches.handed(key)) is not None]
        for key in await self._hand_over(wanted):
            await self._end_unstarted(key, "TASK_NOT_STARTED")

    def _take_out_of_queue(self, key: TaskKey, look: TaskLook) -> None:
        if look.over and look.start_time is None:
            self._unwanted[key] = _TRUE_TWICE

    async def _take_out(self, listed: Listed) -> None:
        """Take what is not wanted any more out of Slurm's queue: of what stays, the shim finds that it is over."""
        of_batch: dict[tuple[str, str], list[Entry]] = defaultdict(list)
        for key in list(self._unwanted):
            handed = self._batches.handed(key)
            entry = handed and self._entry(key, handed, listed)
            self._unwanted[key] -= 1
            if handed is None or not self._unwanted[key]:
                del self._unwanted[key]
            if handed is not None and entry and entry.waits:
                of_batch[key.placement, handed.batch].append(entry)
        for (placement, batch), elements in of_batch.items():
            with contextlib.suppress(SlurmSilent):
                await self._slurm.cancel(self._batches.job_name(placement, batch), elements)

    def forget(self, placement: str) -> None:
        """As `Engine`."""
        super().forget(placement)
        self._batches.forget(placement)
