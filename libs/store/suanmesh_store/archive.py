"""What has ended, in SQL behind the same Get and List: etcd holds live state only (architecture, decision 7)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from sqlalchemy import Column, Connection, LargeBinary, MetaData, String, Table, create_engine, select

from suanmesh_store.layout import Kind, M

R = TypeVar("R")

_metadata = MetaData()
_documents = Table(
    "documents",
    _metadata,
    Column("collection", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("document", LargeBinary, nullable=False),
)


class Archive:
    """Documents of one area that no longer live in etcd."""

    def __init__(self, url: str) -> None:
        """`url` is SQLAlchemy's: SQLite embedded, PostgreSQL at scale."""
        self._engine = create_engine(url)
        _metadata.create_all(self._engine)
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="archive")

    async def keep(self, kind: Kind[M], name: str, message: M) -> None:
        """Keep a document; keeping it again replaces what was kept. Durable when it returns."""
        await self._run(lambda c: _put(c, kind.collection, name, message.SerializeToString()))

    async def get(self, kind: Kind[M], name: str) -> M | None:
        """One document; None where it was never kept."""
        found = await self._run(lambda c: _get(c, kind.collection, name))
        return None if found is None else kind.message.FromString(found)

    async def all(self, kind: Kind[M]) -> list[M]:
        """All documents of a kind, by name."""
        query = select(_documents.c.document).where(_documents.c.collection == kind.collection)
        found = await self._run(lambda c: list(c.execute(query.order_by(_documents.c.name)).scalars()))
        return [kind.message.FromString(document) for document in found]

    async def close(self) -> None:
        """Finish what is queued and close the database."""
        self._worker.shutdown()
        self._engine.dispose()

    async def _run(self, work: Callable[[Connection], R]) -> R:
        def transact() -> R:
            with self._engine.begin() as connection:
                return work(connection)

        return await asyncio.get_running_loop().run_in_executor(self._worker, transact)


def _put(c: Connection, collection: str, name: str, document: bytes) -> None:
    c.execute(_documents.delete().where(_documents.c.collection == collection, _documents.c.name == name))
    c.execute(_documents.insert().values(collection=collection, name=name, document=document))


def _get(c: Connection, collection: str, name: str) -> Any:
    where = (_documents.c.collection == collection, _documents.c.name == name)
    return c.execute(select(_documents.c.document).where(*where)).scalar_one_or_none()
