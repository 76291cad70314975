"""The ledger over SQL: what SQLite and PostgreSQL have in common. Only this package knows of either."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from suanmesh_accounting.domain.commands import Command, ExpireUsage, ForgetAnswers, RecordUsage
from suanmesh_accounting.domain.prices import Book
from suanmesh_accounting.domain.queries import Query
from suanmesh_accounting.ledger.carrying import carry_out
from suanmesh_accounting.ledger.reading import answered
from suanmesh_kernel.refusals import Refusal
from suanmesh_store.databases import Engines
from suanmesh_store.fair_queue import URGENT
from suanmesh_store.group_commit import GroupCommit
from suanmesh_store.reading import Readers

R = TypeVar("R")

BOOKS_KEPT_MAX = 1_000
"""Versions of price books that are kept in memory."""
WHAT = "the ledger"
HOUSEKEEPING = "housekeeping"
"""The queue of what nobody waits for."""


class SqlLedger:
    """`Ledger`, with a thread that writes and a few that read."""

    def __init__(self, engines: Engines) -> None:
        """Over tables that `open_ledger` has brought up."""
        self._engines = engines
        self._group = GroupCommit(self._transact, WHAT)
        self._readers = Readers(engines.reading, WHAT, self._group.faults.note)
        self._books: dict[tuple[str, int], Book] = {}

    async def apply(self, commands: Sequence[Command[R]]) -> list[R | Refusal]:
        """Carry out commands in one transaction; each stands or falls by itself."""
        if not commands:
            return []
        return await self._group.submit(commands, _queue_of(commands[0]), sum(map(_weight_of, commands)))

    async def page(self, query: Query[R]) -> R:
        """What the query asks for, of one moment."""
        return await self._readers.read(lambda connection: answered(connection, query))

    @property
    def fault(self) -> Refusal | None:
        """What kept the last transaction from being made; None where nothing did."""
        return self._group.faults.now

    async def close(self) -> None:
        """Finish what is under way and close the database."""
        await self._group.close()
        await self._readers.close()
        self._engines.dispose()

    def _transact(self, commands: Sequence[Command[Any]], before_commit: Callable[[], None]) -> tuple[list[Any], bool]:
        if len(self._books) > BOOKS_KEPT_MAX:
            self._books.clear()
        with self._engines.writing.begin() as connection:
            done = carry_out(connection, commands, self._books)
            before_commit()
        return done


def _queue_of(command: Command[Any]) -> str:
    """Where a caller's commands wait: those of usage by its site, so that no site's delays another's or any hold."""
    if isinstance(command, RecordUsage):
        return command.site
    return HOUSEKEEPING if isinstance(command, ExpireUsage | ForgetAnswers) else URGENT


def _weight_of(command: Command[Any]) -> int:
    """How many commands it is as good as."""
    return len(command.measured) if isinstance(command, RecordUsage) else 1
