"""What has ended moves from etcd to the records of its owner, many at once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Generic

import structlog

from suanmesh_chassis.failure_backoff import FailureBackoff
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.refusals import Refusal, Unavailable
from suanmesh_store import Delete, Held, Store
from suanmesh_store.archive import Archive
from suanmesh_store.layout import M
from suanmesh_store.records import Put, RecordKind

MOVED_AT_ONCE = 100
"""Documents that move together, in one transaction of either store: 800 KiB at most."""

log = structlog.get_logger()


class Archiver(Generic[M]):
    """Moves documents of one kind; they are found behind the same Get and List as before."""

    def __init__(self, kind: RecordKind[M], store: Store, archive: Archive, clock: Clock) -> None:
        """`store` and `archive` are those of the term that writes."""
        self._kind = kind
        self._store = store
        self._archive = archive
        self._backoff = FailureBackoff(f"archive {kind.collection}", clock)

    async def move(self, ended: Sequence[Held[M]]) -> None:
        """Move documents. One that cannot be moved now is logged, keeps no other away, and is to be given again."""
        for start in range(0, len(ended), MOVED_AT_ONCE):
            some = ended[start : start + MOVED_AT_ONCE]
            item = f"{some[0].name} to {some[-1].name}"
            if len(some) == 1 or not await self._backoff.run(item, partial(self._move_or_part, some)):
                await self._move_each(some)

    async def _move_or_part(self, some: Sequence[Held[M]]) -> None:
        """Move all; each by itself where one of them stands in the way."""
        try:
            await self._move(some)
        except Unavailable as refusal:
            _put_off(f"{some[0].name} and {len(some) - 1} more", refusal)
        except Refusal:
            await self._move_each(some)

    async def _move_each(self, some: Sequence[Held[M]]) -> None:
        for held in some:
            await self._backoff.run(held.name, partial(self._move_or_put_off, held))

    async def _move_or_put_off(self, held: Held[M]) -> None:
        try:
            await self._move([held])
        except Refusal as refusal:
            _put_off(held.name, refusal)

    async def _move(self, some: Sequence[Held[M]]) -> None:
        """Keep, then delete: a crash in between leaves both, and who comes next does it again."""
        await self._archive.keep(*(Put(self._kind, held.name, held.message) for held in some))
        await self._store.commit(*map(Delete, some))


def _put_off(name: str, refusal: Refusal) -> None:
    log.info("archiving put off", item=name, reason=refusal.reason, message=refusal.message)
