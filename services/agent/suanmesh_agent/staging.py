"""Whether a placement's inputs are here, and where they lie."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

from suanmesh_agent.domain.work import Work
from suanmesh_agent.journal import Journal
from suanmesh_agent.ports import TransportPort
from suanmesh_agent.replicas import Replicas

LOOK_AGAIN_S = 2.0
"""A replica may also be added by `suanmesh-agent publish`, a process that cannot wake us."""


class Staging:
    """Looks for inputs among the site's replicas."""

    def __init__(self, transport: TransportPort, journal: Journal, replicas: Replicas) -> None:
        self._transport = transport
        self._journal = journal
        self._replicas = replicas
        self._digests: dict[str, str] = {}

    async def missing(self, work: Work) -> list[str]:
        """Datasets of `work` that have no complete replica here yet."""
        return [dataset for dataset, _ in work.inputs if not await self._is_here(dataset)]

    def inputs(self, work: Work) -> tuple[tuple[str, Path], ...]:
        """Each mount with the folder of its replica; call it once nothing is missing."""
        digests = ((mount, self._journal.dataset(dataset)) for dataset, mount in work.inputs)
        return tuple((mount, self._replicas.files(digest)) for mount, digest in digests if digest)

    async def wait_for_news(self, changed: asyncio.Event) -> None:
        """Wait until a replica was added or the placement changed, at most for LOOK_AGAIN_S."""
        async with asyncio.TaskGroup() as tasks:
            waits = {
                tasks.create_task(self._replicas.wait_for_news(LOOK_AGAIN_S)),
                tasks.create_task(_happened(changed)),
            }
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()

    async def _is_here(self, dataset: str) -> bool:
        digest = self._journal.dataset(dataset)
        if digest is not None:
            return self._replicas.has(digest)
        digest = self._digests.get(dataset)
        if digest is None:
            digest = self._digests[dataset] = (await self._transport.get_dataset(dataset)).digest
        if self._replicas.has(digest):
            await self._journal.commit(partial(self._journal.name_dataset, dataset, digest))
            self._digests.pop(dataset, None)  # another placement that waits for it may have been quicker
            return True
        return False


async def _happened(event: asyncio.Event) -> None:
    await event.wait()
