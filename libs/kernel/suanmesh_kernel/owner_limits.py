"""What the owner of a site refuses to others: judged alike by the agent that keeps to it and by the scheduler.

The owner's own party is bound by none of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from suanmesh_kernel.quantities import Capacity
from suanmesh_kernel.reasons import NO_REASON, StateReason

DAY_MIN = 24 * 60
WEEK_MIN = 7 * DAY_MIN
SHARE_MILLI_MAX = 1000
OFFSET_MIN_MAX = 14 * 60
"""No zone is farther from UTC."""


class WorkKind(StrEnum):
    """A kind of work that an owner may refuse."""

    ARRAY = "ARRAY"
    DEVICES = "DEVICES"
    DATA = "DATA"
    UPLOADS = "UPLOADS"


@dataclass(frozen=True, slots=True)
class WeekWindow:
    """A part of every week, from `start_min` on and before `end_min`, in minutes after Monday 0:00 UTC."""

    start_min: int
    end_min: int

    @property
    def is_valid(self) -> bool:
        """Whether it begins within a week and is no longer than one."""
        return 0 <= self.start_min < WEEK_MIN and self.start_min < self.end_min <= self.start_min + WEEK_MIN

    def holds(self, minute: int) -> bool:
        """Whether a minute of the week is within."""
        return self.start_min <= minute < self.end_min or self.start_min <= minute + WEEK_MIN < self.end_min


@dataclass(frozen=True, slots=True)
class OwnerLimits:
    """What an owner refuses; nothing of it where nothing is set."""

    parties: frozenset[str] = frozenset()
    """The only ones whose work is taken; empty for all."""
    hours: tuple[WeekWindow, ...] = ()
    """The only times at which work is taken; empty for always."""
    refused_kinds: frozenset[WorkKind] = frozenset()
    party_share_milli: int = 0
    """Most that one party's work may hold at a time of each measure, in 1/1000; 0 for no bound."""
    upload_party_bytes: int = 0
    """Most that uploads of one party may have here; 0 for no bound."""
    upload_bytes: int = 0
    """Most that uploads of all of them may have together; 0 for no bound."""

    def objection(self, party: str, kinds: Collection[WorkKind]) -> StateReason:
        """Why work of a party is never taken; nothing where it is, at its hours."""
        if self.parties and party not in self.parties:
            return StateReason("PARTY_NOT_ALLOWED", {"party": party})
        if refused := sorted(self.refused_kinds.intersection(kinds)):
            return StateReason("KIND_REFUSED", {"kind": ", ".join(refused)})
        return NO_REASON

    def opens(self, now: datetime) -> datetime | None:
        """When work is taken again; None while it is."""
        minute = minute_of_week(now)
        if not self.hours or any(window.holds(minute) for window in self.hours):
            return None
        wait_min = min((window.start_min - minute) % WEEK_MIN for window in self.hours)
        return now.astimezone(UTC).replace(second=0, microsecond=0) + timedelta(minutes=wait_min)

    def room(self, per_task: Capacity, whole: Capacity, held: Capacity) -> int | None:
        """How many more tasks a party may have that holds `held` of `whole` already; None where there is no bound."""
        if not self.party_share_milli:
            return None
        shares = (
            (per_task.cpu_milli, whole.cpu_milli, held.cpu_milli),
            (per_task.memory_bytes, whole.memory_bytes, held.memory_bytes),
            (per_task.scratch_bytes, whole.scratch_bytes, held.scratch_bytes),
            (_cards(per_task), _cards(whole), _cards(held)),
        )
        milli = self.party_share_milli
        rooms = ((have * milli // SHARE_MILLI_MAX - taken) // one for one, have, taken in shares if one)
        return max(0, min(rooms, default=0))


NO_LIMITS = OwnerLimits()


def closed_until(opens: datetime) -> StateReason:
    """Why work is not taken now."""
    return StateReason("HOURS_CLOSED", {"opens": opens.isoformat(timespec="minutes").replace("+00:00", "Z")})


def minute_of_week(now: datetime) -> int:
    """Minutes since Monday 0:00 UTC."""
    at = now.astimezone(UTC)
    return at.weekday() * DAY_MIN + at.hour * 60 + at.minute


def kinds_of(*, tasks: int, devices: bool, inputs: bool) -> frozenset[WorkKind]:
    """The kinds that work is of."""
    are = ((WorkKind.ARRAY, tasks > 1), (WorkKind.DEVICES, devices), (WorkKind.DATA, inputs))
    return frozenset(kind for kind, is_one in are if is_one)


def windows_of(text: str) -> tuple[WeekWindow, ...]:
    """Windows as people write them: `mon-fri 18:00-08:00, sat-sun 0:00-24:00 +08:00`; in UTC where no offset is given.

    One that ends no later than it begins ends on the next day. Raises ValueError.
    """
    made: list[WeekWindow] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        days, _, rest = part.partition(" ")
        hours, _, zone = rest.strip().partition(" ")
        start, _, end = hours.partition("-")
        start_min, end_min, ahead_min = _minute(start), _minute(end), _offset(zone.strip())
        if start_min == DAY_MIN:
            raise ValueError(f"{text!r}: a window begins before 24:00")
        length_min = end_min - start_min if end_min > start_min else end_min + DAY_MIN - start_min
        begins = ((day * DAY_MIN + start_min - ahead_min) % WEEK_MIN for day in _days(days))
        made += [WeekWindow(begin, begin + length_min) for begin in begins]
    return tuple(made)


_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def _days(text: str) -> Iterable[int]:
    first, _, last = text.lower().partition("-")
    if first not in _DAYS or (last or first) not in _DAYS:
        raise ValueError(f"{text!r} is not a day such as mon, or days such as mon-fri")
    start, stop = _DAYS.index(first), _DAYS.index(last or first)
    return [day % 7 for day in range(start, (stop if stop >= start else stop + 7) + 1)]


def _minute(text: str) -> int:
    hour, colon, minute = text.strip().partition(":")
    if not (colon and hour.isdecimal() and minute.isdecimal() and len(minute) == 2 and int(minute) < 60):
        raise ValueError(f"{text!r} is not a time such as 18:00")
    at = int(hour) * 60 + int(minute)
    if at > DAY_MIN:
        raise ValueError(f"{text!r} is past 24:00")
    return at


def _offset(text: str) -> int:
    """Minutes by which a zone is ahead of UTC, of `+08:00` or nothing."""
    if not text:
        return 0
    if text[0] not in "+-":
        raise ValueError(f"{text!r} is not an offset from UTC such as +08:00")
    minutes = _minute(text[1:])
    if minutes > OFFSET_MIN_MAX:
        raise ValueError(f"{text!r} is past 14:00")
    return minutes if text[0] == "+" else -minutes


def _cards(capacity: Capacity) -> int:
    return sum(device.count for device in capacity.devices)
