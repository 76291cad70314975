"""Work on a SQL database, one piece after the other on a thread of its own; its faults come back as refusals."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from sqlalchemy import exc

from suanmesh_kernel.refusals import DataLoss, Refusal, Unavailable
from suanmesh_store.database_faults import DOMAIN, refusal_of

R = TypeVar("R")

DATABASE_ERRORS: Final = (exc.SQLAlchemyError, sqlite3.Error, OSError)
"""What a database raises; `refusal_of` tells what callers are told of it."""


class Faults:
    """What keeps a database from working, from when it is noted until something shows that it has passed."""

    def __init__(self) -> None:
        self.now: Refusal | None = None
        """None for nothing."""

    def note(self, refusal: Refusal | None) -> None:
        """Take note of how work was refused; what is not the database's fault shows that it works."""
        self.now = refusal if isinstance(refusal, Unavailable | DataLoss) else None

    def passed(self, *, wrote: bool) -> None:
        """Work was done: a disk is full until some was written, however much is read from it meanwhile."""
        if wrote or (self.now is not None and self.now.reason != "DISK_FULL"):
            self.now = None


class Worker:
    """Runs the transactions of one database in their order; whoever comes after its end is told to try again."""

    def __init__(self, what: str) -> None:
        """`what` names the database to people, such as `the ledger`."""
        self._what = what
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=what)
        self._closed = False
        self.faults = Faults()

    async def run(self, work: Callable[[], R]) -> R:
        """Do `work` when its turn has come; what has written tells `faults` so.

        Raises what it raises, and refusals in place of the database's errors.
        """
        if self._closed:
            raise Unavailable("NOT_READY", f"{self._what} is closed, this instance leads no more", domain=DOMAIN)
        try:
            done = await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except DATABASE_ERRORS as fault:
            refusal = refusal_of(fault, self._what)
            if refusal is None:
                raise
            self.faults.note(refusal)
            raise refusal from fault
        self.faults.passed(wrote=False)
        return done

    async def close(self) -> None:
        """Finish what is queued, and take nothing more."""
        self._closed = True
        await asyncio.to_thread(self._thread.shutdown)
