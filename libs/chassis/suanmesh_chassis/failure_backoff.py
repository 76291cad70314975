"""Work that is done item by item: a defect in one item ends that item's attempt, never the process.

A handler's defect becomes an answer in the one wrapper; the defect of a reconciler or a follower ends here. It is
logged with its traceback, counted, handed to whoever can say what becomes of the item, and the item is left alone for
a while, longer after every failure in a row, so that one that fails for good does not take the turns of the others.
A full disk is no defect: the item is put off with a warning, and tried again soon.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from suanmesh_kernel.clock import Clock
from suanmesh_kernel.refusals import Refusal
from suanmesh_store.database_faults import refusal_of
from suanmesh_telemetry.metrics import DEFECTS

PAUSE_FIRST_S = 1.0
PAUSE_MAX_S = 300.0
PUT_OFF_S_MAX = 5.0
"""What a full disk has put off is tried again after so long at most: room comes back without a word."""
PARKED_MAX = 10_000
"""Items that are remembered to have failed; beyond it the one that failed longest ago."""

log = structlog.get_logger()

Act = Callable[[], Awaitable[object]]
Failed = Callable[[Exception], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class _Parked:
    failures: int
    until: float


class FailureBackoff:
    """Guards one kind of work, such as `settle transfer`, whose items have names.

    In a loop over names, `await guard.run(name, partial(settle, name))` is all it takes: a parked name is passed over,
    and comes again with the next resync. Refusals that are part of the work are the work's own to handle.
    """

    def __init__(
        self, work: str, clock: Clock, *, pause_first_s: float = PAUSE_FIRST_S, pause_max_s: float = PAUSE_MAX_S
    ) -> None:
        self._work = work
        self._clock = clock
        self._pause_first_s = pause_first_s
        self._pause_max_s = pause_max_s
        self._parked: OrderedDict[str, _Parked] = OrderedDict()

    async def run(self, item: str, act: Act, failed: Failed | None = None) -> bool:
        """Do `act`; whether `item` is dealt with, be it that `failed` took its defect.

        False for an item that is parked, which is not tried, for one that a full disk puts off, and for one whose
        defect nobody took. Raises nothing but what ends the process anyway, such as CancelledError.
        """
        if self.parked_s(item) > 0:
            return False
        fault = await self._fault(item, act)
        if fault is None:
            self._parked.pop(item, None)
            return True
        full = is_full(fault)
        self._park(item, min(self._pause_max_s, PUT_OFF_S_MAX) if full else self._pause_max_s)
        if full or failed is None:
            return False
        return await self._fault(item, lambda: failed(fault)) is None

    async def until_done(self, item: str, act: Act, failed: Failed | None = None) -> None:
        """`run`, again after each pause, until the item is dealt with."""
        while not await self.run(item, act, failed):  # noqa: ASYNC110 - a time is waited for, not an event
            await asyncio.sleep(self.parked_s(item))

    def parked_s(self, item: str) -> float:
        """For how long `item` is still left alone, seconds; 0 where it may be tried."""
        parked = self._parked.get(item)
        return 0.0 if parked is None else max(0.0, parked.until - self._clock.monotonic())

    async def _fault(self, item: str, act: Act) -> Exception | None:
        """What went wrong that nobody foresaw, once it is logged and counted; or that the disk is full."""
        try:
            await act()
        except Exception as fault:  # the one place where an item's defect becomes a fact about it
            if is_full(fault):
                log.warning("work put off", work=self._work, item=item, reason="DISK_FULL", message=str(fault))
                return fault
            log.error("work failed", work=self._work, item=item, exc_info=fault)
            DEFECTS.labels(self._work).inc()
            return fault
        return None

    def _park(self, item: str, pause_s_max: float) -> None:
        before = self._parked.pop(item, None)
        failures = before.failures + 1 if before else 1
        pause_s = min(pause_s_max, self._pause_first_s * 2 ** min(failures - 1, 30))
        self._parked[item] = _Parked(failures, self._clock.monotonic() + pause_s)
        if len(self._parked) > PARKED_MAX:
            self._parked.popitem(last=False)


def is_full(fault: BaseException) -> bool:
    """Whether all that went wrong is that a disk has no room."""
    if isinstance(fault, BaseExceptionGroup):
        return all(is_full(each) for each in fault.exceptions)
    told = fault if isinstance(fault, Refusal) else refusal_of(fault, "it") if isinstance(fault, Exception) else None
    return told is not None and told.reason == "DISK_FULL"
