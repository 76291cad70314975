"""Ended jobs and full decisions, kept in SQL behind the same Get and List."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from sqlalchemy import Column, Connection, LargeBinary, MetaData, String, Table, create_engine, select

from suanmesh.scheduler.v1 import decision_pb2, job_pb2

R = TypeVar("R")

_metadata = MetaData()
_jobs = Table(
    "ended_jobs",
    _metadata,
    Column("name", String, primary_key=True),
    Column("place", String, nullable=False, index=True),
    Column("party", String, nullable=False),
    Column("document", LargeBinary, nullable=False),
)
_decisions = Table(
    "decisions", _metadata, Column("name", String, primary_key=True), Column("document", LargeBinary, nullable=False)
)


class Archive:
    """What no longer lives in etcd."""

    def __init__(self, url: str) -> None:
        """`url` is SQLAlchemy's."""
        self._engine = create_engine(url)
        _metadata.create_all(self._engine)
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="archive")

    async def keep_job(self, job: job_pb2.Job) -> None:
        """Keep an ended job; keeping it again changes nothing."""
        await self._run(
            lambda c: _put(c, _jobs, job.name, job.SerializeToString(), place=place_of(job), party=job.party)
        )

    async def keep_decision(self, decision: decision_pb2.Decision) -> None:
        """Keep a decision with all its candidates."""
        await self._run(lambda c: _put(c, _decisions, decision.name, decision.SerializeToString()))

    async def job(self, name: str) -> job_pb2.Job | None:
        """One ended job."""
        found = await self._run(lambda c: _get(c, _jobs, name))
        return None if found is None else job_pb2.Job.FromString(found)

    async def decision(self, name: str) -> decision_pb2.Decision | None:
        """One decision."""
        found = await self._run(lambda c: _get(c, _decisions, name))
        return None if found is None else decision_pb2.Decision.FromString(found)

    async def jobs(self, party: str, after: str, most: int) -> dict[str, job_pb2.Job]:
        """The next ended jobs by their place in a list, of one party or, where none is named, of all."""
        query = select(_jobs.c.place, _jobs.c.document).where(_jobs.c.place > after).order_by(_jobs.c.place).limit(most)
        if party:
            query = query.where(_jobs.c.party == party)
        rows = await self._run(lambda c: list(c.execute(query)))
        return {place: job_pb2.Job.FromString(document) for place, document in rows}

    async def close(self) -> None:
        """Finish what is queued and close the database."""
        self._worker.shutdown()
        self._engine.dispose()

    async def _run(self, work: Callable[[Connection], R]) -> R:
        def transact() -> R:
            with self._engine.begin() as connection:
                return work(connection)

        return await asyncio.get_running_loop().run_in_executor(self._worker, transact)


def place_of(job: job_pb2.Job) -> str:
    """Where a job stands in a list: the newest first."""
    return f"{2**62 - job.create_time.ToMicroseconds():020d}{job.name}"


def _put(c: Connection, table: Table, name: str, document: bytes, **columns: str) -> None:
    c.execute(table.delete().where(table.c.name == name))
    c.execute(table.insert().values(name=name, document=document, **columns))


def _get(c: Connection, table: Table, name: str) -> Any:
    return c.execute(select(table.c.document).where(table.c.name == name)).scalar_one_or_none()
