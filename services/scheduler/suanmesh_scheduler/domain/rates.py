"""How many jobs a party may submit or cancel in a time: a bucket of tokens, and promises to those who have to wait."""

from __future__ import annotations

from dataclasses import dataclass

GRACE_S = 2.0
"""How long a promise is kept for whoever comes later than told; a client waits up to half as long again."""
AHEAD_S_MAX = 120.0
"""Farthest time for which tokens are promised."""
PROMISES_MAX = 256
"""Promises of one party; whoever comes beside them is told when, without a promise."""


ROUNDING = 1e-6
"""Tokens by which sums of fractions may be off."""


@dataclass(frozen=True, slots=True)
class Rate:
    """What fills a bucket."""

    per_s: float
    """Tokens a second."""
    burst: int
    """Most that a bucket holds: so many may be used at once after a pause."""


@dataclass(frozen=True, slots=True)
class Promise:
    """Tokens kept for a request that was told when to come again."""

    who: str
    """Principal whose request it is."""
    claim: str
    """Which of its requests."""
    tokens: int
    due_s: float
    """When it may be used, in monotonic seconds."""
    until_s: float
    """When it lapses, in monotonic seconds."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """What is left of a party's tokens."""

    tokens: float
    at_s: float
    """When it held that many, in monotonic seconds."""
    promises: tuple[Promise, ...] = ()
    """The earliest first."""


def full(rate: Rate, now_s: float) -> Bucket:
    """The bucket of a party that was not heard of for long."""
    return Bucket(float(rate.burst), now_s)


def take(bucket: Bucket, who: str, claim: str, count: int, rate: Rate, now_s: float) -> tuple[Bucket, float]:
    """Take tokens, all or none; with the bucket the seconds after which to come again, 0 where they were taken.

    Who is told to wait has its tokens promised: nobody who comes first later gets them before it. A promise that is due
    serves any request of the same principal, since not every program repeats the very request. Whoever asks for more
    than a bucket holds takes a full one.
    """
    wanted = min(count, rate.burst)
    tokens = min(float(rate.burst), bucket.tokens + max(0.0, now_s - bucket.at_s) * rate.per_s)
    standing = tuple(promise for promise in bucket.promises if promise.until_s > now_s)
    place = _place_of(standing, who, claim, wanted, now_s)
    ahead = sum(promise.tokens for promise in standing[:place])
    if ahead + wanted <= tokens + ROUNDING:
        return Bucket(max(0.0, tokens - wanted), now_s, standing[:place] + standing[place + 1 :]), 0.0
    delay_s = (ahead + wanted - tokens) / rate.per_s
    if place < PROMISES_MAX and delay_s <= AHEAD_S_MAX:
        mine = Promise(who, claim, wanted, now_s + delay_s - ROUNDING, now_s + 1.5 * delay_s + GRACE_S)
        standing = (*standing[:place], mine, *standing[place + 1 :])
    return Bucket(tokens, now_s, standing), delay_s


def _place_of(standing: tuple[Promise, ...], who: str, claim: str, wanted: int, now_s: float) -> int:
    """Where a request stands among the promises: at its own, else at one of its principal's that is due, else last."""
    mine = [(i, promise) for i, promise in enumerate(standing) if promise.who == who]
    own = next((i for i, promise in mine if promise.claim == claim), None)
    if own is not None:
        return own
    return next((i for i, promise in mine if promise.due_s <= now_s and promise.tokens >= wanted), len(standing))
