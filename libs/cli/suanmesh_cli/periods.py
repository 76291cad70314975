"""Periods of time as people write them: days and moments, in the reader's zone."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo

from google.protobuf.timestamp_pb2 import Timestamp

from suanmesh_cli.usage import UNITS_S, Misuse
from suanmesh_kernel.texts import Text

_AGO = re.compile(r"(\d+)\s*(min|m|h|d)")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


def moment(text: str, now: datetime, zone: tzinfo | None, *, end: bool = False) -> Timestamp | None:
    """The moment `text` stands for; None for an empty one.

    It is a day such as 2026-11-30, a time such as 2026-11-30T18:00 or 2026-11-30T18:00Z, or how long ago, such as 7d.
    Without a zone of its own it is in `zone`, None for that of this machine; a day is meant with all its hours:
    as an `end` it is the beginning of the next. Raises Misuse.
    """
    if not text:
        return None
    if ago := _AGO.fullmatch(text):
        return _stamp(now - timedelta(seconds=int(ago[1]) * UNITS_S[ago[2]]))
    try:
        at = datetime.fromisoformat(text.strip())
        if _DAY.fullmatch(text) and end:
            at += timedelta(days=1)
        return _stamp(at if at.tzinfo else at.replace(tzinfo=zone) if zone else at.astimezone())
    except (ValueError, OverflowError, OSError):
        raise Misuse(
            Text(
                f"{text[:40]!r} is neither a day such as 2026-11-30, a time such as 2026-11-30T18:00, nor an age: 7d.",
                f"{text[:40]!r} 不是日期（如 2026-11-30）、时刻（如 2026-11-30T18:00）或距今时长（如 7d）。",
            )
        ) from None


def offset_min(now: datetime, zone: tzinfo | None) -> int:
    """By how many minutes days begin before those of UTC in a zone, None for that of this machine; as of now."""
    offset = now.astimezone(zone).utcoffset() or timedelta(0)
    return int(offset.total_seconds() // 60)


def _stamp(at: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(at.astimezone(UTC).replace(tzinfo=None))
    return stamp
