"""Tasks as processes of this host, each under a shim that outlives the agent."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncGenerator, Callable, Sequence
from functools import partial
from pathlib import Path

from suanmesh_agent.domain.cards import Card, CardLook
from suanmesh_agent.domain.tasks import (
    LOG_BYTES_MAX,
    PROCESSES_MAX,
    Capabilities,
    TaskEvent,
    TaskKey,
    TaskLook,
    TaskSpec,
    TaskState,
)
from suanmesh_agent.engines.events import Events
from suanmesh_agent.engines.process.card_ledger import CardLedger
from suanmesh_agent.engines.process.cgroups import Cgroups
from suanmesh_agent.engines.process.fork_server import ForkServer
from suanmesh_agent.engines.process.kept_tasks import KeptTasks
from suanmesh_agent.engines.process.layout import Confined, Layout
from suanmesh_agent.engines.process.probe import fault
from suanmesh_agent.engines.process.processes import kill
from suanmesh_agent.engines.process.sandbox import Sandbox
from suanmesh_agent.engines.process.task_folders import read_facts
from suanmesh_agent.engines.process.users import end_all_remains, end_remains
from suanmesh_agent.ports import Cards, TaskNotStarted

START_BOUND_S = 30.0
STARTS_MAX = 8
"""Tasks that are started at the same time: some steps of a start wait for the kernel."""
FORK_TRIES = 2
"""A fork server that is killed takes with it what it was asked for and had not done."""
LOOK_AGAIN_S = 0.1
"""How often it is looked whether a task ended that another agent has started, before this one or beside it."""


class ProcessEngine(KeptTasks):
    """`Engine` on this host: tasks run in `sandbox` and `cgroups` where there are any, within watched bounds else."""

    def __init__(
        self,
        folder: Path,
        *,
        sandbox: Sandbox | None,
        cgroups: Cgroups | None,
        runtime_path: tuple[Path, ...],
        confined: Confined | None = None,
        lives_with: int = 0,
        permission: Path | None = None,
        processes: int = PROCESSES_MAX,
        log_bytes: int = LOG_BYTES_MAX,
        cards: Cards | None = None,
    ) -> None:
        """Tasks end when the process `lives_with` has ended, whoever that is; 0 is nobody. They end with failure
        `FENCED` when the permission in the file `permission` has (`RunPermission`); None lets them run for good. Those
        that ask for devices are given of `cards`, where there are any.
        """
        permitted, home = str(permission.resolve()) if permission else "", folder.absolute()
        super().__init__(Layout(home, runtime_path, sandbox, cgroups, confined, permitted, processes, log_bytes))
        self._fork_server = ForkServer(self._folder, lives_with, apart=self.layout.apart)
        self._cards = cards
        self._ledger = CardLedger(cards, self._tasks) if cards else None
        self._events = Events()
        self._ends: dict[TaskKey, int] = {}
        self._followed: set[TaskKey] = set()
        self._starts = asyncio.Semaphore(STARTS_MAX)
        self.start_fault = ""

    def capabilities(self) -> Capabilities:
        """As `Engine`."""
        layout = self.layout
        return Capabilities(layout.walled, as_root=layout.as_root)

    def cards(self) -> tuple[CardLook, ...]:
        """As `Engine`."""
        return self._cards.look() if self._cards else ()

    def fault(self) -> str:
        """What keeps tasks from running here; empty where nothing does. Runs one."""
        return fault(self.layout, self._fork_server)

    def end_remains(self) -> None:
        """End what is left of tasks whose shims were killed, whichever agent of this host had them."""
        if self.layout.confined:
            end_all_remains(self.layout.confined.users_folder)

    def close(self) -> None:
        """End what only the agent needs; tasks go on."""
        self._fork_server.close()
        for key in list(self._ends):
            self._forget_end(key)

    async def submit(self, specs: Sequence[TaskSpec]) -> list[TaskNotStarted | None]:
        """Lay out the working folders and start the shims, as `Engine` says."""
        async with asyncio.TaskGroup() as group:
            starts = [group.create_task(self._start(spec)) for spec in specs]
        return [start.result() for start in starts]

    async def _start(self, spec: TaskSpec) -> TaskNotStarted | None:
        if self._tasks.look(spec.key).state is not TaskState.ABSENT:
            return None
        try:
            async with self._starts:
                look = await self._begin(spec)
        except TaskNotStarted as fault:
            self.start_fault = self.start_fault if fault.by_job else str(fault)
            return fault
        self.start_fault = ""
        self._events.publish(TaskEvent(spec.key, look))
        if look.over:
            self._forget_end(spec.key)
        else:
            self._follow(spec.key)
        return None

    async def _begin(self, spec: TaskSpec) -> TaskLook:
        self._tasks.begin(spec.key)
        cards = self._ledger.give(spec) if self._ledger else None
        try:
            said = await self._forked(spec, cards)
        except (OSError, TimeoutError) as fault:
            raise TaskNotStarted(f"the shim did not start: {str(fault) or 'it took too long'}") from fault
        finally:
            if self._ledger:
                self._ledger.started(spec.key)
        look = self._tasks.look(spec.key)
        if look.state is TaskState.ABSENT:
            whole = said.decode(errors="replace").strip()
            raise TaskNotStarted(f"the shim did not start: {whole.rpartition(chr(10))[2][-500:]}", detail=whole)
        return look

    async def _forked(self, spec: TaskSpec, cards: tuple[Card, ...] | None) -> bytes:
        """Lay out the task and have a shim run it, until it runs or the shim has said why it does not."""
        said, key = b"", spec.key
        act: Callable[[TaskSpec], tuple[int, int]] = partial(self._laid_out_and_forked, cards)
        for _ in range(FORK_TRIES):
            started, ended = await asyncio.to_thread(act, spec)
            act = self._fork
            self._forget_end(key)
            self._ends[key] = ended
            said = await self._heard(started)
            if said or (self._tasks.home(key) / "shim" / "started.json").exists():
                break
        return said

    def _laid_out_and_forked(self, cards: tuple[Card, ...] | None, spec: TaskSpec) -> tuple[int, int]:
        self._lay_out(spec, cards)
        return self._fork(spec)

    def _fork(self, spec: TaskSpec) -> tuple[int, int]:
        return self._fork_server.fork(self._tasks.home(spec.key) / "shim")

    async def _heard(self, handle: int) -> bytes:
        """All that is said on `handle`, until it is let go."""
        loop, said, over = asyncio.get_running_loop(), bytearray(), asyncio.Event()

        def read() -> None:
            if content := os.read(handle, 4096):
                said.extend(content)
            else:
                over.set()

        loop.add_reader(handle, read)
        try:
            async with asyncio.timeout(START_BOUND_S):
                await over.wait()
        finally:
            loop.remove_reader(handle)
            os.close(handle)
        return bytes(said)

    def watch(self, placement: str) -> AsyncGenerator[list[TaskEvent], None]:
        """As `Engine` says: a shim lets go of who waits for its task; of other agents' shims the lock is looked at."""
        return self._events.watch(placement, partial(self._begun, placement), partial(self._unfollow_all, placement))

    def _unfollow_all(self, placement: str) -> None:
        for key in [key for key in self._followed if key.placement == placement]:
            self._unfollow(key)

    async def _begun(self, placement: str) -> list[TaskEvent]:
        """How its tasks stand; what becomes of those that run is told from now on."""
        keys = sorted(self._tasks.begun(placement))
        found = [TaskEvent(key, self._tasks.look(key)) for key in keys]
        for event in found:
            if event.look.state is TaskState.RUNNING:
                self._follow(event.key)
            elif event.look.state is TaskState.LOST:
                await asyncio.to_thread(self._end_remains, event.key)
        return [event for event in found if event.look.state is not TaskState.ABSENT]

    def _follow(self, key: TaskKey) -> None:
        """Tell the end of a task that runs, once, to those who watch."""
        if key in self._followed or not self._events.is_watched(key.placement):
            return
        loop = asyncio.get_running_loop()
        if (handle := self._ends.get(key)) is not None:
            self._followed.add(key)
            loop.add_reader(handle, self._has_ended, key)
        else:
            loop.call_later(LOOK_AGAIN_S, self._look_again, key)

    def _has_ended(self, key: TaskKey) -> None:
        self._unfollow(key)
        self._forget_end(key)
        self._look_again(key)

    def _look_again(self, key: TaskKey) -> None:
        """Publish the end of a task once its shim is done with it; of one that was lost, once nothing of it is left."""
        loop, look = asyncio.get_running_loop(), self._tasks.look(key)
        if look.state is TaskState.RUNNING:
            self._follow(key)
        elif look.state is TaskState.LOST:
            cleared = loop.run_in_executor(None, self._end_remains, key)
            cleared.add_done_callback(lambda _: self._events.publish(TaskEvent(key, look)))
        else:
            self._events.publish(TaskEvent(key, look))

    def _unfollow(self, key: TaskKey) -> None:
        self._followed.discard(key)
        if (handle := self._ends.get(key)) is not None:
            asyncio.get_running_loop().remove_reader(handle)

    def _forget_end(self, key: TaskKey) -> None:
        if (handle := self._ends.pop(key, None)) is not None:
            os.close(handle)

    def _let_go(self, key: TaskKey) -> None:
        self._forget_end(key)

    async def inspect(self, keys: Sequence[TaskKey]) -> list[TaskLook]:
        """Read off the disk; what has ended is read once."""
        return [self._tasks.look(key) for key in keys]

    async def cancel(self, keys: Sequence[TaskKey]) -> None:
        """Word beside the tasks, and SIGTERM to their shims, which end them and write down their ends."""
        for key in keys:
            self._tasks.cancel(key)

    def _end_remains(self, key: TaskKey) -> None:
        """End what a task has left whose shim was killed; what is in a sandbox has ended with it."""
        folder = self._tasks.home(key) / "shim"
        spec, started = read_facts(folder / "spec.json") or {}, read_facts(folder / "started.json") or {}
        for path in spec.get("members", ()):
            with contextlib.suppress(OSError):
                for pid in Path(path).read_text().split():
                    kill(int(pid), signal.SIGKILL)
        if self.layout.confined and started.get("user"):
            end_remains(self.layout.confined.users_folder, started["user"])
