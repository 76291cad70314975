"""The tasks of one placement on the engine: as many at a time as there is room for, until all are over."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from contextlib import aclosing, suppress

from suanmesh_agent.domain.retrying import NO_RETRY, Retrying
from suanmesh_agent.domain.tasks import SETUP_INDEX, TaskEvent, TaskKey, TaskLook, TaskSpec
from suanmesh_agent.ports import Engine, TaskNotStarted
from suanmesh_telemetry import Span, begin_span, names, traceparent_of


class TaskRun:
    """Starts tasks in their order as room comes free. Once one fails, no other begins, unless they are to keep going.

    A task that is to be run again after a failure has not failed; while it waits, others have its room. What runs
    already, or has ended, is taken as it is found.
    """

    def __init__(
        self,
        engine: Engine,
        keys: Sequence[TaskKey],
        *,
        at_once: int,
        keep_going: bool,
        retrying: Retrying = NO_RETRY,
        spec: Callable[[TaskKey], TaskSpec],
        may_start: Callable[[], Awaitable[bool]],
        stopped: Callable[[], bool],
        begun: Callable[[str], Coroutine[None, None, None]],
        traceparent: str,
        site: str,
    ) -> None:
        """`keys` are the tasks' first runs. `may_start` is asked before each start, and may wait; `begun` is called
        once, with the trace of the first task.

        While `stopped`, nothing is started; whoever stops it cancels what runs.
        """
        self._engine = engine
        self._keys = keys
        self._room = at_once
        self._keep_going = keep_going
        self._retrying = retrying
        self._spec = spec
        self._may_start = may_start
        self._stopped = stopped
        self._begun: Callable[[str], Coroutine[None, None, None]] | None = begun
        self._traceparent = traceparent
        self._site = site
        self._waiting: deque[TaskKey] = deque()
        self._under_way: dict[TaskKey, None] = {}  # in order: what is cancelled is, the same in every replay
        self._pausing: dict[TaskKey, asyncio.Task[None]] = {}
        self._spans: dict[TaskKey, Span] = {}
        self._failed = False
        self._changed = asyncio.Event()
        self._asking = asyncio.Lock()
        self.start_fault: TaskNotStarted | None = None
        """Why the last task that did not start did not."""

    async def to_the_end(self) -> None:
        """Return when no task runs, and none is to be started any more."""
        async with aclosing(self._engine.watch(self._keys[0].placement)) as batches, asyncio.TaskGroup() as group:
            found = sorted(await anext(batches), key=lambda event: event.key)
            begun = {event.key.index: event for event in found if event.key.index != SETUP_INDEX}
            self._waiting.extend(key for key in self._keys if key.index not in begun)
            self._under_way.update(dict.fromkeys(event.key for event in begun.values()))
            await self._take(list(begun.values()), group)
            watching = group.create_task(self._watch(batches, group))
            while not self._over():
                self._changed.clear()
                if keys := self._next():
                    group.create_task(self._start(keys))
                await self._changed.wait()
            for task in (watching, *self._pausing.values()):
                task.cancel()

    async def _watch(self, batches: AsyncGenerator[list[TaskEvent], None], group: asyncio.TaskGroup) -> None:
        async for batch in batches:
            await self._take(batch, group)
            self._changed.set()

    def _over(self) -> bool:
        return not self._under_way and (self._halted() or not (self._waiting or self._pausing))

    def _halted(self) -> bool:
        return self._failed or self._stopped()

    def _next(self) -> list[TaskKey]:
        """Those that there is room for now."""
        if self._halted():
            return []
        free = self._room - len(self._under_way)
        keys = [self._waiting.popleft() for _ in range(min(free, len(self._waiting)))]
        self._under_way.update(dict.fromkeys(keys))
        return keys

    async def _take(self, batch: list[TaskEvent], group: asyncio.TaskGroup) -> None:
        """What has become of tasks."""
        for event in batch:
            if event.key in self._under_way and event.look.start_time is not None:
                self._tell_begun(event.key, group)
            if event.look.over and event.key in self._under_way:
                self._end(event.key)
                pause_s = None if self._halted() else self._retrying.pause_s(event.look, event.key.retry)
                if pause_s is not None:
                    again = event.key.again()
                    self._pausing[again] = group.create_task(self._run_again(event.key, again, pause_s))
                else:
                    self._failed = self._failed or not (event.look.succeeded or self._keep_going)
        if self._failed:
            await self._engine.cancel(list(self._under_way))

    async def _run_again(self, ended: TaskKey, again: TaskKey, pause_s: float) -> None:
        """What the run before has left is dropped first: the placement holds scratch for one run of a task."""
        with suppress(OSError):  # what stays goes with the placement
            await asyncio.to_thread(self._engine.drop_work, [ended])
        await asyncio.sleep(pause_s)
        del self._pausing[again]
        self._waiting.append(again)
        self._changed.set()

    async def _start(self, keys: list[TaskKey]) -> None:
        async with self._asking:
            if not self._halted() and not await self._may_start():
                self._failed = True
        if self._halted():
            for key in keys:
                self._end(key)
        else:
            await self._submit(keys)
        if self._halted():  # perhaps only since they were started
            await self._engine.cancel(list(self._under_way))
        self._changed.set()

    async def _submit(self, keys: list[TaskKey]) -> None:
        for key in keys:
            self._begin_span(key)
        faults = await self._engine.submit([self._spec(key) for key in keys])
        for key, fault in zip(keys, faults, strict=True):
            if fault is not None:
                self.start_fault, self._failed = fault, True
                self._end(key)

    def _tell_begun(self, key: TaskKey, group: asyncio.TaskGroup) -> None:
        """Tell once, as a part of what that task does."""
        if self._begun is not None:
            running = self._begin_span(key)
            group.create_task(self._begun(traceparent_of(running.get_span_context())))
            self._begun = None

    def _begin_span(self, key: TaskKey) -> Span:
        if key not in self._spans:
            placement, parent = f"placements/{key.placement}", self._traceparent
            self._spans[key] = begin_span(
                names.RUN_TASK, parent=parent, placement=placement, task=key.index, site=self._site
            )
        return self._spans[key]

    def _end(self, key: TaskKey) -> None:
        self._under_way.pop(key, None)
        if (running := self._spans.pop(key, None)) is not None:
            running.end()


async def until_over(engine: Engine, keys: Sequence[TaskKey]) -> list[TaskLook]:
    """Wait until no task of `keys`, all of one placement, is queued or runs; how they stand then."""
    left: set[TaskKey] | None = None
    async with aclosing(engine.watch(keys[0].placement)) as batches:
        async for batch in batches:
            if left is None:
                left = {event.key for event in batch}.intersection(keys)
            left -= {event.key for event in batch if event.look.over}
            if not left:
                break
    return await engine.inspect(keys)
