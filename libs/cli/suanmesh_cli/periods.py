"""Periods of time as people write them: days, months and moments, in the reader's zone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo

from google.protobuf.timestamp_pb2 import Timestamp

from suanmesh_cli.usage import Misuse, seconds_of
from suanmesh_kernel.texts import Text

_YEAR = re.compile(r"(\d{4})", re.ASCII)
_MONTH = re.compile(r"(\d{4})-(\d{2})", re.ASCII)
_DAY = re.compile(r"\d{4}-?\d{2}-?\d{2}|\d{4}-?W\d{2}-?\d", re.ASCII)
_DAYS_AGO = {"today": 0, "今天": 0, "yesterday": 1, "昨天": 1}
_SECOND = timedelta(seconds=1)
_DAY_LONG = timedelta(days=1)


def moment(text: str, now: datetime, zone: tzinfo | None, *, end: bool = False) -> Timestamp | None:
    """The moment `text` stands for; None for an empty one.

    It is a day such as 2026-11-30, `today` or `yesterday`, a month such as 2026-11, a year, a time such as
    2026-11-30T18:00 or 2026-11-30T18:00Z, or how long ago, such as 7d or 2h30m. Without a zone of its own it is in
    `zone`, None for that of this machine; a day, a month and a year are meant whole: as an `end` they are the
    beginning of the next.
    Raises Misuse.
    """
    text = text.strip()
    if not text:
        return None
    try:
        if text.lower() in _DAYS_AGO:
            text = (now.astimezone(zone) - _DAYS_AGO[text.lower()] * _DAY_LONG).date().isoformat()
        at = _written(text, end=end)
        if at is None:
            return _stamp(_ago(text, now))
        return _stamp(at if at.tzinfo else at.replace(tzinfo=zone) if zone else at.astimezone())
    except (ValueError, OverflowError, OSError):
        raise Misuse(
            Text(
                f"{text[:40]!r} is neither a day such as 2026-11-30 or yesterday, a month, a time such as "
                "2026-11-30T18:00, nor how long ago, such as 7d or 2h30m.",
                f"{text[:40]!r} 不是日期（如 2026-11-30、昨天）、月份、时刻（如 2026-11-30T18:00），"
                "也不是距今时长（如 7d、2h30m）。",
            )
        ) from None


def period(start: str, end: str, now: datetime, zone: tzinfo | None) -> tuple[Timestamp | None, Timestamp | None]:
    """From when on, and before when. Raises Misuse, also where there is no time between them."""
    begins, ends = moment(start, now, zone), moment(end, now, zone, end=True)
    if begins is not None and ends is not None and begins.ToNanoseconds() >= ends.ToNanoseconds():
        raise Misuse(
            Text(f"--from {start[:40]} is not before --to {end[:40]}.", f"--from {start[:40]} 不早于 --to {end[:40]}。")
        )
    return begins, ends


def offset_min(at: datetime, zone: tzinfo | None) -> int:
    """By how many minutes days begin before those of UTC in a zone, None for that of this machine; as of a moment."""
    offset = at.astimezone(zone).utcoffset() or timedelta(0)
    return int(offset.total_seconds() // 60)


def spans(start: datetime, end: datetime, zone: tzinfo | None) -> Iterator[tuple[datetime, int]]:
    """When each span of one `offset_min` begins between two moments, the first at `start`, with that offset.

    Clocks are put forward and back at most once a day.
    """
    at, offset = start, offset_min(start, zone)
    yield at, offset
    while at < end:
        then = min(at + _DAY_LONG, end)
        if offset_min(then, zone) != offset:
            before = at
            while then - before > _SECOND:
                middle = before + (then - before) / 2
                before, then = (middle, then) if offset_min(middle, zone) == offset else (before, middle)
            then = then.replace(microsecond=0)
            offset = offset_min(then, zone)
            yield then, offset
        at = then


def _written(text: str, *, end: bool) -> datetime | None:
    """The beginning of what `text` names, as an `end` that of the next; None where it names no time."""
    if year := _YEAR.fullmatch(text):
        return datetime(int(year[1]) + end, 1, 1)
    if month := _MONTH.fullmatch(text):
        months = int(month[1]) * 12 + int(month[2]) - 1 + end
        return datetime(months // 12, months % 12 + 1, 1) if 1 <= int(month[2]) <= 12 else None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at + _DAY_LONG if end and _DAY.fullmatch(text) else at


def _ago(text: str, now: datetime) -> datetime:
    """Raises ValueError and OverflowError."""
    seconds = seconds_of(text)
    if seconds < 0:
        raise ValueError("not in the past")
    return now - timedelta(seconds=seconds)


def _stamp(at: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(at.astimezone(UTC).replace(tzinfo=None))
    return stamp
