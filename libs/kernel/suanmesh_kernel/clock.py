"""Time and chance, as they come in from outside."""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

_MONOTONIC = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> datetime:
        """Wall-clock time in UTC."""

    def monotonic(self) -> float:
        """Seconds that never run backwards; only differences mean anything."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Wall-clock time in UTC."""
        return datetime.fromtimestamp(time.time_ns() / 1e9, UTC)

    def monotonic(self) -> float:
        """Seconds of CLOCK_BOOTTIME where there is one: the others' leases do not wait for a machine that sleeps."""
        return time.clock_gettime(_MONOTONIC)


class HandClock:
    """A clock a test moves by hand; wall clock and monotonic clock move together."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._start = start
        self._passed = 0.0

    def now(self) -> datetime:
        """The start, and what has passed since."""
        return self._start + timedelta(seconds=self._passed)

    def monotonic(self) -> float:
        """Seconds that have passed since the start."""
        return self._passed

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass."""
        if seconds < 0:
            raise ValueError("time does not run backwards")
        self._passed += seconds


Rng = Callable[[int], bytes]
"""Gives that many random bytes."""

system_rng: Rng = secrets.token_bytes


def seeded_rng(seed: int) -> Rng:
    """The same bytes for the same seed, for tests and replays."""
    return random.Random(seed).randbytes
