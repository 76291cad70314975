"""Queries of a SQL database on a few threads of their own, each answered from one moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sqlalchemy import Connection, Engine

from suanmesh_kernel.refusals import Refusal, Unavailable
from suanmesh_store.database_faults import refusal_of
from suanmesh_store.databases import READERS
from suanmesh_store.transactions import DATABASE_ERRORS

R = TypeVar("R")

READING_MAX = 1_000
"""Queries that may be under way or wait."""


class Readers:
    """Answers queries, a few at a time; what waits is bounded."""

    def __init__(self, engine: Engine, what: str, note: Callable[[Refusal], None]) -> None:
        """`what` names the database to people; `note` is told what keeps a query from being answered."""
        self._engine = engine
        self._what = what
        self._note = note
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix=f"{what} reads")
        self._under_way = 0
        self._closed = False

    async def read(self, query: Callable[[Connection], R]) -> R:
        """What the query reads. Raises refusals in place of the database's errors."""
        if self._closed:
            message = f"{self._what} is closed, this instance leads no more"
            raise Unavailable("NOT_READY", message, domain="mesh.suanmesh")
        if self._under_way >= READING_MAX:
            message = f"{self._under_way} queries are under way at {self._what}, at most {READING_MAX} may be"
            raise Unavailable("PROCESS_FULL", message, domain="mesh.suanmesh", retry_delay_s=1.0)
        self._under_way += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._read, query)
        except DATABASE_ERRORS as fault:
            refusal = refusal_of(fault, self._what)
            if refusal is None:
                raise
            self._note(refusal)
            raise refusal from fault
        finally:
            self._under_way -= 1

    async def close(self) -> None:
        """Finish what is under way, and take nothing more."""
        self._closed = True
        await asyncio.to_thread(self._threads.shutdown)

    def _read(self, query: Callable[[Connection], R]) -> R:
        with self._engine.begin() as connection:
            return query(connection)
