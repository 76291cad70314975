"""How fast one caller is refused: a few at once, and then at an even pace.

A refusal costs about as much as an answer. Who calls again as soon as he is refused would have the process do nothing
else; who has to wait for the refusal has that call under way meanwhile, and his connection lets no more of them in.
"""

from __future__ import annotations

from collections import OrderedDict

CALLERS_MAX = 4096
"""Callers that are remembered; beyond it the one refused longest ago is forgotten."""


ROUNDING = 1e-6


class Pace:
    """When each refusal is due. Pure counting: time comes in from outside."""

    def __init__(self, *, burst: int, per_s: float, waiting_max: int) -> None:
        """`burst` refusals come at once, further ones `per_s` a second; of each caller at most `waiting_max` wait."""
        self._burst = burst
        self._per_s = per_s
        self._waiting_max = waiting_max
        self._due: OrderedDict[str, float] = OrderedDict()

    def delay_s(self, caller: str, now: float) -> float:
        """How long the next refusal of `caller` is to wait at `now` (monotonic seconds); one too many does not."""
        due = max(self._due.pop(caller, now), now) + 1 / self._per_s
        delay_s = max(0.0, due - now - self._burst / self._per_s)
        if delay_s * self._per_s > self._waiting_max + ROUNDING:
            self._due[caller] = due - 1 / self._per_s
            return 0.0
        self._due[caller] = due
        if len(self._due) > CALLERS_MAX:
            self._due.popitem(last=False)
        return delay_s
