"""Pacing: how fast a transfer may go, and in which pieces."""

from __future__ import annotations

from dataclasses import dataclass

CHUNK_BYTES_MAX = 4 * 1024 * 1024
CHUNK_BYTES_MIN = 64 * 1024
CHUNK_SECONDS = 0.25
"""A chunk takes at most about this long at the reserved rate, so that the rate is even over a few seconds."""
CATCH_UP_S = 0.5
"""Time lost in waiting that may be made up for by going faster for a moment."""


def chunk_bytes(rate_bps: int) -> int:
    """Bytes of a chunk for a transfer at `rate_bps` (0: unpaced): a power of two, the same for the same rate."""
    if rate_bps <= 0:
        return CHUNK_BYTES_MAX
    wanted = int(rate_bps / 8 * CHUNK_SECONDS)
    size = CHUNK_BYTES_MAX
    while size > CHUNK_BYTES_MIN and size > wanted:
        size //= 2
    return size


@dataclass(frozen=True, slots=True)
class Pace:
    """Where a paced sender stands: the moment up to which its rate is spent, on a monotonic clock."""

    rate_bps: int
    spent_until: float

    def after(self, sent_bytes: int, now: float) -> Pace:
        """The pace once `sent_bytes` are sent: they may go out when `spent_until` of the answer has come.

        A sender that was held up catches up by at most CATCH_UP_S, so that idle time is not saved for a burst.
        """
        begin = max(self.spent_until, now - CATCH_UP_S)
        return Pace(self.rate_bps, begin + sent_bytes * 8 / self.rate_bps)
