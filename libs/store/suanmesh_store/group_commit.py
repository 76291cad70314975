"""One thread that writes: whoever comes while it is busy shares the next transaction, hence one wait for the disk.

Whose commands are in it is fair (`fair_queue`): what is urgent waits for one transaction at most, the rest takes turns.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from functools import partial
from itertools import islice
from typing import Any

import structlog

from suanmesh_kernel.refusals import Aborted, DataLoss, Unavailable
from suanmesh_store.database_faults import refusal_of
from suanmesh_store.fair_queue import URGENT, FairQueue
from suanmesh_store.transactions import DATABASE_ERRORS, Faults

log = structlog.get_logger()

WAITING_MAX = 20_000
"""Commands that may wait for their turn, of all callers together."""
QUEUE_MAX = 5_000
"""Commands that may wait in one queue but the urgent one, so that nobody takes the room of all others."""
TRIES_MAX = 8
"""How often a transaction is begun anew because others have changed what it read."""


class Stage(Enum):
    """How far the commands of a caller have come."""

    WAITING = "WAITING"
    RUNNING = "RUNNING"
    COMMITTING = "COMMITTING"
    WITHDRAWN = "WITHDRAWN"


@dataclass(slots=True, eq=False)
class Submission:
    """What one caller wants done, and whom to tell; its stage changes under the lock only."""

    commands: Sequence[Any]
    told: asyncio.Future[list[Any]]
    stage: Stage = Stage.WAITING


class CallerGone(Exception):
    """A caller was cancelled while its commands were carried out: the transaction is to be made without it."""


class Stale(Exception):
    """Another writer has changed what was read; nothing may be kept of the transaction."""


Transact = Callable[[Sequence[Any], Callable[[], None]], tuple[list[Any], bool]]
"""Carries out commands in one transaction and calls back right before it commits; nothing is kept where that raises.

Gives the results, and whether anything was written. Raises Stale and errors of the database.
"""


class GroupCommit:
    """Carries out what callers submit, many callers in one transaction, one transaction at a time.

    Only transactions run on the thread, handed to it by the loop: whoever brings a loop of his own brings their time.
    """

    def __init__(self, transact: Transact, what: str) -> None:
        """`what` names the database to people, such as `the ledger`."""
        self._transact = transact
        self._what = what
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=what)
        self._lock = threading.Lock()
        """Held by whoever looks at the stage of a submission, or changes it."""
        self._waiting: FairQueue[Submission] = FairQueue()
        self._idle = asyncio.Event()
        self._idle.set()
        self._closed = False
        self.faults = Faults()

    async def submit(self, commands: Sequence[Any], queue: str = URGENT, weight: int | None = None) -> list[Any]:
        """Carry out commands, all in one transaction. Raises refusals in place of the database's errors.

        Commands in a `queue` other than URGENT take turns with those of other queues, and are carried out in order.
        `weight` says how many they are as good as; None for as many as there are.
        """
        submission = Submission(commands, asyncio.get_running_loop().create_future())
        self._take(submission, queue, len(commands) if weight is None else weight)
        try:
            return await submission.told
        except asyncio.CancelledError:
            self._withdraw(submission)
            raise

    async def close(self) -> None:
        """Finish what waits, and take nothing more."""
        self._closed = True
        await self._idle.wait()
        await asyncio.to_thread(self._thread.shutdown)

    def _take(self, submission: Submission, queue: str, more: int) -> None:
        if self._closed:
            message = f"{self._what} is closed, this instance leads no more"
            raise Unavailable("NOT_READY", message, domain="mesh.suanmesh")
        self._require_room(self._waiting.commands, more, WAITING_MAX)
        if queue != URGENT:
            self._require_room(self._waiting.waiting_of(queue), more, QUEUE_MAX)
        self._waiting.put(submission, queue, more)
        if self._idle.is_set():
            self._begin()

    def _require_room(self, waiting: int, more: int, most: int) -> None:
        """Raises Unavailable (`PROCESS_FULL`)."""
        if waiting + more > most:
            message = f"{waiting} commands wait for {self._what} already, at most {most} may"
            raise Unavailable("PROCESS_FULL", message, domain="mesh.suanmesh", retry_delay_s=1.0)

    def _withdraw(self, submission: Submission) -> None:
        """A caller was cancelled: nothing of its commands is to stay, unless it is too late for that."""
        with self._lock:
            late = submission.stage is Stage.COMMITTING
            if not late:
                submission.stage = Stage.WITHDRAWN
        if late:
            kinds = sorted({type(command).__name__ for command in submission.commands})
            log.warning("transaction outlived its caller", work=self._what, item=" ".join(kinds))

    def _begin(self) -> None:
        """Hand the next callers to the thread, which has nothing to do."""
        group = self._waiting.take()
        if not group:
            self._idle.set()
            return
        self._idle.clear()
        work = asyncio.get_running_loop().run_in_executor(self._thread, self._carried_out, group)
        work.add_done_callback(partial(self._end, group))

    def _end(self, group: list[Submission], work: asyncio.Future[tuple[list[Submission], list[Any]]]) -> None:
        """Tell the callers of a transaction that is over, or have each try by itself, and begin the next."""
        fault = work.exception()
        if fault is None:
            live, results = work.result()
            place = iter(results)
            for submission in live:
                _tell(submission, list(islice(place, len(submission.commands))))
        elif len(group) == 1 or isinstance(fault, Unavailable | DataLoss):
            for submission in group:
                _tell(submission, fault)
        else:
            self._waiting.put_alone(group)
        self._begin()

    def _carried_out(self, group: list[Submission]) -> tuple[list[Submission], list[Any]]:
        """The callers that are still there, and the results of all their commands in order."""
        tries = 0
        while tries < TRIES_MAX:
            live = self._still_there(group)
            commands = [command for submission in live for command in submission.commands]
            if not commands:
                return [], []
            try:
                results, wrote = self._transact(commands, partial(self._enter_commit, live))
            except CallerGone:
                continue
            except Stale:
                tries += 1
                continue
            except DATABASE_ERRORS as fault:
                refusal = refusal_of(fault, self._what)
                if isinstance(refusal, Aborted):
                    tries += 1
                    continue
                self.faults.note(refusal)
                raise refusal or fault from fault
            self.faults.passed(wrote=wrote)
            return live, results
        raise Aborted("CONFLICT", f"others keep changing {self._what}; try again", domain="mesh.suanmesh")

    def _still_there(self, group: list[Submission]) -> list[Submission]:
        with self._lock:
            live = [submission for submission in group if submission.stage is not Stage.WITHDRAWN]
            for submission in live:
                submission.stage = Stage.RUNNING
            return live

    def _enter_commit(self, live: list[Submission]) -> None:
        """From here on nobody can withdraw. Raises CallerGone where somebody has."""
        with self._lock:
            if any(submission.stage is Stage.WITHDRAWN for submission in live):
                raise CallerGone
            for submission in live:
                submission.stage = Stage.COMMITTING


def _tell(submission: Submission, outcome: list[Any] | BaseException) -> None:
    if submission.told.done():  # cancelled
        return
    if isinstance(outcome, BaseException):
        submission.told.set_exception(outcome)
    else:
        submission.told.set_result(outcome)
