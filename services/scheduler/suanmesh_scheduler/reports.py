"""What agents report of their pools, brought up to date by changes whenever a round begins."""

from __future__ import annotations

from suanmesh.registry.v1 import pool_pb2
from suanmesh_scheduler.ports import Peers
from suanmesh_scheduler.sharing import Shared


class Reports:
    """The soft state of all pools, as the registry's leader has it when it is asked.

    It is asked each time anew, for what has changed: what it says is never older than the question, and after a
    failover it begins with everything.
    """

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        self._reads: Shared[None] = Shared()
        self._token = ""
        self._states: dict[str, pool_pb2.PoolState] = {}
        self._changed: set[str] = set()

    async def changed(self) -> set[str]:
        """Hear what is new: names of the pools with another state than when this was asked last.

        Raises what the registry refuses; what was heard by then is told the next time.
        """
        await self._reads.read((), self._hear)
        changed, self._changed = self._changed, set()
        return changed

    def get(self, pool: str) -> pool_pb2.PoolState | None:
        """What its agent reports; None while it is not heard."""
        return self._states.get(pool)

    async def _hear(self) -> None:
        states, token, anew, more = self._states, self._token, False, True
        while more:
            answer = await self._peers.pool_states(token)
            if answer.reset:
                states, anew = {}, True  # nobody sees it before it is whole
            states.update((state.name, state) for state in answer.states)
            for name in answer.silent:
                states.pop(name, None)
            token, more = answer.resume_token, answer.more
            if not anew:
                self._token = token
                self._changed.update(answer.silent, (state.name for state in answer.states))
        if anew:
            self._changed.update(states, self._states)
            self._states, self._token = states, token
