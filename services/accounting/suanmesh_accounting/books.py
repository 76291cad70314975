"""Sums the ledger up again and again, and shows Prometheus what it comes to: postings and balances to nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping

import structlog

from suanmesh_accounting.domain.ledger import HoldState
from suanmesh_accounting.domain.queries import BookSums, SummedBooks
from suanmesh_accounting.ports import LedgerReads
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.refusals import Refusal
from suanmesh_telemetry import names
from suanmesh_telemetry.readings import Reading

log = structlog.get_logger()

EVERY_S = 15.0
"""Pause between two sums, seconds."""
REST = 50
"""Of a long ledger: so many times as long as summing it took, it is left alone."""
_MICROS = 1_000_000


class Books:
    """What the ledger came to when it was summed last."""

    def __init__(self, ledger: LedgerReads, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._sums: BookSums | None = None
        self._summed_s = 0.0

    async def run(self) -> None:
        """Sum until cancelled."""
        while True:
            began_s = self._clock.monotonic()
            await self.look()
            await asyncio.sleep(max(EVERY_S, REST * (self._clock.monotonic() - began_s)))

    async def look(self) -> None:
        """Sum once; what does not come to nothing is logged."""
        try:
            self._sums = await self._ledger.page(SummedBooks())
        except Refusal as refusal:
            log.warning("ledger not summed", reason=refusal.reason, message=refusal.message)
            return
        self._summed_s = self._clock.monotonic()
        for (currency, of), micros in imbalances(self._sums).items():
            if micros:
                log.error("ledger does not balance", message=f"{of} in {currency} sum up to {micros} micros")

    def readings(self) -> Iterator[Reading]:
        """As summed last; nothing before that."""
        if self._sums is None:
            return
        yield Reading(names.BOOKS_CHECKED, self._clock.monotonic() - self._summed_s)
        for label, micros in imbalances(self._sums).items():
            yield Reading(names.IMBALANCE, micros / _MICROS, label)
        for (currency, kind), micros in self._sums.balances_micros.items():
            yield Reading(names.BALANCE, micros / _MICROS, (currency, kind.name))
        for currency, micros in self._sums.held_micros.items():
            yield Reading(names.HELD, micros / _MICROS, (currency,))
        for state in (HoldState.HELD, HoldState.COMMITTED):
            yield Reading(names.HOLDS, self._sums.standing_holds.get(state, 0), (state.name,))


def imbalances(sums: BookSums) -> Mapping[tuple[str, str], int]:
    """What postings, and balances, sum up to in each currency, micros: by currency and which of the two."""
    balances: Counter[str] = Counter()
    for (currency, _), micros in sums.balances_micros.items():
        balances[currency] += micros
    found = {(currency, "postings"): micros for currency, micros in sums.postings_micros.items()}
    return found | {(currency, "balances"): micros for currency, micros in balances.items()}
