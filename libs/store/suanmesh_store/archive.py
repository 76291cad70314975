"""What has ended, in SQL behind the same Get and List: etcd holds live state only (architecture, decision 7)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from heapq import nsmallest
from typing import Any, Generic, TypeVar

from sqlalchemy import Column, Connection, Index, LargeBinary, MetaData, Row, String, Table, create_engine, select
from sqlalchemy.schema import CreateIndex, CreateTable

from suanmesh_kernel.refusals import Refusal
from suanmesh_store.layout import Kind, M
from suanmesh_store.soundness import must_be_sound_at
from suanmesh_store.transactions import Transactions

R = TypeVar("R")

_metadata = MetaData()
_documents = Table(
    "archived_documents",
    _metadata,
    Column("collection", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("place", LargeBinary, nullable=False),  # text is ordered by each database's own collation, bytes are not
    Column("party", String, nullable=False),
    Column("document", LargeBinary, nullable=False),
    Index("archived_by_place", "collection", "place"),
    Index("archived_by_party", "collection", "party", "place"),
)


@dataclass(frozen=True, slots=True)
class ArchiveEntry(Generic[M]):
    """One document to keep."""

    kind: Kind[M]
    name: str
    message: M
    place: str = ""
    """Where it stands in lists, the same as while it lived; empty for what is not listed."""
    party: str = ""
    """Who may list it."""


class Archive:
    """Documents of one area that no longer live in etcd. Every method may raise what `transactions` says."""

    def __init__(self, url: str) -> None:
        """`url` is SQLAlchemy's: SQLite embedded, PostgreSQL at scale.

        Raises StoreCorrupt where the file is damaged.
        """
        must_be_sound_at(url, "the archive")
        self._engine = create_engine(url)
        with self._engine.begin() as connection:
            connection.execute(CreateTable(_documents, if_not_exists=True))  # replicas may begin at the same time
            for index in _documents.indexes:
                connection.execute(CreateIndex(index, if_not_exists=True))
        self._waiting: list[list[dict[str, Any]]] = []
        self._writing = asyncio.Lock()
        self._worker = Transactions(self._engine, "the archive")

    async def keep(self, *kept: ArchiveEntry[Any]) -> None:
        """Keep documents, all or none; what is kept again replaces what was kept. Durable when it returns.

        Those who keep at the same time share one transaction, hence one wait for the disk.
        """
        mine = [_row(each) for each in kept]
        self._waiting.append(mine)
        try:
            async with self._writing:
                if any(rows is mine for rows in self._waiting):  # else whoever had the turn before took them along
                    await self._put_waiting()
        finally:
            self._waiting = [rows for rows in self._waiting if rows is not mine]

    async def _put_waiting(self) -> None:
        """Write all that waits; where that fails it waits on, for each of those who ask to try again by itself."""
        taken, self._waiting = self._waiting, []
        try:
            await self._run(lambda c: _put(c, [row for rows in taken for row in rows]))
        except BaseException:
            self._waiting = taken + self._waiting
            raise

    async def get(self, kind: Kind[M], name: str) -> M | None:
        """One document; None where it was never kept. Who looks in etcd too must do so first."""
        found = await self._run(lambda c: _get(c, kind.collection, name))
        return None if found is None else kind.message.FromString(found)

    async def known(self, kind: Kind[M], names: Collection[str]) -> frozenset[str]:
        """Those of the names that were kept. Who looks in etcd too must do so first."""
        return frozenset(await self._run(lambda c: _known(c, kind.collection, names))) if names else frozenset()

    async def page(self, kind: Kind[M], live: Mapping[str, M], *, party: str, after: str, most: int) -> dict[str, M]:
        """The next documents of a list by their place, in order and each once, live or kept.

        `live` are those that live and may be listed, by place, read before this call: what has left them is kept by
        now. Of those kept it takes `party`'s, or where that is empty all.
        """
        rows = await self._run(lambda c: _after(c, kind.collection, party, after.encode(), most))
        kept = {row.place.decode(): row.document for row in rows}
        near = nsmallest(most, (place for place in live if place > after))
        places = sorted({*near, *kept})[:most]
        return {place: live[place] if place in live else kind.message.FromString(kept[place]) for place in places}

    async def close(self) -> None:
        """Finish what is queued and close the database."""
        await self._worker.close()
        self._engine.dispose()

    @property
    def trouble(self) -> Refusal | None:
        """What kept the last call from being carried out; None where nothing did."""
        return self._worker.trouble

    @property
    def look(self) -> dict[str, Callable[[], Refusal | None]]:
        """How its service's health is told of it."""
        return {"archive": lambda: self.trouble}

    async def _run(self, work: Callable[[Connection], R]) -> R:
        return await self._worker.transact(work)


def _row(kept: ArchiveEntry[Any]) -> dict[str, Any]:
    return {
        "collection": kept.kind.collection,
        "name": kept.name,
        "place": kept.place.encode(),
        "party": kept.party,
        "document": kept.message.SerializeToString(),
    }


def _put(c: Connection, rows: list[dict[str, Any]]) -> None:
    for row in rows:
        where = (_documents.c.collection == row["collection"], _documents.c.name == row["name"])
        c.execute(_documents.delete().where(*where))
        c.execute(_documents.insert().values(row))


def _get(c: Connection, collection: str, name: str) -> Any:
    where = (_documents.c.collection == collection, _documents.c.name == name)
    return c.execute(select(_documents.c.document).where(*where)).scalar_one_or_none()


def _known(c: Connection, collection: str, names: Collection[str]) -> list[str]:
    columns = _documents.c
    query = select(columns.name).where(columns.collection == collection, columns.name.in_(names))
    return list(c.execute(query).scalars())


def _after(c: Connection, collection: str, party: str, after: bytes, most: int) -> list[Row[Any]]:
    columns = _documents.c
    query = select(columns.place, columns.document).where(columns.collection == collection, columns.place > after)
    if party:
        query = query.where(columns.party == party)
    return list(c.execute(query.order_by(columns.place).limit(most)))
