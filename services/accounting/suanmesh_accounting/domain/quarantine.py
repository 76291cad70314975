"""Usage that no hold pays for: kept apart for a while, so much a site and no more."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from suanmesh_kernel.refusals import ResourceExhausted


@dataclass(frozen=True, slots=True)
class Room:
    """What the quarantine of one site may hold, and for how long."""

    records: int
    size_bytes: int
    age: timedelta


def require_room(site: str, *, records: int, size_bytes: int, more_bytes: int, room: Room) -> None:
    """Refuse one more record of `more_bytes` where the site has no room for it beside what it has there.

    The newest is refused, not the oldest dropped: an agent keeps what is not taken and sends it again, so that nothing
    is lost. Raises ResourceExhausted (`QUARANTINE_FULL`).
    """
    if records < room.records and size_bytes + more_bytes <= room.size_bytes:
        return
    raise ResourceExhausted(
        "QUARANTINE_FULL",
        f"{site} has {records} records in {size_bytes} bytes that no hold pays for, at most {room.records} in "
        f"{room.size_bytes} are kept; send it again later",
        name=site,
        records=records,
        bytes=size_bytes,
    )
