"""How many jobs a party may submit or cancel in a time: a token bucket."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rate:
    """What fills a bucket."""

    per_s: float
    """Tokens a second."""
    burst: int
    """Most that a bucket holds: so many may be used at once after a pause."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """What is left of a party's tokens."""

    tokens: float
    at_s: float
    """When it held that many, in monotonic seconds."""


def full(rate: Rate, now_s: float) -> Bucket:
    """The bucket of a party that was not heard of for long."""
    return Bucket(float(rate.burst), now_s)


def filled(bucket: Bucket, rate: Rate, now_s: float) -> Bucket:
    """The bucket as it is now."""
    return Bucket(min(float(rate.burst), bucket.tokens + max(0.0, now_s - bucket.at_s) * rate.per_s), now_s)


def take(bucket: Bucket, count: int, rate: Rate, now_s: float) -> tuple[Bucket, float]:
    """Take tokens, all or none; with the bucket the seconds after which there are enough, 0 where they were taken.

    Whoever asks for more than a bucket holds takes a full one.
    """
    now, wanted = filled(bucket, rate, now_s), min(count, rate.burst)
    if wanted <= now.tokens:
        return Bucket(now.tokens - wanted, now_s), 0.0
    return now, (wanted - now.tokens) / rate.per_s
