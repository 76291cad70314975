"""What has ended, as records behind the same Get and List: etcd holds live state only (architecture, decision 7)."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from copy import copy
from heapq import nsmallest
from pathlib import Path
from typing import Any, TypeVar

from suanmesh_store.layout import M
from suanmesh_store.records import Index, Put, RecordKind, Records, Write, written
from suanmesh_store.soundness import COMPANIONS, require_sound

P = TypeVar("P", bound=Any)
"""A message with a `party`."""


BY_PLACE, BY_PARTY = "place", "party"
MOVE_AT_ONCE = 200
"""Documents of an earlier version that are moved together."""


def listed(collection: str, message: type[P], place_of: Callable[[P], str]) -> RecordKind[P]:
    """A kind of what has ended that is listed by its place, all of it and that of a party."""
    by_place: Index[P] = Index(BY_PLACE, lambda ended: [(place_of(ended),)])
    by_party: Index[P] = Index(BY_PARTY, lambda ended: [(ended.party, place_of(ended))])
    return RecordKind(collection, message, (by_place, by_party))


class Archive:
    """Documents of one area that no longer live in etcd. Every method may raise what `Records` says."""

    def __init__(self, records: Records, fence: int = 0) -> None:
        """`fence` is the term that writes."""
        self._records = records
        self._fence = fence

    def led_by(self, fence: int) -> Archive:
        """The same, written by another term."""
        other = copy(self)
        other._fence = fence
        return other

    async def keep(self, *kept: Put[Any]) -> None:
        """Keep documents, all or none; what is kept again replaces what was kept. Durable when it returns."""
        [outcome] = await self._records.apply([Write(kept)], fence=self._fence)
        written(outcome)

    async def get(self, kind: RecordKind[M], name: str) -> M | None:
        """One document; None where it was never kept. Who looks in etcd too must do so first."""
        found = (await self._records.get_many(kind, [name])).get(name)
        return None if found is None else found.message

    async def get_many(self, kind: RecordKind[M], names: Collection[str]) -> dict[str, M]:
        """Those of the names that were kept. Who looks in etcd too must do so first."""
        return {name: found.message for name, found in (await self._records.get_many(kind, names)).items()}

    async def found(self, kind: RecordKind[M], index: Index[M], *equals: str, most: int) -> list[M]:
        """Those kept that an index has under these keys, in its order. Who looks in etcd too must do so first."""
        records = await self._records.page(kind, index.name, equals, limit=most)
        return [record.message for record in records]

    async def known(self, kind: RecordKind[Any], names: Collection[str]) -> frozenset[str]:
        """Those of the names that were kept. Who looks in etcd too must do so first."""
        return frozenset(await self._records.get_many(kind, names))

    async def page(
        self, kind: RecordKind[M], live: Mapping[str, M], *, party: str, after: str, most: int
    ) -> dict[str, M]:
        """The next documents of a list by their place, in order and each once, live or kept.

        `live` are those that live and may be listed, by place, read before this call: what has left them is kept by
        now. Of those kept it takes `party`'s, or where that is empty all.
        """
        index, equals = (BY_PARTY, (party,)) if party else (BY_PLACE, ())
        found = await self._records.page(kind, index, equals, after=(after,) if after else (), limit=most)
        kept = {_place(kind, record.message): record.message for record in found}
        near = nsmallest(most, (place for place in live if place > after))
        places = sorted({*near, *kept})[:most]
        return {place: live[place] if place in live else kept[place] for place in places}


async def move_from_file(path: Path, archive: Archive, kinds: Sequence[RecordKind[Any]]) -> None:
    """Keep what an earlier version kept in a file of its own, and remove that file; a crash in between does it again.

    Raises StoreCorrupt where the file is damaged.
    """
    if not await asyncio.to_thread(_is_sound, path):
        return
    by_collection = {kind.collection: kind for kind in kinds}
    after = 0
    while rows := await asyncio.to_thread(_rows, path, after):
        known = [(by_collection[of], name, document) for _, of, name, document in rows if of in by_collection]
        await archive.keep(*(Put(kind, name, kind.message.FromString(document)) for kind, name, document in known))
        after = rows[-1][0]
    for companion in (path, *(path.with_name(path.name + end) for end in COMPANIONS)):
        companion.unlink(missing_ok=True)


def _is_sound(path: Path) -> bool:
    require_sound(path, "the archive of an earlier version")
    return path.exists()


def _rows(path: Path, after: int) -> list[tuple[int, str, str, bytes]]:
    query = "SELECT rowid, collection, name, document FROM archived_documents WHERE rowid > ? ORDER BY rowid LIMIT ?"
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query, (after, MOVE_AT_ONCE)).fetchall()


def _place(kind: RecordKind[M], message: M) -> str:
    [key] = next(index for index in kind.indexes if index.name == BY_PLACE).keys(message)
    return str(key[0])
