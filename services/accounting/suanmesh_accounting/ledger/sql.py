"""The ledger over SQL: what SQLite and PostgreSQL have in common. Only this package knows of either."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from sqlalchemy import Engine

from suanmesh_accounting.domain.commands import Command, ExpireUsage, ForgetAnswers, RecordUsage
from suanmesh_accounting.domain.prices import Book
from suanmesh_accounting.domain.queries import Query
from suanmesh_accounting.ledger.carrying import carry_out
from suanmesh_accounting.ledger.fair_queue import URGENT
from suanmesh_accounting.ledger.group_commit import DATABASE_ERRORS, GroupCommit
from suanmesh_accounting.ledger.reading import answered
from suanmesh_kernel.refusals import Refusal, Unavailable
from suanmesh_store.transactions import refusal_of

R = TypeVar("R")

READERS = 2
"""Queries that are answered at the same time."""
READING_MAX = 1_000
"""Queries that may be under way or wait."""
BOOKS_KEPT_MAX = 1_000
"""Versions of price books that are kept in memory."""
WHAT = "the ledger"
HOUSEKEEPING = "housekeeping"
"""The queue of what nobody waits for."""


class SqlLedger:
    """`Ledger`, with a thread that writes and a few that read."""

    def __init__(self, writing: Engine, reading: Engine) -> None:
        """Transactions of `writing` see all that was committed when they read; those of `reading` one moment."""
        self._writing = writing
        self._reading = reading
        self._group = GroupCommit(self._transact, WHAT)
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix=f"{WHAT} reads")
        self._under_way = 0
        self._books: dict[tuple[str, int], Book] = {}
        self._closed = False

    async def apply(self, commands: Sequence[Command[R]]) -> list[R | Refusal]:
        """Carry out commands in one transaction; each stands or falls by itself."""
        return await self._group.submit(commands, _queue_of(commands[0])) if commands else []

    async def page(self, query: Query[R]) -> R:
        """What the query asks for, of one moment."""
        if self._closed:
            raise Unavailable("NOT_READY", f"{WHAT} is closed, this instance leads no more", domain="mesh.suanmesh")
        if self._under_way >= READING_MAX:
            message = f"{self._under_way} queries are under way at {WHAT}, at most {READING_MAX} may be"
            raise Unavailable("PROCESS_FULL", message, domain="mesh.suanmesh", retry_delay_s=1.0)
        self._under_way += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, query)
        except DATABASE_ERRORS as fault:
            refusal = refusal_of(fault, WHAT)
            if refusal is None:
                raise
            self._group.note(refusal)
            raise refusal from fault
        finally:
            self._under_way -= 1

    @property
    def trouble(self) -> Refusal | None:
        """What kept the last transaction from being made; None where nothing did."""
        return self._group.trouble

    async def close(self) -> None:
        """Finish what is under way and close the database."""
        self._closed = True
        await self._group.close()
        await asyncio.to_thread(self._readers.shutdown)
        self._writing.dispose()
        self._reading.dispose()

    def _read(self, query: Query[R]) -> R:
        with self._reading.begin() as connection:
            return answered(connection, query)

    def _transact(self, commands: Sequence[Command[Any]], before_commit: Callable[[], None]) -> tuple[list[Any], bool]:
        if len(self._books) > BOOKS_KEPT_MAX:
            self._books.clear()
        with self._writing.begin() as connection:
            done = carry_out(connection, commands, self._books)
            before_commit()
        return done


def _queue_of(command: Command[Any]) -> str:
    """Where a caller's commands wait: those of usage by its site, so that no site's delays another's or any hold."""
    if isinstance(command, RecordUsage):
        return command.measured.site
    return HOUSEKEEPING if isinstance(command, ExpireUsage | ForgetAnswers) else URGENT
