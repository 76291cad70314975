"""What a call that is carried may take."""

from __future__ import annotations

from math import isinf


def timeout_ms(left_s: float) -> int:
    """Time left to a caller in whole milliseconds, at least one; 0 where there is no bound."""
    return 0 if isinf(left_s) else max(1, int(left_s * 1000))
