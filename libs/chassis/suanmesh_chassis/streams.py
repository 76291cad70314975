"""Streams being served: when what feeds them ends, as a term of leading does, they must end too and say so.

A watch that outlives the mirror behind it would never say anything again, and its caller would never ask anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from suanmesh_chassis.call import Caller
from suanmesh_kernel.refusals import Refusal

HEADERS_S_MAX = 5.0
"""How long a stream that is to end waits for its headers to be sent."""


async def send_headers(context: Any) -> bool:
    """Send them before the first answer, and also when cancelled see it done; answers True.

    gRPC sends them with the first answer, which takes as long as its reader likes. Where that is cancelled it takes
    them for not sent, and sends no status either: its caller would hear nothing until its time is over.
    """
    sending = asyncio.get_running_loop().create_task(context.send_initial_metadata(()))
    del context
    sending.add_done_callback(lambda over: over.cancelled() or over.exception())
    try:
        await asyncio.shield(sending)
    except asyncio.CancelledError:
        await asyncio.wait([sending], timeout=HEADERS_S_MAX)
        raise
    return True


class Streams:
    """The tasks that serve streams now."""

    def __init__(self) -> None:
        self._open: dict[asyncio.Task[Any], Refusal | None] = {}
        self._callers: dict[asyncio.Task[Any], Caller] = {}

    def opened(self) -> None:
        """The current task serves a stream."""
        task = asyncio.current_task()
        if task is not None:
            self._open[task] = None

    def closed(self) -> None:
        """The current task serves it no more."""
        task = asyncio.current_task()
        if task is not None:
            self._open.pop(task, None)
            self._callers.pop(task, None)

    def is_of(self, caller: Caller) -> None:
        """The stream that the current task serves, if it does, is `caller`'s."""
        task = asyncio.current_task()
        if task is not None and task in self._open:
            self._callers[task] = caller

    def end_those(self, refused: Callable[[Caller], Refusal | None]) -> None:
        """End the streams of callers who are refused by now; each is told why."""
        for task, caller in self._callers.items():
            if self._open.get(task) is None and (refusal := refused(caller)):
                self._open[task] = refusal
                task.cancel()

    def end_all(self, refusal: Refusal) -> None:
        """End every stream; each caller is told `refusal`."""
        for task in self._open:
            self._open[task] = refusal
            task.cancel()

    def ended_with(self) -> Refusal | None:
        """Why the current task was cancelled, where `end_all` did it; the cancellation is then taken back."""
        task = asyncio.current_task()
        refusal = self._open.get(task) if task is not None else None
        if task is not None and refusal is not None:
            task.uncancel()
        return refusal
