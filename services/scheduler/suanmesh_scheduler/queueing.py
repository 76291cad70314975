"""The door of the calls that cost work: what cannot be done in time is refused before it is begun."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import count

from suanmesh_chassis import Call
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.refusals import ResourceExhausted
from suanmesh_scheduler.domain import admission, rates
from suanmesh_scheduler.domain.admission import Bounds, Pace, Waiting
from suanmesh_scheduler.domain.rates import Bucket, Rate


class Queue:
    """Batches that wait for their turn, a few worked on side by side; bounded for the process and for each party."""

    def __init__(self, clock: Clock, bounds: Bounds, pace: Pace, rates: Rates | None = None) -> None:
        """`pace` is a first guess; it is measured from then on. `rates` bound what comes besides, where there are."""
        self._clock = clock
        self._bounds = bounds
        self._pace = pace
        self._rates = rates
        self._lanes = asyncio.Semaphore(pace.lanes)
        self._waiting: Counter[str] = Counter()
        self._promised: dict[str, float] = {}
        self._working: dict[int, tuple[int, float]] = {}
        self._numbers = count()

    @asynccontextmanager
    async def turn(self, call: Call, items: int, tokens: int = 0) -> AsyncIterator[None]:
        """Wait for a turn at a batch of a call, which is counted as long as it waits or is worked on.

        Raises ResourceExhausted (`QUEUE_FULL`, and `RATE_EXCEEDED` where it takes `tokens`) before it waits.
        """
        with self._admitted(party_of(call), items, call.time_left()):
            if self._rates is not None:
                self._rates.take(call, call.request_id, tokens)
            async with self._lane(items):
                yield

    @contextmanager
    def _admitted(self, party: str, items: int, time_left_s: float) -> Iterator[None]:
        units = admission.units_of(items)
        waiting = Waiting(self._waiting.total(), self._waiting[party])
        delay_s = admission.delay_s(waiting, units, time_left_s, self._pace_now(), self._bounds)
        if delay_s:
            raise self._full(party, units, delay_s)
        self._waiting[party] += units
        try:
            yield
        finally:
            self._waiting[party] -= units
            if not self._waiting[party]:
                del self._waiting[party]

    @asynccontextmanager
    async def _lane(self, items: int) -> AsyncIterator[None]:
        """How long the work takes is measured."""
        async with self._lanes:
            number, units, begun = next(self._numbers), admission.units_of(items), self._clock.monotonic()
            self._working[number] = (units, begun)
            try:
                yield
            finally:
                del self._working[number]
                self._pace = self._pace.after(units, self._clock.monotonic() - begun)

    def _pace_now(self) -> Pace:
        """The measured pace, or what those who are at work for long already show."""
        pace, now = self._pace, self._clock.monotonic()
        for units, begun in self._working.values():
            pace = pace.at_least(units, now - begun)
        return pace

    def _full(self, party: str, units: int, delay_s: float) -> ResourceExhausted:
        now = self._clock.monotonic()
        self._promised = {each: until for each, until in self._promised.items() if until > now}
        promised_s = self._promised.get(party, now) - now
        at_s, until_s = admission.turn_s(delay_s, units, promised_s, self._pace_now())
        self._promised[party] = now + until_s
        message = f"more waits already than can be done in the time given; come again after {at_s:.1f} s"
        return ResourceExhausted("QUEUE_FULL", message, retry_delay_s=at_s, name=party, waiting=self._waiting.total())


class Rates:
    """A bucket of tokens for each party, for one kind of thing."""

    def __init__(self, clock: Clock, rate: Rate, of: str) -> None:
        """`of` names what is counted, such as `submitted jobs`."""
        self._clock = clock
        self._rate = rate
        self._of = of
        self._buckets: dict[str, Bucket] = {}

    def take(self, call: Call, claim: str, count: int) -> None:
        """Raises ResourceExhausted (`RATE_EXCEEDED`) where the caller's party has used up what it may.

        `claim` names the principal's request, so that a repeat finds what was promised to it.
        """
        party = party_of(call)
        now = self._clock.monotonic()
        bucket = self._buckets.get(party) or rates.full(self._rate, now)
        self._buckets[party], delay_s = rates.take(bucket, call.principal, claim, count, self._rate, now)
        if delay_s:
            most = f"{self._rate.per_s:g} a second, {self._rate.burst} at once"
            message = f"{party}: too many {self._of} in this time; allowed are {most}; come again after {delay_s:.1f} s"
            raise ResourceExhausted("RATE_EXCEEDED", message, retry_delay_s=delay_s, name=party, of=self._of)


def party_of(call: Call) -> str:
    """Whose work a call is."""
    return call.party or call.principal
