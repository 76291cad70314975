"""Terms of the cluster's own leaders: what was asked under one that is over is not waited for, nor is a silent member.

A member passes writes and keep-alives on to the leader. What it passed to one that has just died is dropped in silence:
whoever asked would wait until the time is up. Every answer tells the term, and so does the first after the election.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

GRACE_S = 0.2
"""How long the next leader has to answer what was asked under the one before: it may have come through."""


class Overtaken(Exception):
    """Nothing was heard of what was asked, and nothing will be: another leads by now, or the member says nothing."""


class Terms:
    """The newest term that was heard of, and the calls that are under way."""

    def __init__(self) -> None:
        self._newest = 0
        self._under_way: dict[Any, tuple[int, object]] = {}
        """Calls of gRPC, with the newest term that was known when they were made, 0 before any was, and the member."""

    def heard(self, header: Any) -> None:
        """Take in what an answer tells. After a grace a new term ends the calls that were made before it."""
        if header.raft_term <= self._newest:
            return
        self._newest = header.raft_term
        if self._under_way:
            asyncio.get_running_loop().call_later(GRACE_S, self._end_those_before, self._newest)

    async def answer(self, call: Any, member: object) -> Any:
        """What a call to a member is answered. Raises Overtaken, beside what it raises itself."""
        self._under_way[call] = self._newest, member
        try:
            return await call
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if call in self._under_way or (task is not None and task.cancelling()):
                raise
            raise Overtaken from None
        finally:
            self._under_way.pop(call, None)

    def end_those_at(self, member: object) -> None:
        """End the calls to a member."""
        self._end(call for call, (_, asked) in self._under_way.items() if asked is member)

    def _end_those_before(self, term: int) -> None:
        self._end(call for call, (known, _) in self._under_way.items() if 0 < known < term)

    def _end(self, calls: Iterable[Any]) -> None:
        for call in list(calls):
            del self._under_way[call]
            call.cancel()
