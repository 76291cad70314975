"""How long one side waits for the other: a timeout for the many waits of a server, which all last equally long.

`asyncio.timeout` sets and cancels a timer for each wait, which costs a call about as much as reading its message. Waits
that last equally long end in the order in which they begin, so one timer for the first of them serves all.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any


class Patience:
    """Waits of at most `seconds` each."""

    __slots__ = ("_timer", "_waits", "seconds")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._waits: dict[Wait, float] = {}
        """When each is over, on the loop's clock; the first to be over comes first."""
        self._timer: asyncio.TimerHandle | None = None

    def wait(self) -> Wait:
        """A block that raises TimeoutError where what it awaits is not there in time."""
        return Wait(self)

    def _begin(self, wait: Wait) -> None:
        loop = asyncio.get_running_loop()
        self._waits[wait] = over = loop.time() + self.seconds
        if self._timer is None:
            self._timer = loop.call_at(over, self._look, loop)

    def _end(self, wait: Wait) -> None:
        self._waits.pop(wait, None)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """End what is over; come again when the next is."""
        self._timer = None
        now = loop.time()
        while self._waits:
            wait, over = next(iter(self._waits.items()))
            if over > now:
                self._timer = loop.call_at(over, self._look, loop)
                return
            del self._waits[wait]
            wait.give_up()


class Wait:
    """One of them."""

    __slots__ = ("_cancelling", "_given_up", "_patience", "_task")

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._given_up = False
        self._task: asyncio.Task[Any]
        self._cancelling: int

    def give_up(self) -> None:
        """It has lasted too long."""
        self._given_up = True
        self._task.cancel()

    def __enter__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("only a task waits")
        self._task, self._cancelling = task, task.cancelling()
        self._patience._begin(self)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._patience._end(self)
        # As asyncio.timeout does: whoever else cancels the task at the same time is heard.
        if self._given_up and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error
