"""`Engine` on a scheduler of the site's own: shims are handed to it, and found again by our key and not by its own.

Schedulers forget: a slurmctld that is killed has lost what it was told in the last seconds, and gives the numbers of
those jobs to others; a Ray whose head is killed has lost all. So what one says is only ever a hint; what neither runs
nor has ended, and is not listed, is handed over again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Generic

import structlog

from suanmesh_agent.domain.cards import to_ask_for
from suanmesh_agent.domain.tasks import TaskKey, TaskLook, TaskSpec, TaskState
from suanmesh_agent.engines.batched.batches import Batches, Handed, in_order
from suanmesh_agent.engines.batched.port import (
    THE_REST,
    Batch,
    BatchTooLarge,
    E,
    Needs,
    Scheduler,
    SchedulerFull,
)
from suanmesh_agent.engines.process.layout import Layout
from suanmesh_agent.engines.queued import Node, QueuedTasks, SchedulerSilent
from suanmesh_agent.ports import TaskNotStarted
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.quantities import Device

log = structlog.get_logger()

ASK_S = 2.0
"""How often the scheduler is asked for all of them, while one waits."""
FORGOTTEN_S = 5.0
"""What is not listed so long after it was handed over, twice in a row, is forgotten."""
TIMES_MAX = 20
"""So often a task is handed over before its site has failed to start it."""
_TRUE_TWICE = 2


class BatchedEngine(QueuedTasks, Generic[E]):
    """`Engine`: the folders of `layout` are on a file system that all nodes share, with locks that hold on all."""

    def __init__(
        self,
        layout: Layout,
        scheduler: Scheduler[E],
        site: str,
        clock: Clock,
        *,
        settle_s: float = 0.0,
        gives_cards: bool = True,
        dev_folder: Path = Path("/dev"),
    ) -> None:
        """A task begins `settle_s` after the scheduler has begun it: `in_job` says what for. Cards that nodes have are
        offered, and asked for, where it `gives_cards`; their device files are in the `dev_folder` of the node.
        """
        super().__init__(layout, clock)
        self._scheduler = scheduler
        self._silence = f"{scheduler.title} does not answer"
        self._settle_s = settle_s
        folder = self._folder.parent / scheduler.title.lower()
        self._batches = Batches(folder, self._tasks, site, settle_s=settle_s, apart=layout.apart, dev_folder=dev_folder)
        self._gives_cards = gives_cards
        self._cards_of_nodes: list[tuple[Device, ...]] | None = None
        self._handed_at: dict[TaskKey, float] = {}
        self._missed: dict[TaskKey, int] = defaultdict(int)
        self._handing: set[TaskKey] = set()
        self._unwanted: dict[TaskKey, int] = {}
        self._most = self._batches.batch_max
        """Elements of the next batch: few where the scheduler is full, and twice as many each time it takes them."""
        self._asked_at = float("-inf")

    async def nodes(self) -> list[Node]:
        """As `QueuedTasks`."""
        found = await self._scheduler.nodes()
        if not self._gives_cards:
            found = [replace(node, devices=()) for node in found]
        self._cards_of_nodes = [node.devices for node in found]
        return found

    def close(self) -> None:
        """As `Engine`."""
        super().close()
        self._scheduler.close()

    async def _hand_over_new(self, specs: Sequence[TaskSpec]) -> dict[TaskKey, TaskNotStarted]:
        if self._cards_of_nodes is None and any(spec.devices for spec in specs):
            with contextlib.suppress(SchedulerSilent):
                await self.nodes()
        needs, faults = [], {}
        for spec in specs:
            cards = to_ask_for(spec.devices, self._cards_of_nodes or [])
            if cards is None:
                faults[spec.key] = TaskNotStarted("no node has the cards that it asks for")
            else:
                bound_s = round(self._bound_s(spec))
                needs.append((spec.key, Needs(spec.cpu_milli, spec.memory_bytes, bound_s, cards)))
        return faults | await self._hand_over(needs)

    def _bound_s(self, spec: TaskSpec) -> float:
        return spec.max_duration_s + self._settle_s

    async def _hand_over(self, wanted: Sequence[tuple[TaskKey, Needs]]) -> dict[TaskKey, TaskNotStarted]:
        """Hand tasks over; those that will never be taken are taken back, with why."""
        faults: dict[TaskKey, TaskNotStarted] = {}
        left, keys = in_order(wanted), {key for key, _ in wanted}
        self._handing |= keys
        try:
            while left:
                batch, full = await asyncio.to_thread(self._batches.make, left, self._most), None
                try:
                    faults |= await self._taken(batch)
                except BatchTooLarge:
                    self._batches.batch_max = self._most = len(batch.keys) // 2
                except SchedulerFull as refused:
                    full = refused
                    self._most = max(1, len(batch.keys) // 2)
                else:
                    self._most = min(self._batches.batch_max, 2 * self._most)
                    for key in batch.keys:
                        del left[key]
                    continue
                await asyncio.to_thread(self._batches.uncount, batch.keys)
                if full is not None and len(batch.keys) == 1:
                    await self._wait_for_room(left, full)
                    break
        finally:
            self._handing -= keys
        return faults

    async def _wait_for_room(self, left: dict[TaskKey, Needs], full: SchedulerFull) -> None:
        """Write down that they are to be handed over once more is taken: that is a queue, and no failure."""
        while left:
            batch = await asyncio.to_thread(self._batches.make, left, self._batches.batch_max)
            await asyncio.to_thread(self._batches.uncount, batch.keys)
            for key in batch.keys:
                del left[key]
                self._waits_for[key] = full.waits_for
                self._handed_at[key] = self._clock.monotonic()

    async def _taken(self, batch: Batch) -> dict[TaskKey, TaskNotStarted]:
        """Hand over a batch; where it will never be taken, why, and it is taken back."""
        said = await self._handed(batch)
        if not said:
            return {}
        self.start_fault = said
        await asyncio.to_thread(self._batches.take_back, batch.keys)
        words = f"{self._scheduler.title} does not take it: {said}"
        return {key: TaskNotStarted(words) for key in batch.keys}

    async def _handed(self, batch: Batch) -> str:
        """Why a batch will never be taken; empty where it has been, or nothing was said. As `Scheduler.submit`."""
        said = ""
        try:
            said = await self._scheduler.submit(batch)
        except SchedulerSilent as silent:
            self._tell_silent(silent)
        else:
            self.start_fault = said
        now = self._clock.monotonic()
        for key in batch.keys:
            self._handed_at[key] = now
            self._missed.pop(key, None)
        return said

    def _tell_silent(self, silent: SchedulerSilent) -> None:
        words = f"{self._silence}: {silent}"
        if self.start_fault != words:
            log.warning("scheduler does not answer", message=words)
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
        """What the scheduler has of those that wait; what it has forgotten is handed over again."""
        queued = [key for key in self._queued() if key not in self._handing]
        try:
            entries = await self._scheduler.listed(self._batches.prefix)
        except SchedulerSilent as silent:
            self._tell_silent(silent)
            self._waits_for.clear()
            return
        finally:
            self._asked_at = self._clock.monotonic()
        self.start_fault = self.start_fault if not self.start_fault.startswith(self._silence) else ""
        listed = {(entry.mark, entry.element): entry for entry in entries}
        again = [key for key in queued if await self._is_due(key, listed)]
        await self._hand_over_again(again)
        await self._take_out(listed)

    async def _is_due(self, key: TaskKey, listed: dict[tuple[str, int], E]) -> bool:
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
        if handed.times:
            log.warning("task handed over again", placement=f"placements/{key.placement}", item=key.name)
        if handed.times >= TIMES_MAX:
            trouble = await asyncio.to_thread(self._batches.trouble, key)
            self.start_fault = trouble or f"{self._scheduler.title} forgets what it is handed"
            await self._end_unstarted(key, "TASK_NOT_STARTED")
            return False
        return True

    def _entry(self, key: TaskKey, handed: Handed, listed: dict[tuple[str, int], E]) -> E | None:
        mark = self._batches.mark(key.placement, handed.batch)
        return listed.get((mark, handed.element)) or listed.get((mark, THE_REST))

    async def _hand_over_again(self, keys: Sequence[TaskKey]) -> None:
        """What is not taken any more, as with a partition that is gone, its site has failed to start."""
        wanted = [(key, handed.needs) for key in keys if (handed := self._batches.handed(key)) is not None]
        for key in await self._hand_over(wanted):
            await self._end_unstarted(key, "TASK_NOT_STARTED")

    def _take_out_of_queue(self, key: TaskKey, look: TaskLook) -> None:
        if look.over and look.start_time is None:
            self._unwanted[key] = _TRUE_TWICE

    async def _take_out(self, listed: dict[tuple[str, int], E]) -> None:
        """Take what is not wanted any more out of the queue: of what stays, the shim finds that it is over."""
        of_batch: dict[tuple[str, str], list[E]] = defaultdict(list)
        for key in list(self._unwanted):
            handed = self._batches.handed(key)
            entry = handed and self._entry(key, handed, listed)
            self._unwanted[key] -= 1
            if handed is None or not self._unwanted[key]:
                del self._unwanted[key]
            if handed is not None and entry and entry.waits:
                of_batch[key.placement, handed.batch].append(entry)
        for batch, elements in of_batch.items():
            with contextlib.suppress(SchedulerSilent):
                await self._scheduler.cancel(batch, elements)

    def forget(self, placement: str) -> None:
        """As `Engine`."""
        super().forget(placement)
        self._batches.forget(placement)
