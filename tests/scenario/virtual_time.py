"""An event loop whose time is virtual: where nothing is ready it jumps to the next timer, so that nobody ever waits.

`asyncio.sleep`, `asyncio.timeout` and every other timer of code that runs on it mean virtual seconds. What code hands
to a thread runs in the loop's own turn. The same code with the same seed does the same steps in the same order, in any
process that has the same PYTHONHASHSEED: tasks are hashed by their number, since asyncio keeps them in sets.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from contextvars import Context
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from itertools import count
from typing import Any, TypeVar

R = TypeVar("R")

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
WAITING_SHOWN_MAX = 40


class Deadlock(Exception):
    """Nothing is ready, no timer is set, and what was to be done is not done; says which tasks wait, and where."""


class NumberedTask(asyncio.Task[Any]):
    """A task that is hashed by its number rather than by where it lies in memory."""

    _numbers = count()

    def __init__(self, coro: Coroutine[Any, Any, Any], **how: Any) -> None:
        self._number = next(self._numbers)
        super().__init__(coro, **how)

    def __hash__(self) -> int:
        return self._number

    def __eq__(self, other: object) -> bool:
        return self is other


class VirtualLoop(asyncio.BaseEventLoop):
    """The loop. It has no files and no sockets: what a process is to say to another goes through memory.

    Of two timers for the same moment the one that was set first goes first.
    """

    _ready: deque[asyncio.Handle]

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._timer_numbers = count()
        self.set_task_factory(_numbered)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._now

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """As the base class; a timer that is cancelled stays among the others until its moment has come."""
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        heappush(self._timers, (when, next(self._timer_numbers), timer))
        return timer

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> asyncio.Handle:
        """As the base class, which looks for mistakes besides."""
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def _run_once(self) -> None:
        """Call what is ready; where nothing is, jump to the next timer. Raises Deadlock where there is none."""
        ready, timers = self._ready, self._timers
        while timers and (timers[0][2].cancelled() or timers[0][0] <= self._now or not ready):
            when, _, timer = heappop(timers)
            if not timer.cancelled():
                self._now = max(self._now, when)
                ready.append(timer)
        if not ready and not self._stopping:
            raise Deadlock(f"all wait for each other at {self._now:.3f} s:\n" + "\n".join(waiting(self)))
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle.cancelled():
                handle._run()

    def run_in_executor(self, executor: Executor | None, func: Callable[..., R], *args: Any) -> asyncio.Future[R]:
        """Call `func` in a turn of its own; unless the future is cancelled before that."""
        told = self.create_future()
        self.call_soon(_call, told, func, args)
        return told

    async def shutdown_default_executor(self) -> None:
        """Nothing: there is none."""

    def _write_to_self(self) -> None:
        """Nobody sleeps who would have to be woken."""


class LoopClock:
    """`Clock` on the time of the loop that runs; one that is `off` says so much more than it is, seconds."""

    def __init__(self, begin: datetime = BEGIN, off_s: float = 0.0) -> None:
        self.off_s = off_s
        self._begin = begin + timedelta(seconds=off_s)

    def now(self) -> datetime:
        """The begin, and what has passed since."""
        return self._begin + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        """Virtual seconds."""
        return asyncio.get_running_loop().time()


@contextmanager
def virtual_loop(seed: int = 0) -> Iterator[VirtualLoop]:
    """A loop at its begin, with `random` seeded; at the end what still runs on it is cancelled."""
    before = random.getstate()
    random.seed(seed)
    NumberedTask._numbers = count()
    loop = VirtualLoop()
    try:
        yield loop
    finally:
        try:
            _cancel_all(loop)
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()
            random.setstate(before)


def run(main: Coroutine[Any, Any, R], *, seed: int = 0) -> R:
    """`main` on virtual time. Raises what it raises, and Deadlock."""
    with virtual_loop(seed) as loop:
        return loop.run_until_complete(main)


def waiting(loop: asyncio.AbstractEventLoop) -> list[str]:
    """The tasks that are not done, in the order in which they began, each with the line it waits at."""
    tasks = sorted((task for task in asyncio.all_tasks(loop) if not task.done()), key=hash)
    shown = [f"  {task.get_name()}: {_place(task)}" for task in tasks[:WAITING_SHOWN_MAX]]
    more = len(tasks) - len(shown)
    return [*shown, f"  and {more} more"] if more else shown


def _place(task: asyncio.Task[Any]) -> str:
    """The innermost line of ours that a task waits at, behind that of the coroutine it began with."""
    places: list[str] = []
    at: Any = task.get_coro()
    while at is not None:
        frame = getattr(at, "cr_frame", None) or getattr(at, "ag_frame", None) or getattr(at, "gi_frame", None)
        if frame is not None:
            places.append(f"{frame.f_code.co_qualname} ({frame.f_code.co_filename}:{frame.f_lineno})")
        at = getattr(at, "cr_await", None) or getattr(at, "ag_await", None) or getattr(at, "gi_yieldfrom", None)
    own = [place for place in places if "/asyncio/" not in place] or places
    return " in ".join(reversed(own[-2:]))


def _numbered(loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, Any], **how: Any) -> asyncio.Task[Any]:
    return NumberedTask(coro, loop=loop, **how)


def _call(told: asyncio.Future[R], func: Callable[..., R], args: tuple[Any, ...]) -> None:
    if told.cancelled():
        return
    try:
        told.set_result(func(*args))
    except Exception as failure:  # noqa: BLE001 - it is whoever awaits it that deals with it
        told.set_exception(failure)


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    left = sorted((task for task in asyncio.all_tasks(loop) if not task.done()), key=hash)
    for task in left:
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
