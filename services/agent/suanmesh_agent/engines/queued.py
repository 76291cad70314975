"""What engines have in common that hand tasks to a scheduler of the site's own: what is true lies beside the task.

Its folder is on a file system that the hosts share. It has begun where its shim says so, runs as long as the shim holds
its lock, and has ended as the shim has written. What the scheduler says is a hint: why a task waits, and what is to be
handed over again. Two handings of one task do no harm: the second finds what the first has left.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from suanmesh_agent.domain.cards import Card, CardLook
from suanmesh_agent.domain.tasks import Capabilities, TaskEvent, TaskKey, TaskLook, TaskSpec, TaskState
from suanmesh_agent.engines.events import Events
from suanmesh_agent.engines.process.kept_tasks import KeptTasks
from suanmesh_agent.engines.process.layout import Layout
from suanmesh_agent.ports import TaskNotStarted
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.quantities import Device
from suanmesh_kernel.reasons import StateReason

LOOK_S, LOOK_S_PER_TASK = 0.2, 0.002
"""How often it is looked at the disk what has become of tasks; of many more rarely."""
SILENT = StateReason("QUEUE_SILENT")


class SchedulerSilent(Exception):
    """The site's scheduler has not said whether it did what it was asked for; it may have."""


@dataclass(frozen=True, slots=True)
class Node:
    """A host that the site's scheduler sends tasks to."""

    name: str
    cpu_milli: int
    memory_bytes: int
    devices: tuple[Device, ...] = ()


class QueuedTasks(KeptTasks):
    """`Engine` but for how tasks are handed over."""

    def __init__(self, layout: Layout, clock: Clock) -> None:
        super().__init__(replace(layout, cgroups=None, queued=True))
        self._clock = clock
        self._events = Events()
        self._followed: dict[TaskKey, TaskState] = {}
        self._waits_for: dict[TaskKey, StateReason] = {}
        self._following: asyncio.Task[None] | None = None
        self.start_fault = ""

    @abstractmethod
    async def nodes(self) -> list[Node]:
        """The hosts that tasks are sent to. Raises SchedulerSilent."""

    @abstractmethod
    async def _hand_over_new(self, specs: Sequence[TaskSpec]) -> dict[TaskKey, TaskNotStarted]:
        """Hand over tasks that are laid out; why some are never taken. Of the others it is written down."""

    @abstractmethod
    async def _mind_queue(self) -> None:
        """Called again and again while tasks are followed: ask the scheduler, and do what its answer calls for."""

    @abstractmethod
    def _forget_waiting(self, key: TaskKey) -> None:
        """It does not wait any more."""

    @abstractmethod
    def _take_out_of_queue(self, key: TaskKey, look: TaskLook) -> None:
        """It was cancelled when it stood so: where it had not begun it is over, and may go."""

    def _is_busy(self) -> bool:
        """Whether there is anything to follow."""
        return bool(self._followed)

    def capabilities(self) -> Capabilities:
        """As `Engine`. Secrets lie in the memory of the agent's host, where no other host's task finds them."""
        layout = self.layout
        return Capabilities(layout.walled, queues=True, keeps_secrets=False, as_root=layout.as_root)

    def cards(self) -> tuple[CardLook, ...]:
        """None: those of the hosts are the scheduler's to give."""
        return ()

    def end_remains(self) -> None:
        """Nothing: what a host has left of a task, the scheduler ends."""

    def close(self) -> None:
        """End what only the agent needs; tasks go on, and wait on."""
        if self._following is not None:
            self._following.cancel()

    async def submit(self, specs: Sequence[TaskSpec]) -> list[TaskNotStarted | None]:
        """Answers once they are written down: a scheduler that does not answer is handed them when it does."""
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
                wanted.append(spec)
        faults |= await self._hand_over_new(wanted)
        for spec in wanted:
            if spec.key not in faults:
                self._events.publish(TaskEvent(spec.key, self._look(spec.key)))
                self._follow(spec.key)
        return [faults.get(spec.key) for spec in specs]

    def _lay_out(self, spec: TaskSpec, cards: tuple[Card, ...] | None = None) -> None:
        if spec.secrets is not None:
            raise TaskNotStarted("secrets are not kept from others here")
        self._tasks.begin(spec.key)
        super()._lay_out(spec, cards)

    def watch(self, placement: str) -> AsyncGenerator[list[TaskEvent], None]:
        """As `Engine`."""
        return self._events.watch(placement, partial(self._begun, placement), partial(self._unfollow, placement))

    def _unfollow(self, placement: str) -> None:
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
        look = self._look(key)
        if look.over or not self._events.is_watched(key.placement):
            return
        self._followed.setdefault(key, look.state)
        self._go_on_following()

    def _go_on_following(self) -> None:
        if self._following is None or self._following.done():
            self._following = asyncio.get_running_loop().create_task(self._follow_all())

    async def _follow_all(self) -> None:
        """Look at the disk again and again, and ask the scheduler, as long as somebody waits for tasks."""
        while self._is_busy():
            await self._tell_news()
            await self._mind_queue()
            await asyncio.sleep(max(LOOK_S, LOOK_S_PER_TASK * len(self._followed)))

    async def _tell_news(self) -> None:
        keys = list(self._followed)
        looks = await asyncio.to_thread(lambda: [self._look(key) for key in keys])
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

    def _queued(self) -> list[TaskKey]:
        return [key for key, state in self._followed.items() if state is TaskState.QUEUED]

    async def _end_unstarted(self, key: TaskKey, failure: str) -> bool:
        ended = await asyncio.to_thread(self._tasks.end_unstarted, key, failure)
        if ended:
            self._tell(key, self._look(key))
        return ended

    async def inspect(self, keys: Sequence[TaskKey]) -> list[TaskLook]:
        """Read off the disk, and with what the scheduler last said of those that wait."""
        return [self._look(key) for key in keys]

    def _look(self, key: TaskKey) -> TaskLook:
        look = self._tasks.look(key)
        return replace(look, waits_for=self._waits_for.get(key, SILENT)) if look.state is TaskState.QUEUED else look

    async def cancel(self, keys: Sequence[TaskKey]) -> None:
        """What waits is over at once; shims look for the word beside their tasks, wherever they run."""
        for key in keys:
            if self._tasks.look(key).state not in (TaskState.QUEUED, TaskState.RUNNING):
                continue
            await asyncio.to_thread(self._tasks.leave_word, key)
            await self._end_unstarted(key, "CANCELLED")
            self._take_out_of_queue(key, self._tasks.look(key))
        if self._is_busy():
            self._go_on_following()

    def _let_go(self, key: TaskKey) -> None:
        self._forget_waiting(key)
