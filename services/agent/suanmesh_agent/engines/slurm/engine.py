"""`Engine` on a site's own Slurm: shims as elements of job arrays, found again by our key and not by Slurm's.

Slurm forgets: a slurmctld that is killed has lost what it was told in the last seconds, and gives the numbers of those
jobs to others. So what Slurm says is only ever a hint. What is true lies beside the task: it was started where its shim
says so, and runs as long as the shim holds its lock; what neither runs nor has ended, and Slurm does not list, is
handed over again. Two elements for one task do no harm: the second finds what the first has left.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from functools import partial

import structlog

from suanmesh_agent.domain.cards import CardLook
from suanmesh_agent.domain.tasks import Capabilities, TaskEvent, TaskKey, TaskLook, TaskSpec, TaskState
from suanmesh_agent.engines.events import Events
from suanmesh_agent.engines.process.kept_tasks import KeptTasks
from suanmesh_agent.engines.process.layout import Layout, is_of_job
from suanmesh_agent.engines.slurm.batches import Batch, Batches, Handed
from suanmesh_agent.engines.slurm.commands import Needs, Slurm, SlurmSilent
from suanmesh_agent.engines.slurm.listing import THE_REST, Entry, Node
from suanmesh_agent.ports import TaskNotStarted
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.reasons import StateReason

log = structlog.get_logger()

LOOK_S, LOOK_S_PER_TASK = 0.2, 0.002
"""How often it is looked at the disk what has become of tasks; of many more rarely."""
ASK_S = 2.0
"""How often Slurm is asked for all of them, while one waits."""
FORGOTTEN_S = 5.0
"""What Slurm does not list so long after it was handed over, twice in a row, it has forgotten."""
TIMES_MAX = 20
"""So often a task is handed over before its site has failed to start it."""
Listed = dict[tuple[str, int], Entry]
"""By comment and element."""
_SILENT = StateReason("QUEUE_SILENT")
_TRUE_TWICE = 2


class SlurmEngine(KeptTasks):
    """`Engine`: the folders of `layout` are on a file system that all nodes share, with locks that hold on all."""

    def __init__(self, layout: Layout, slurm: Slurm, site: str, clock: Clock, *, settle_s: float = 0.0) -> None:
        """A task begins `settle_s` after Slurm has begun its job: `in_job` says what for."""
        super().__init__(replace(layout, cgroups=None, queued=True))
        self._slurm = slurm
        self._clock = clock
        self._settle_s = settle_s
        folder = self._folder.parent / "slurm"
        self._batches = Batches(folder, self._tasks, site, settle_s=settle_s, apart=layout.apart)
        self._events = Events()
        self._followed: dict[TaskKey, TaskState] = {}
        self._waits_for: dict[TaskKey, StateReason] = {}
        self._handed_at: dict[TaskKey, float] = {}
        self._missed: dict[TaskKey, int] = defaultdict(int)
        self._handing: set[TaskKey] = set()
        self._unwanted: dict[TaskKey, int] = {}
        self._following: asyncio.Task[None] | None = None
        self._asked_at = float("-inf")
        self.start_fault = ""

    def capabilities(self) -> Capabilities:
        """As `Engine`. Secrets lie in the memory of the agent's host, where no node's task finds them."""
        layout = self.layout
        return Capabilities(layout.walled, layout.log_bytes, queues=True, keeps_secrets=False, as_root=layout.as_root)

    def cards(self) -> tuple[CardLook, ...]:
        """None: those of the nodes are Slurm's to give."""
        return ()

    async def nodes(self) -> list[Node]:
        """The nodes that jobs are sent to. Raises SlurmSilent."""
        return [node for node in await self._slurm.nodes() if node.usable]

    def end_remains(self) -> None:
        """Nothing: what a node has left of a task, Slurm ends."""

    def close(self) -> None:
        """End what only the agent needs; tasks go on, and wait on."""
        if self._following is not None:
            self._following.cancel()

    async def submit(self, specs: Sequence[TaskSpec]) -> list[TaskNotStarted | None]:
        """Answers once they are written down: a Slurm that does not answer is handed them when it does."""
        faults: dict[TaskKey, TaskNotStarted] = {}
        wanted = []
        for spec in specs:
            if self._tasks.look(spec.key).state is not TaskState.ABSENT:
                continue
            try:
                await asyncio.to_thread(self._lay_out, spec)
            except TaskNotStarted as fault:
                faults[spec.key] = fault
            else:
                wanted.append((spec.key, Needs(spec.cpu_milli, spec.memory_bytes, round(self._bound_s(spec)))))
        faults |= await self._hand_over(wanted)
        for key, _ in wanted:
            if key not in faults:
                self._events.publish(TaskEvent(key, self._look(key)))
                self._follow(key)
        return [faults.get(spec.key) for spec in specs]

    def _bound_s(self, spec: TaskSpec) -> float:
        return spec.max_duration_s + self._settle_s

    def _lay_out(self, spec: TaskSpec) -> None:
        if spec.secrets is not None:
            raise TaskNotStarted("secrets are not kept from others here")
        self._tasks.begin(spec.key)
        try:
            self.layout.lay_out(spec)
        except OSError as fault:
            words = f"the working folder cannot be laid out: {fault.strerror}"
            raise TaskNotStarted(words, by_job=is_of_job(fault)) from fault

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

    async def watch(self, placement: str) -> AsyncGenerator[list[TaskEvent], None]:
        """As `Engine`."""
        try:
            async with contextlib.aclosing(self._events.watch(placement, partial(self._begun, placement))) as batches:
                async for batch in batches:
                    yield batch
        finally:
            if not self._events.is_watched(placement):
                for key in [key for key in self._followed if key.placement == placement]:
                    del self._followed[key]

    async def _begun(self, placement: str) -> list[TaskEvent]:
        keys = sorted(self._tasks.begun(placement))
        found = [TaskEvent(key, self._look(key)) for key in keys]
        for event in found:
            if not event.look.over:
                self._follow(event.key)
        return [event for event in found if event.look.state is not TaskState.ABSENT]

    def _follow(self, key: TaskKey) -> None:
        look = self._tasks.look(key)
        if look.over or not self._events.is_watched(key.placement):
            return
        self._followed.setdefault(key, look.state)
        self._go_on_following()

    def _go_on_following(self) -> None:
        if self._following is None or self._following.done():
            self._following = asyncio.get_running_loop().create_task(self._follow_all())

    async def _follow_all(self) -> None:
        """Look at the disk again and again, and ask Slurm now and then, as long as somebody waits for tasks."""
        while self._followed or self._unwanted:
            await self._tell_news()
            if self._clock.monotonic() - self._asked_at >= ASK_S and (self._unwanted or self._queued()):
                await self._ask()
            await asyncio.sleep(max(LOOK_S, LOOK_S_PER_TASK * len(self._followed)))

    async def _tell_news(self) -> None:
        keys = list(self._followed)
        looks = await asyncio.to_thread(lambda: [self._tasks.look(key) for key in keys])
        for key, look in zip(keys, looks, strict=True):
            if key in self._followed and look.state is not self._followed[key]:
                self._followed[key] = look.state
                self._tell(key, look)

    def _tell(self, key: TaskKey, look: TaskLook) -> None:
        if look.state is not TaskState.QUEUED:
            self._forget_waiting(key)
        if look.over:
            self._followed.pop(key, None)
        self._events.publish(TaskEvent(key, look))

    def _forget_waiting(self, key: TaskKey) -> None:
        self._waits_for.pop(key, None)
        self._handed_at.pop(key, None)
        self._missed.pop(key, None)

    def _queued(self) -> list[TaskKey]:
        return [key for key, state in self._followed.items() if state is TaskState.QUEUED]

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

    async def _end_unstarted(self, key: TaskKey, failure: str) -> bool:
        ended = await asyncio.to_thread(self._tasks.end_unstarted, key, failure)
        if ended:
            self._tell(key, self._tasks.look(key))
        return ended

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

    async def inspect(self, keys: Sequence[TaskKey]) -> list[TaskLook]:
        """Read off the disk, and with what Slurm last said of those that wait."""
        return [self._look(key) for key in keys]

    def _look(self, key: TaskKey) -> TaskLook:
        look = self._tasks.look(key)
        return replace(look, waits_for=self._waits_for.get(key, _SILENT)) if look.state is TaskState.QUEUED else look

    async def cancel(self, keys: Sequence[TaskKey]) -> None:
        """What waits is over at once; shims look for the word beside their tasks, wherever they run."""
        for key in keys:
            if self._tasks.look(key).state not in (TaskState.QUEUED, TaskState.RUNNING):
                continue
            await asyncio.to_thread(self._tasks.leave_word, key)
            if await self._end_unstarted(key, "CANCELLED"):
                self._unwanted[key] = _TRUE_TWICE
        if self._unwanted:
            self._go_on_following()

    def forget(self, placement: str) -> None:
        """As `Engine`."""
        super().forget(placement)
        self._batches.forget(placement)

    def _let_go(self, key: TaskKey) -> None:
        self._forget_waiting(key)
