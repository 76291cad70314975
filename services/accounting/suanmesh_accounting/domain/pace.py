"""How fast a site may send usage: a burst at once, and a steady pace after it."""

from __future__ import annotations

from dataclasses import dataclass

from suanmesh_kernel.refusals import ResourceExhausted


@dataclass(frozen=True, slots=True)
class Pace:
    """Records a second in the long run, and how many at once."""

    records_per_s: float
    burst: int


@dataclass(frozen=True, slots=True)
class Allowance:
    """How many records a site might send at a moment of the monotonic clock."""

    records: float
    at_s: float


def spent(site: str, before: Allowance | None, records: int, now_s: float, pace: Pace) -> Allowance:
    """The allowance of a site once it has sent `records` more.

    Raises ResourceExhausted (`USAGE_TOO_FAST`) where it has less, with the time after which it has enough.
    """
    grown = pace.burst if before is None else before.records + (now_s - before.at_s) * pace.records_per_s
    left = min(float(pace.burst), grown) - records
    if left < 0:
        raise ResourceExhausted(
            "USAGE_TOO_FAST",
            f"{site} sends more than {pace.records_per_s:g} usage records a second; keep them and send them again",
            retry_delay_s=min(60.0, -left / pace.records_per_s),
            name=site,
        )
    return Allowance(left, now_s)
