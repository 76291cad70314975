"""How often one caller may have certificates renewed: a few at once, and then at an even pace.

Each is a signature, and for a site a write to the keyspace. Nobody who renews at two thirds of a certificate's life, be
it minutes, on as many machines as show one identity, comes near; a program that asks in a loop would cost all others.
"""

from __future__ import annotations

from collections import OrderedDict

BURST = 30
"""So many may be asked for at once after a pause."""
PER_S = 0.2
"""Further ones a second."""
CALLERS_MAX = 4096
"""Callers that are remembered; beyond it the one who asked longest ago is forgotten."""
ROUNDING = 1e-6
"""Seconds by which sums of fractions may be off."""


def taken(full_at_s: float, now_s: float) -> tuple[float, float]:
    """One renewal at `now_s` of a caller who may have `BURST` at once again at `full_at_s`, in monotonic seconds.

    Answers when that is so from then on, and the seconds after which to come again; 0 where the renewal is taken.
    """
    after_s = max(full_at_s, now_s) + 1 / PER_S
    delay_s = after_s - now_s - BURST / PER_S
    return (after_s, 0.0) if delay_s <= ROUNDING else (full_at_s, delay_s)


class RenewalRates:
    """What each caller has taken."""

    def __init__(self) -> None:
        self._full_at_s: OrderedDict[str, float] = OrderedDict()

    def take(self, principal: str, now_s: float) -> float:
        """Seconds after which `principal` may come again; 0 where the renewal is taken."""
        self._full_at_s[principal], delay_s = taken(self._full_at_s.pop(principal, now_s), now_s)
        if len(self._full_at_s) > CALLERS_MAX:
            self._full_at_s.popitem(last=False)
        return delay_s
