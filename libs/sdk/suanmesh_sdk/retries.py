"""Whether and when to try again: by the method's declared effect, the kind of refusal, and a budget for each user.

A budget because retries are what turns a slow service into a dead one: beyond it, a refusal is passed on at once. One
for each user, so that nobody's failing calls use up what others have. An attempt that reached nobody costs nothing:
while an area changes its leader all calls wait for the next one, however many they are.
"""

from __future__ import annotations

import random
from collections import OrderedDict
from dataclasses import dataclass

from suanmesh_kernel.refusals import Refusal, Unavailable
from suanmesh_sdk.methods import Method
from suanmesh_sdk.silence import SILENT

ATTEMPTS_MAX = 24
"""Of one call, the first included; its deadline usually ends it earlier."""

RESUME_S = 5.0
"""How long a stream that broke is opened again without its reader hearing of it; people want to know of more."""

HANDSHAKES_MAX = 3
"""Attempts whose connection was closed before the first byte, until that counts as a refused identity."""

PAUSE_FIRST_S = 0.02
PAUSE_MAX_S = 1.0
DELAY_MAX_S = 30.0
"""Most that a server's own word on when to come again is heeded."""

NOT_BEGUN = frozenset(
    (
        "CALLS_OF_CALLER_MAX",
        "CLOCK_SKEWED",
        "KEY_UNCHECKED",
        "NOT_LEADER",
        "SITE_NOT_CONNECTED",
        "STREAMS_OF_CALLER_MAX",
    )
)
"""Refused before it had any effect: whatever the method, the same call may be made again."""
WHEN_TOLD = frozenset(
    (
        "BYTES_OF_CALLER_MAX",
        "CALLS_OF_CALLER_MAX",
        "PROCESS_FULL",
        "QUEUE_FULL",
        "RATE_EXCEEDED",
        "STREAMS_OF_CALLER_MAX",
    )
)
"""There is no room now and the server says when to come again; whoever keeps to that does not slow it further."""
NOBODY_REACHED = ("failed to connect", "no instance of", SILENT)
"""How a NOT_READY of our own begins, or of gRPC, where the call did not leave this process, or nobody is there."""
NOT_TAKEN = "RST_STREAM with error code 7"
"""REFUSED_STREAM: a server that has too many streams did nothing for this one (RFC 9113, 8.7)."""
BUDGETS_MAX = 1024
AT_THE_EDGE = frozenset(("QUEUE_FULL", "RATE_EXCEEDED"))
"""What takes seconds to pass is waited for by whoever began: a service that serves a call passes it on at once."""


@dataclass(slots=True)
class Budget:
    """Tokens that retries take: every call pays in a tenth, time pays in a little, so that a lone caller can insist."""

    per_call: float = 0.1
    per_second: float = 2.0
    most: float = 20.0
    tokens: float = 20.0
    _paid_at: float = 0.0

    def call_made(self) -> None:
        """A call was made for the first time."""
        self.tokens = min(self.most, self.tokens + self.per_call)

    def take(self, now: float) -> bool:
        """Take the token of one retry at `now` (monotonic seconds); False when there is none."""
        self.tokens = min(self.most, self.tokens + (now - self._paid_at) * self.per_second)
        self._paid_at = now
        if self.tokens < 1.0:
            return False
        self.tokens -= 1.0
        return True


class Budgets:
    """The budget of each user on whose behalf calls are made; whoever made none for longest begins anew."""

    def __init__(self) -> None:
        self._held: OrderedDict[str, Budget] = OrderedDict()

    def of(self, user: str) -> Budget:
        """The budget of a user; the process itself is the user without a name."""
        held = self._held.get(user)
        if held is None:
            held = self._held[user] = Budget()
            if len(self._held) > BUDGETS_MAX:
                self._held.popitem(last=False)
        self._held.move_to_end(user)
        return held


def is_free(refusal: Refusal) -> bool:
    """Whether the attempt that ended so cost no server anything, or came again when the server had said."""
    if refusal.reason == "NOT_READY":
        return refusal.message.startswith(NOBODY_REACHED) or NOT_TAKEN in refusal.message
    return refusal.reason == "NOT_LEADER" or refusal.reason in WHEN_TOLD


def pause_before(attempt: int, chance: random.Random, told_s: float = 0.0) -> float:
    """Seconds to wait before `attempt` (2 is the first retry): doubling, bounded, half of it by chance.

    Never less than `told_s`, what the server asked for, and up to half as much again, so that not all come at once.
    """
    most = min(PAUSE_MAX_S, PAUSE_FIRST_S * 2.0 ** (attempt - 2))
    told_s = min(told_s, DELAY_MAX_S)
    return max(most * (0.5 + chance.random() / 2), told_s * (1.0 + chance.random() / 2))


def may_repeat(method: Method, refusal: Refusal) -> bool:
    """Whether the same call may be made again after `refusal`."""
    if refusal.reason in NOT_BEGUN or (refusal.reason == "NOT_READY" and NOT_TAKEN in refusal.message):
        return True
    return method.repeatable and (isinstance(refusal, Unavailable) or refusal.reason in WHEN_TOLD)
