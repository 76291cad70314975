"""Whether a batch can be done in the time it has: what cannot is refused before any work goes into it."""

from __future__ import annotations

from dataclasses import dataclass, replace

BATCH_UNITS = 5
"""What a batch costs beside its items, in items."""
RISE, FALL = 0.5, 0.1
"""Weight of the newest batch in the measured pace where it was slower, and where it was faster."""
TIME_SHARE = 0.6
"""Part of the time a batch has that its work may be expected to take: the rest is for what was not foreseen."""
DELAY_MIN_S = 0.1
DELAY_MAX_S = 30.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much may wait at once, in items."""

    items_max: int
    items_of_party_max: int


@dataclass(frozen=True, slots=True)
class Pace:
    """Measured work: seconds for one item where `lanes` batches are worked on side by side."""

    seconds: float
    lanes: int

    def after(self, units: int, took_s: float) -> Pace:
        """The pace once a batch has been done."""
        newest = took_s / max(1, units)
        weight = RISE if newest > self.seconds else FALL
        return replace(self, seconds=self.seconds + weight * (newest - self.seconds))

    def at_least(self, units: int, so_far_s: float) -> Pace:
        """The pace that work which is not done yet shows: it can only be slower."""
        return replace(self, seconds=max(self.seconds, so_far_s / max(1, units)))

    def duration_s(self, queued: int, units: int) -> float:
        """How long a batch takes behind what is queued."""
        return queued * self.seconds / self.lanes + units * self.seconds


@dataclass(frozen=True, slots=True)
class Waiting:
    """What is being worked on or waits, in units."""

    all: int
    party: int


def units_of(items: int) -> int:
    """What a batch costs, in items."""
    return items + BATCH_UNITS


def delay_s(waiting: Waiting, units: int, time_left_s: float, pace: Pace, bounds: Bounds) -> float:
    """Seconds after which to come again; 0 where the batch can be taken now.

    A batch is taken while there is room and its time suffices. An idle service takes whatever comes: its estimate may
    be wrong, and nothing else would put it right.
    """
    if not waiting.all:
        return 0.0
    room = waiting.all + units <= bounds.items_max and waiting.party + units <= bounds.items_of_party_max
    if room and pace.duration_s(waiting.all, units) <= TIME_SHARE * time_left_s:
        return 0.0
    return min(DELAY_MAX_S, max(DELAY_MIN_S, pace.duration_s(waiting.party, units)))


def turn_s(delay: float, units: int, promised_s: float, pace: Pace) -> tuple[float, float]:
    """When a refused batch is to come again, and until when its party's turns are promised; both from now.

    Batches that are refused together are told different times, or they would all come back at once.
    """
    at = min(DELAY_MAX_S, max(delay, promised_s))
    return at, at + units * pace.seconds / pace.lanes
