"""Removes the replicas that no dataset has any more: asked of the transport, some at a time, for as long as the site
lives, so that a site that was away catches up when it is back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from functools import partial

import structlog

from suanmesh_agent.journal import Journal
from suanmesh_agent.ports import TransportPort
from suanmesh_agent.replicas import Replicas
from suanmesh_kernel.refusals import Refusal

log = structlog.get_logger()

ASKED_AT_ONCE = 200
EVERY_S = 30.0


class UnnamedReplicas:
    """Looks through the site's replicas in turns.

    A replica is removed that nobody here has used between two looks at it: what is taken in has until then to be named.
    """

    def __init__(
        self, site: str, replicas: Replicas, transport: TransportPort, journal: Journal, *, every_s: float = EVERY_S
    ) -> None:
        self._site = site
        self._replicas = replicas
        self._transport = transport
        self._journal = journal
        self._every_s = every_s
        self._seen: dict[str, int] = {}
        """How often each had been used when it was looked at last."""
        self._last = ""

    async def run(self) -> None:
        """Look for good."""
        while True:
            await asyncio.sleep(self._every_s)
            try:
                await self.look()
            except Refusal as refusal:
                log.info("replicas not looked through", reason=refusal.reason)
            except OSError as fault:
                log.warning("replica stays", message=str(fault))

    async def look(self) -> None:
        """Look at the next of them. Raises Refusal where the transport does not answer, and OSError."""
        here = await asyncio.to_thread(self._replicas.digests)
        self._seen = {digest: self._seen[digest] for digest in here if digest in self._seen}
        some = next_of(here, self._last, ASKED_AT_ONCE)
        self._last = some[-1] if some else ""
        uses = {digest: self._replicas.uses(digest) for digest in some}
        idle = unused(self._seen, uses)
        self._seen |= uses
        if not idle:
            return
        for digest in await self._transport.unnamed(self._site, idle):
            if digest in idle and await asyncio.to_thread(self._replicas.remove, digest, uses[digest]):
                await self._journal.commit(partial(self._journal.forget_content, digest))
                log.info("replica removed", message=digest)


def next_of(names: Iterable[str], after: str, most: int) -> list[str]:
    """The next of the names in their order, from the first on where none follows."""
    ordered = sorted(names)
    return ([name for name in ordered if name > after] or ordered)[:most]


def unused(before: Mapping[str, int], now: Mapping[str, int]) -> list[str]:
    """Those that were there before and have not been used since."""
    return [name for name, uses in now.items() if before.get(name) == uses]
